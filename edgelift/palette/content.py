"""The content section of a pack's values, `pack.content`: the lists in which a pack declares what it needs."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple

from edgelift.palette.values import Tree

_KINDS = frozenset({"images", "charts"})


class Complaint(NamedTuple):
    """What is wrong at `path` in the values of one pack."""

    path: str
    message: str
    severity: Literal["error", "warning"] = "error"


class Entry(NamedTuple):
    """One entry of a content list, and its path in the values."""

    path: str
    fields: Mapping[str, Any]


def list_entries(tree: Tree, kind: str) -> tuple[list[Entry], list[Complaint]]:
    """The entries of `pack.content.<kind>` (`images`, `charts`), and what is wrong with that list."""
    section, complaint = _find_content(tree)
    if complaint is not None:
        return [], [complaint]
    listed = section.get(kind)
    if listed is None or listed == "":
        return [], []
    path = f"pack.content.{kind}"
    if not isinstance(listed, list):
        return [], [Complaint(path, f"this is not a list, so its {kind} cannot be read")]
    entries = [Entry(f"{path}[{index}]", entry) for index, entry in enumerate(listed) if isinstance(entry, Mapping)]
    odd = [
        Complaint(f"{path}[{index}]", f"this is not a mapping with the keys of {kind}, so it is left out", "warning")
        for index, entry in enumerate(listed)
        if not isinstance(entry, Mapping)
    ]
    return entries, odd


def complain_about_key(entry: Entry, wanted: str) -> Complaint:
    """Say that `entry` lacks the key `wanted`, and which of its keys was probably meant to be that."""
    keys = [key for key in entry.fields if isinstance(key, str)]
    lowered = {key.lower(): key for key in keys}
    close = get_close_matches(wanted, lowered, n=1, cutoff=0.6)
    guess = f"did you mean '{wanted}' where it says '{lowered[close[0]]}'?" if close else f"it has {keys}"
    return Complaint(entry.path, f"this entry has no key '{wanted}', so it is left out; {guess}", "warning")


def _find_content(tree: Tree) -> tuple[Mapping[str, Any], Complaint | None]:
    settings = tree.get("pack")
    content = (settings.get("content") if isinstance(settings, Mapping) else None) or {}
    if not isinstance(content, Mapping):
        return {}, Complaint("pack.content", "this is not a mapping, so it cannot be read")
    beside = tree.get("content")
    # A slip of pasting: with `content:` at the margin right under `pack:`, Palette sees no content at all.
    if not content and "pack" in tree and isinstance(beside, Mapping) and _KINDS & beside.keys():
        return {}, Complaint("content", "'content:' stands beside 'pack:' instead of under it; indent it")
    return content, None
