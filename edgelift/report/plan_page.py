"""The plan of a run as Markdown, for whoever wants to know what will happen before it does. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from edgelift.bundle.attribution import attribute_sizes
from edgelift.bundle.kinds import count_kinds, name_of
from edgelift.bundle.lock import BundleLock
from edgelift.report.markup import cell, code
from edgelift.report.wording import count
from edgelift.sizes import format_size

BIGGEST = 10
MOST_WARNINGS = 100


class Present(NamedTuple):
    """What need not be moved: bytes that are in the store, and target names that stand as they should.

    Either is None where nobody looked.
    """

    stored: int | None = None
    standing: int | None = None
    names: int = 0
    place: str = ""


def plan_page(lock: BundleLock, present: Present, warnings: Sequence[str]) -> str:
    """How much of what, what is there already, what is biggest, and what deserves a warning."""
    sections = [
        f"# {lock.definition.name}: {count_kinds(image.kind for image in lock.images)}",
        _figures(lock, present),
        *(["## Warnings", _warnings(warnings)] if warnings else []),
        "## What is biggest",
        _biggest(lock),
        f"Lock {code(lock.digest)}. Nothing was moved when this was written.",
    ]
    return "\n\n".join(sections)


def _figures(lock: BundleLock, present: Present) -> str:
    profiles = [f"{each.name} {each.version}" for each in lock.definition.profiles]
    signed = sum(image.is_signed for image in lock.images)
    rows = [
        ("profiles", cell(", ".join(profiles)) or "none"),
        ("unique blobs", f"{len(lock.unique_blobs()):,}"),
        ("size, each blob once", format_size(lock.unique_size)),
    ]
    if lock.base is not None:
        left_out = f"{count(len(lock.left_out), 'blob')}, {format_size(lock.left_out_size)}"
        rows.append(("the site has already, from its base", f"{left_out} of {cell(lock.base.name)}"))
    if present.standing is not None:
        standing = f"{present.standing:,} of {count(present.names, 'name')} at {cell(present.place)}"
        rows.append(("the site has already, as it should be", standing))
    if present.stored is not None:
        to_pull = max(lock.carried_size - present.stored, 0)
        rows.append(("in the store already", format_size(present.stored)))
        rows.append(("to be pulled", format_size(to_pull)))
    if signed:
        rows.append(("signed images", f"{signed:,}"))
    if lock.cluster_definition is not None:
        rows.append(("cluster definition", cell(lock.cluster_definition.file_name)))
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _biggest(lock: BundleLock) -> str:
    costs = attribute_sizes(lock).images[:BIGGEST]
    lines = [
        f"| {cell(name_of(each.reference, each.kind))} | {format_size(each.cost.total)} "
        f"| {format_size(each.cost.unique)} | {cell(', '.join(map(str, each.askers)), 200)} |"
        for each in costs
    ]
    return "\n".join(["| image | size | no other needs | asked for by |", "|---|---|---|---|", *lines])


def _warnings(warnings: Sequence[str]) -> str:
    rest = len(warnings) - MOST_WARNINGS
    lines = [f"- {code(each)}" for each in warnings[:MOST_WARNINGS]]
    return "\n".join([*lines, f"- and {rest:,} more: see the log of the run"] if rest > 0 else lines)
