"""Refresh: the last lock of a bundle that is built again and again, and the delta that goes on top of it."""

import json
from pathlib import Path

from edgelift.bundle.lock import BundleLock
from edgelift.define import check_name
from edgelift.delivery.base import Base, leave_out
from edgelift.documents import read_document, write_document
from edgelift.errors import ConfigurationError
from edgelift.oci.digest import Digest

_MARK = 12  # hexadecimal digits


def find_last(folder: Path, name: str) -> Path | None:
    """The lock of the last build of `name` in `folder`: of the last delta, else of the bundle; None before the first.

    Deltas on top of another bundle than the one that stands there count for nothing.
    """
    first, note = _first(folder, name), _note(folder, name)
    if not first.is_file():
        return None
    try:
        noted = json.loads(read_document(note)) if note.is_file() else {}
        last = folder / Path(str(noted["lock"])).name
        found = {"first": Digest.of(read_document(first)), "digest": Digest.of(read_document(last))}
    except (ConfigurationError, ValueError, LookupError, TypeError):  # no note of ours, or the delta's lock is gone
        return first
    return last if {**noted, **found} == noted else first


def note_last(folder: Path, name: str, lock: Path) -> None:
    """Remember that `lock`, a file in `folder`, is that of the last build of `name`, whose first one is there, too."""
    first = _first(folder, name)
    if not first.is_file():
        return
    noted = {
        "first": Digest.of(read_document(first)),
        "lock": lock.name,
        "digest": Digest.of(read_document(lock)),
    }
    write_document(_note(folder, name), (json.dumps(noted, indent=2) + "\n").encode())


def make_delta(lock: BundleLock, base: Base) -> BundleLock:
    """`lock` as a delta on top of `base`, under a name of its own, which the same two locks always give.

    Raises `ConfigurationError` where that would be too long.
    """
    mark = Digest.of(lock.to_json() + base.lock.digest.encode()).hex[:_MARK]
    name = f"{lock.definition.name}-{mark}"
    check_name(name)
    named = lock.model_copy(update={"definition": lock.definition.model_copy(update={"name": name})})
    return leave_out(named, base)


def _first(folder: Path, name: str) -> Path:
    return folder / f"{name}.lock.json"


def _note(folder: Path, name: str) -> Path:
    return folder / f"{name}.last.json"
