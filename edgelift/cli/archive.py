"""Commands about archives: which bundles are there, and letting old ones go."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from edgelift.archive.place import UNDATED, BrowsableArchive, ListableArchive
from edgelift.archive.retention import Pruned, Pruning, Retention, plan_pruning, prune_archive
from edgelift.archive.survey import FoundBundle, Survey, survey_archive
from edgelift.cli import options, signing
from edgelift.cli.access import takes_access
from edgelift.cli.console import say, say_json, say_table, tell
from edgelift.cli.places import listable, open_place
from edgelift.cli.quantities import parse_age
from edgelift.errors import IncompleteError
from edgelift.keys import find_public_key
from edgelift.site import DEFAULT_ACCESS, RegistryAccess
from edgelift.sizes import count, format_size

GRACE = "1d"


@takes_access
def list_bundles(
    place: Annotated[
        str,
        typer.Argument(
            metavar="PLACE", help="Where bundles are kept: s3://bucket/prefix, oci://HOST/REPOSITORY, or a directory."
        ),
    ],
    access: RegistryAccess = DEFAULT_ACCESS,
    public_key: signing.PublicKeyFile = None,
    as_json: options.Json = False,
) -> None:
    """List the bundles in a bucket, a registry or a directory, with what their locks say. Downloads none of them.

    Example: edgelift list s3://bundles/sites
    """
    with listable(place, access) as archive:
        survey = survey_archive(archive, find_public_key(public_key))
        if as_json:
            say_json(_survey_document(archive, survey))
        else:
            _print_survey(survey)
    _tell_warnings(survey)


def prune(
    place: Annotated[
        str, typer.Argument(metavar="PLACE", help="Where bundles are kept: s3://bucket/prefix, or a directory.")
    ],
    keep: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Keep the N newest bundles of each name.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Let go of bundles that are older only: 30d.")
    ] = None,
    grace: Annotated[
        str, typer.Option(metavar="AGE", help="Keep unfinished uploads that are younger: a run may be at work on them.")
    ] = GRACE,
    delete: Annotated[bool, typer.Option("--delete", help="Delete; without it, only tell what would go.")] = False,
    public_key: signing.PublicKeyFile = None,
    as_json: options.Json = False,
) -> None:
    """Tell, or delete, old bundles in a bucket or a directory, and what killed uploads left there.

    Bundles are counted by name, folder by folder; the newest of each always stays, and so does what cannot be read.

    Example: edgelift prune s3://bundles/sites --keep 5 --older-than 30d --delete
    """
    rules = Retention(
        keep=keep,
        older_than=timedelta(seconds=parse_age(older_than, "--older-than")) if older_than is not None else None,
        leftovers_after=timedelta(seconds=parse_age(grace, "--grace")),
    )
    archive = open_place(place)
    survey = survey_archive(archive, find_public_key(public_key))
    pruning = plan_pruning(survey, rules, datetime.now(UTC))
    pruned = prune_archive(archive, pruning) if delete else None
    if as_json:
        say_json(_pruning_document(archive, survey, pruning, pruned))
    else:
        _print_pruning(pruning, deleted=delete)
    _tell_warnings(survey)
    if keep is None and older_than is None:
        tell("no bundle goes without --keep or --older-than")
    elif pruned is None and (pruning.bundles or pruning.leftovers or pruning.strays):
        tell("nothing was deleted: --delete does it")
    if pruned is not None:
        _judge(archive, pruned)


def _judge(archive: BrowsableArchive, pruned: Pruned) -> None:
    """Raises `IncompleteError` where something could not be deleted."""
    if pruned.versions:
        kept = count(pruned.versions, "deleted file")
        tell(
            f"warning: {archive.url('')} keeps {kept} among its older versions, to be paid for until a lifecycle rule "
            "of the bucket removes them"
        )
    if pruned.failures:
        raise IncompleteError(
            f"{count(len(pruned.failures), 'file')} could not be deleted", pruned.failures, hint="the rest is done"
        )


def _print_survey(survey: Survey) -> None:
    if survey.bundles:
        headings = ("DATE", "SIZE", "PARTS", "NAME", "IMAGES", "CONTENT", "ARCH", "SIGNATURE", "FILE")
        say_table(headings, map(_row, survey.bundles))
    size = format_size(sum(each.size for each in survey.bundles))
    say(f"{count(len(survey.bundles), 'bundle')}, {size}; {count(len(survey.others), 'other file')}")


def _row(found: FoundBundle) -> tuple[str, ...]:
    return (
        _moment(found.file.modified),
        format_size(found.file_size),
        str(len(found.parts) or "-"),
        found.bundle if found.base is None else f"{found.bundle} (delta)",
        str(found.images),
        format_size(found.content_size),
        found.architecture or "all",
        found.signature,
        found.file.name,
    )


def _tell_warnings(survey: Survey) -> None:
    for each in survey.unreadable:
        tell(f"warning: {each.url} is none that can be read: {each.problem}")
    for leftover in survey.leftovers:
        tell(f"warning: an upload of {leftover.name} has not ended since {_moment(leftover.began)}")
    for stray in survey.strays:
        tell(f"warning: parts of {stray.name} lie there without an index since {_moment(stray.modified)}")
    for warning in survey.warnings:
        tell(f"warning: {warning}")


def _print_pruning(pruning: Pruning, *, deleted: bool) -> None:
    if pruning.bundles:
        rows = [(*_row(each)[:4], each.file.name) for each in pruning.bundles]
        say_table(("DATE", "SIZE", "PARTS", "NAME", "FILE"), rows)
    verb = "delete" if deleted else "would delete"
    uploads = len(pruning.leftovers) + len(pruning.strays)
    bundles = count(len(pruning.bundles), "bundle")
    unfinished = count(uploads, "upload that has", "uploads that have")
    kept = count(len(pruning.kept), "bundle stays", "bundles stay")
    say(f"{verb} {bundles}, {format_size(pruning.size)}, and {unfinished} not ended; {kept}")


def _survey_document(archive: ListableArchive, survey: Survey) -> dict[str, Any]:
    return {
        "archive": archive.url(""),
        "bundles": [_bundle_document(each) for each in survey.bundles],
        "unreadable": [
            {"url": each.url, "size": each.file.size, "problem": each.problem} for each in survey.unreadable
        ],
        "others": len(survey.others),
        "unfinished_uploads": [
            {"name": each.name, "began": each.began.isoformat(timespec="seconds")} for each in survey.leftovers
        ],
        "stray_parts": [
            {"name": each.name, "size": each.size, "since": each.modified.isoformat(timespec="seconds")}
            for each in survey.strays
        ],
    }


def _bundle_document(found: FoundBundle) -> dict[str, Any]:
    return {
        "url": found.url,
        "file": found.file.name,
        "name": found.bundle,
        "date": found.file.modified.isoformat(timespec="seconds") if found.file.modified != UNDATED else None,
        "size": found.file_size,
        "parts": len(found.parts),
        "images": found.images,
        "carried_bytes": found.content_size,
        "lock": found.lock,
        "base": found.base,
        "architecture": found.architecture,
        "signature": found.signature,
        "signed_file": found.is_signed,
        "beside": [file.name for file in found.beside],
    }


def _pruning_document(
    archive: BrowsableArchive, survey: Survey, pruning: Pruning, pruned: Pruned | None
) -> dict[str, Any]:
    return {
        "archive": archive.url(""),
        "deleted": pruned is not None,
        "bundles": [_bundle_document(each) for each in pruning.bundles],
        "uploads": [each.name for each in pruning.leftovers],
        "stray_parts": [each.name for each in pruning.strays],
        "bytes": pruning.size,
        "kept": [each.url for each in pruning.kept],
        "unreadable": [each.url for each in survey.unreadable],
        "failures": list(pruned.failures) if pruned is not None else [],
    }


def _moment(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if time != UNDATED else "-"
