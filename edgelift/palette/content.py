"""The content section of a pack's values, `pack.content`: the lists in which a pack declares what it needs."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple

from edgelift.palette.values import Tree

_NEEDED = {"images": {"image"}, "charts": {"name", "version"}}  # keys by which an entry of each kind is known


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
    section, place, complaints = _find_content(tree, kind)
    listed = section.get(kind)
    if listed is None or listed == "":
        return [], complaints
    path = f"{place}.{kind}"
    if not isinstance(listed, list):
        return [], [*complaints, Complaint(path, f"this is not a list, so its {kind} cannot be read")]
    entries = [Entry(f"{path}[{index}]", entry) for index, entry in enumerate(listed) if isinstance(entry, Mapping)]
    odd = [
        Complaint(f"{path}[{index}]", f"this is not a mapping with the keys of {kind}, so it is left out", "warning")
        for index, entry in enumerate(listed)
        if not isinstance(entry, Mapping)
    ]
    return entries, [*complaints, *odd]


def complain_about_key(entry: Entry, wanted: str) -> Complaint:
    """Say that `entry` lacks the key `wanted`, and which of its keys was probably meant to be that."""
    keys = [key for key in entry.fields if isinstance(key, str)]
    lowered = {key.lower(): key for key in keys}
    close = get_close_matches(wanted, lowered, n=1, cutoff=0.6)
    guess = f"did you mean '{wanted}' where it says '{lowered[close[0]]}'?" if close else f"it has {keys}"
    return Complaint(entry.path, f"this entry has no key '{wanted}', so it is left out; {guess}", "warning")


def _find_content(tree: Tree, kind: str) -> tuple[Mapping[str, Any], str, list[Complaint]]:
    """The content section that holds `kind`, the path where it stands, and what is wrong with that."""
    settings = tree.get("pack")
    content = (settings.get("content") if isinstance(settings, Mapping) else None) or {}
    if not isinstance(content, Mapping):
        return {}, "pack.content", [Complaint("pack.content", "this is not a mapping, so it cannot be read")]
    if content or "pack" not in tree:
        return content, "pack.content", []
    # Slips of pasting, with which Palette itself sees no content at all: `content:` at the margin right under `pack:`,
    # and the lists beside an empty `content:`.
    for place, section in (("content", tree.get("content")), ("pack", settings)):
        if isinstance(section, Mapping) and kind in section:
            return _misplaced(section, place, kind)
    return content, "pack.content", []


def _misplaced(section: Mapping[str, Any], place: str, kind: str) -> tuple[Mapping[str, Any], str, list[Complaint]]:
    stands = {
        "content": "'content:' stands beside 'pack:' instead of under it",
        "pack": f"'{kind}:' stands beside 'content:' instead of under it",
    }[place]
    listed = section[kind]
    if isinstance(listed, list) and listed and all(_NEEDED[kind] <= _keys(entry) for entry in listed):
        message = f"{stands}, where Palette does not see it; it is read, but indent it"
        return section, place, [Complaint(place, message, "warning")]
    # Other charts have their own things beside `content:`; a section of its own called `content` was meant for Palette.
    return {}, "pack.content", [] if place == "pack" else [Complaint(place, f"{stands}; indent it")]


def _keys(entry: object) -> set[object]:
    return set(entry) if isinstance(entry, Mapping) else set()
