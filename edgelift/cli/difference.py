"""`diff`: what changes from one bundle or lock to another."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from edgelift.bundle.diff import DefinitionChange, ImageChange, LockDiff, compare_locks
from edgelift.bundle.kinds import name_of
from edgelift.cli import options
from edgelift.cli.console import say, say_json, say_table
from edgelift.cli.lock import read_lock
from edgelift.keys import find_public_key
from edgelift.sizes import count, format_size


def diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="A content bundle, or the lock of one (.json).")],
    after: Annotated[Path, typer.Argument(metavar="B", help="The one to compare it with.")],
    as_json: options.Json = False,
) -> None:
    """Show what changes from one bundle or lock to another: images, and the bytes that one has and the other lacks.

    Example: edgelift diff site-7.lock.json site-7-new.tar.zst
    """
    key = find_public_key(None)
    found = compare_locks(read_lock(str(before), key), read_lock(str(after), key))
    if as_json:
        say_json(_diff_document(before, after, found))
    else:
        _print_diff(before, after, found)


def _diff_document(before: Path, after: Path, found: LockDiff) -> dict[str, Any]:
    changes = {
        name: [
            {
                "reference": change.reference,
                "kind": change.kind or "image",
                "before": change.before,
                "after": change.after,
                "bytes": change.size,
                "origins": [origin.model_dump() for origin in change.origins],
            }
            for change in listed
        ]
        for name, listed in _changes(found)
    }
    contents = {
        name: {"manifests": content.manifests, "blobs": content.blobs, "bytes": content.size}
        for name, content in (("arriving", found.arriving), ("leaving", found.leaving), ("shared", found.shared))
    }
    referrers = [asdict(change) for change in found.referrers]
    counts = {"unchanged": found.unchanged, "referrers": referrers}
    definition = {"cluster_definition": _definition_document(found.cluster_definition)}
    return {"before": str(before), "after": str(after), **changes, **counts, **contents, **definition}


def _definition_document(change: DefinitionChange | None) -> dict[str, Any] | None:
    """The cluster definitions before and after; None where they do not differ."""
    if change is None:
        return None
    return {
        name: each.model_dump(mode="json") if each is not None else None
        for name, each in (("before", change.before), ("after", change.after))
    }


def _print_diff(before: Path, after: Path, found: LockDiff) -> None:
    rows = []
    for name, listed in _changes(found):
        for change in listed:
            digests = " → ".join(digest[:19] for digest in (change.before, change.after) if digest is not None)
            first = (name, name_of(change.reference, change.kind), digests, format_size(change.size))
            askers = [str(origin) for origin in change.origins] or [""]
            rows += [(*(first if number == 0 else ("", "", "", "")), asker) for number, asker in enumerate(askers)]
    if rows:
        say_table(("CHANGE", "IMAGE", "DIGEST", "SIZE", "ASKED FOR BY"), rows)
    counts = ", ".join(f"{len(listed)} {name}" for name, listed in _changes(found))
    say(f"{counts}, {found.unchanged} as before")
    for each in found.referrers:
        say(f"signatures and other referrers of {each.reference}: {each.added} added, {each.removed} removed")
    for content, told in (
        (found.arriving, f"only in {after}"),
        (found.leaving, f"only in {before}"),
        (found.shared, "in both"),
    ):
        blobs, manifests = count(content.blobs, "blob"), count(content.manifests, "manifest")
        say(f"{told}: {format_size(content.size)} in {blobs} and {manifests}")
    definition = found.cluster_definition
    if definition is not None:
        sides = (definition.before, definition.after)
        shown = [f"{each.name} {each.digest[:19]}" if each else "none" for each in sides]
        say(f"cluster definition: {' → '.join(shown)}")


def _changes(found: LockDiff) -> tuple[tuple[str, tuple[ImageChange, ...]], ...]:
    return (("added", found.added), ("removed", found.removed), ("moved", found.moved))
