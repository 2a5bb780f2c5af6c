"""What lies in the folders of a store, as the disk tells it: nothing is opened, and no digest is checked."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgelift.errors import MalformedReferenceError
from edgelift.oci.digest import Digest
from edgelift.store.disk import disk_errors
from edgelift.store.holdings import Stored, StoredBlob

_FOLDERS = ("blobs", "budgets", "partial", "quarantine", "resolved", "runs")
_FILES = ("oci-layout", "index.json", "index.lock", "use.lock")
_LEFTOVERS = (".index.json.", ".oci-layout.")  # of our own writers that were killed


@dataclass(frozen=True)
class StoredFile:
    """A plain file: its size in bytes, and when it was last written (seconds since 1970)."""

    path: Path
    size: int
    modified: float


def list_blobs(root: Path) -> list[StoredBlob]:
    """Every plain file that has a digest as its name, by digest."""
    files = ((described(path), digest) for path, digest in _named_blobs(root))
    return [
        StoredBlob(str(file.path.relative_to(root)), file.size, file.modified, digest)
        for file, digest in files
        if file is not None
    ]


def list_odd_blobs(root: Path) -> list[Digest]:
    """The digests in whose place something else than a plain file stands: a link, a folder."""
    return [
        digest
        for path, digest in _named_blobs(root)
        if described(path) is None and (path.is_symlink() or path.exists())
    ]


def list_files(root: Path, folder: str) -> list[Stored]:
    """Every plain file in a `folder` of the store at `root`."""
    files = filter(None, map(described, _entries(root / folder)))
    return [Stored(str(file.path.relative_to(root)), file.size, file.modified) for file in files]


def list_strays(root: Path) -> list[str]:
    """What no edgelift has put there, by its path in the store."""
    tops = [path for path in _entries(root) if path.name not in (*_FOLDERS, *_FILES)]
    algorithms = [path for path in _entries(root / "blobs") if path.name not in ("sha256", "sha512")]
    blobs = [path for path in _entries(root / "blobs", depth=2) if _blob_name(path) is None]
    partials = [
        path for folder in ("partial", "quarantine") for path in _entries(root / folder) if not _is_named(path.name)
    ]
    found = (*tops, *algorithms, *(path for path in blobs if path.parent not in algorithms), *partials)
    return sorted(str(path.relative_to(root)) for path in found if not path.name.startswith(_LEFTOVERS))


def described(path: Path) -> StoredFile | None:
    """The plain file at `path`; None where there is none, also where it has gone meanwhile."""
    with disk_errors(f"look at {path}"):
        try:
            found = path.lstat()
        except FileNotFoundError:
            return None
    return StoredFile(path, found.st_size, found.st_mtime) if stat.S_ISREG(found.st_mode) else None


def _entries(folder: Path, depth: int = 1) -> Iterator[Path]:
    """What is in `folder`, or in its folders, sorted; nothing where it is no folder."""
    with disk_errors(f"list {folder}"):
        listed = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in listed:
        if depth == 1:
            yield path
        else:
            yield from _entries(path, depth - 1)


def _named_blobs(root: Path) -> list[tuple[Path, Digest]]:
    return [(path, digest) for path in _entries(root / "blobs", depth=2) if (digest := _blob_name(path)) is not None]


def _blob_name(path: Path) -> Digest | None:
    return _digest(f"{path.parent.name}:{path.name}")


def _is_named(name: str) -> bool:
    return _digest(name.replace("-", ":", 1)) is not None


def _digest(text: str) -> Digest | None:
    try:
        return Digest(text)
    except MalformedReferenceError:
        return None
