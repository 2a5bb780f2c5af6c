"""Commands about the working store: how much it holds, whether it is right, what may go."""

import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from edgelift.access import open_registries
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.signed import read_signed
from edgelift.cli import options
from edgelift.cli.access import takes_source_access
from edgelift.cli.console import say, say_json, say_table, set_verbosity, tell
from edgelift.cli.quantities import parse_age, parse_size
from edgelift.cli.stores import open_standing_named
from edgelift.errors import IncompleteError
from edgelift.keys import find_public_key
from edgelift.progress import Pace
from edgelift.site import DEFAULT_ACCESS, RegistryAccess
from edgelift.sizes import count, format_size
from edgelift.store.check import StoreCheck, check_store
from edgelift.store.mending import mending_sources
from edgelift.store.opening import holdings_of
from edgelift.store.survey import survey_store
from edgelift.store.sweep import Rules, Sweep, plan_sweep, sweep_store

GRACE = "7d"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Look after the working store: what it holds, is it right, what may go.",
)


@app.command("stat")
def stat(store: options.Store = None, as_json: options.Json = False) -> None:
    """Tell how much the store holds and how old that is. Reads no content."""
    document = survey_store(open_standing_named(store))
    if as_json:
        say_json(document)
        return
    rows = [
        (name, str(each["count"]), format_size(each["bytes"]), each["oldest"] or "-", each["newest"] or "-")
        for name in ("blobs", "partial", "quarantine")
        for each in (document[name],)
    ]
    say_table(("CONTENT", "FILES", "SIZE", "OLDEST", "NEWEST"), rows)
    free = f", {format_size(document['disk_free'])} free" if document["disk_free"] is not None else ""
    images, runs = count(document["images"], "image"), count(document["runs"], "run")
    say(f"{images}, locks of {runs}{free} in {document['store']}")


@app.command("fsck")
@takes_source_access
def fsck(
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Fetch what is damaged or missing from where its image or chart is."),
    ] = False,
    repair_from: Annotated[
        list[Path], typer.Option("--repair-from", metavar="BUNDLE", help="Take it from this bundle. Repeatable.")
    ] = [],  # noqa: B006 - typer copies it
    repair_lock: Annotated[
        list[Path],
        typer.Option(
            "--repair-lock",
            metavar="L.json",
            help="With --repair: a lock that says which archives charts are made of, beside those of runs. Repeatable.",
        ),
    ] = [],  # noqa: B006
    store: options.Store = None,
    access: RegistryAccess = DEFAULT_ACCESS,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Hash every blob, put the damaged ones into quarantine, and see that every image is whole. Runs may go on.

    Bundles are asked before registries. Exit code 3 where damage remains.

    Example: edgelift store fsck --repair-from site.tar.zst --repair
    """
    set_verbosity(verbose=verbose, quiet=quiet)
    content = open_standing_named(store)
    holdings = holdings_of(content)
    locks = [BundleLock.from_json(read_signed(path, find_public_key(None)), str(path)) for path in repair_lock]
    with ExitStack() as opened:
        connections = opened.enter_context(open_registries(access)) if repair else None
        sources = opened.enter_context(mending_sources(holdings, repair_from, connections, locks))
        outcome = check_store(content, sources=sources, progress=_tell_progress(quiet))
    if as_json:
        say_json(_check_document(holdings.place, outcome))
    else:
        _print_check(outcome)
    _raise_for_damage(outcome, can_ask_more=not (repair or repair_from))


@app.command("gc")
def gc(
    delete: Annotated[bool, typer.Option("--delete", help="Delete; without it, only tell what would go.")] = False,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Let go of images that were not pulled for so long: 30d.")
    ] = None,
    max_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Let go of the images pulled longest ago beyond it: 50GB.")
    ] = None,
    keep_lock: Annotated[
        list[Path], typer.Option("--keep-lock", metavar="L.json", help="Keep all of this lock. Repeatable.")
    ] = [],  # noqa: B006 - typer copies it
    grace: Annotated[
        str,
        typer.Option(
            metavar="AGE",
            help="Keep what runs of this time have planned; and partial downloads, quarantine and content without a "
            "name that are younger.",
        ),
    ] = GRACE,
    wait: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="Wait so long for runs to end.")] = 0,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Tell, or delete, what the store need not hold. Deletes nothing while any run has the store open.

    Example: edgelift store gc --older-than 30d --max-size 50GB --keep-lock site.lock.json --delete
    """
    rules = Rules(
        grace=parse_age(grace, "--grace"),
        older_than=parse_age(older_than, "--older-than") if older_than is not None else None,
        max_size=parse_size(max_size, "--max-size") if max_size is not None else None,
        keep=tuple(BundleLock.from_json(read_signed(path, find_public_key(None)), str(path)) for path in keep_lock),
    )
    content = open_standing_named(store)
    holdings = holdings_of(content)
    with holdings.alone(wait) if delete else nullcontext():
        sweep = plan_sweep(content, rules, time.time())
        if delete:
            sweep_store(content, sweep)
    if as_json:
        say_json(_sweep_document(holdings.place, sweep, deleted=delete))
    else:
        _print_sweep(sweep, deleted=delete)
    if rules.max_size is not None and sweep.remaining > rules.max_size:
        excess = format_size(sweep.remaining - rules.max_size)
        tell(f"warning: {excess} more than --max-size remain: locks need them, or they are younger than --grace")


def _tell_progress(quiet: bool) -> Callable[[int], None]:
    pace = Pace()

    def on_progress(size: int) -> None:
        done = pace.add(size)
        if done and not quiet:
            tell(f"checked {format_size(done)}")

    return on_progress


def _check_document(store: str, outcome: StoreCheck) -> dict[str, Any]:
    return {
        "store": store,
        "blobs": outcome.blobs,
        "bytes": outcome.size,
        "images": outcome.images,
        "problems": [
            {
                "digest": problem.digest,
                "kind": problem.kind,
                "size": problem.descriptor.size if problem.descriptor is not None else None,
                "images": list(problem.images),
                "mended_from": problem.mended_from,
                "failures": list(problem.failures),
            }
            for problem in outcome.problems
        ],
        "unmended": len(outcome.unmended),
        "strays": list(outcome.strays),
    }


def _print_check(outcome: StoreCheck) -> None:
    for problem in outcome.problems:
        if problem.mended_from is not None:
            say(str(problem))
    for stray in outcome.strays:
        say(f"{stray} is none of the store's")
    found = f"{count(len(outcome.problems), 'problem')}, {len(outcome.problems) - len(outcome.unmended)} of them mended"
    blobs, images = count(outcome.blobs, "blob"), count(outcome.images, "image")
    say(f"{blobs}, {format_size(outcome.size)}, {images}: {found if outcome.problems else 'all is right'}")


def _raise_for_damage(outcome: StoreCheck, *, can_ask_more: bool) -> None:
    """Raises `IncompleteError` with every problem that remains."""
    if outcome.unmended:
        more = "give --repair-from BUNDLE or --repair to have it mended now" if can_ask_more else None
        raise IncompleteError(
            count(
                len(outcome.unmended),
                "content of the store is not as it should be",
                "contents of the store are not as they should be",
            ),
            [str(problem) for problem in outcome.unmended],
            hint=more or "build the images that need it again: a run fetches what is not there",
        )


def _sweep_document(store: str, sweep: Sweep, *, deleted: bool) -> dict[str, Any]:
    return {
        "store": store,
        "deleted": deleted,
        "images": [
            {"reference": image.reference, "digest": image.descriptor.digest, "last_pulled": _moment(image.used)}
            for image in sweep.images
        ],
        "blobs": [blob.digest for blob in sweep.blobs],
        "leftovers": [file.name for file in sweep.leftovers],
        "runs": [run.name for run in sweep.runs],
        "bytes": sweep.size,
        "remaining_bytes": sweep.remaining,
    }


def _print_sweep(sweep: Sweep, *, deleted: bool) -> None:
    if sweep.images:
        say_table(("IMAGE", "LAST PULLED"), [(image.reference, _moment(image.used) or "-") for image in sweep.images])
    gone = ((sweep.images, "image"), (sweep.blobs, "blob"), (sweep.leftovers, "leftover"))
    counts = ", ".join(count(len(each), noun) for each, noun in gone)
    verb = "deleted" if deleted else "would delete"
    runs = count(len(sweep.runs), "run")
    say(
        f"{verb} {counts} and the locks of {runs}: {format_size(sweep.size)}; "
        f"{format_size(sweep.remaining)} of blobs remain"
    )
    if not deleted and (sweep.images or sweep.blobs or sweep.leftovers or sweep.runs):
        tell("nothing was deleted: --delete does it")


def _moment(seconds: float) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None
