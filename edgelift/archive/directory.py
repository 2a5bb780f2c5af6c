"""Bundles kept in a directory: a mounted share, a courier's disk. `sha256sum -c NAME.sha256` checks one there."""

import os
import re
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from edgelift.archive.place import (
    CHECKSUMS,
    ArchivedBundle,
    KeptFile,
    Leftover,
    Progress,
    check_name,
    holds,
    is_ours,
    write_verified,
)
from edgelift.bundle.part_files import open_parts
from edgelift.bundle.parts import index_path, whole_name
from edgelift.bundle.source import ByteSource, LocalFile
from edgelift.documents import write_document
from edgelift.errors import MalformedReferenceError, StoreError
from edgelift.oci.content import CHUNK
from edgelift.oci.digest import Digest
from edgelift.store.disk import disk_errors

_BEGUN = re.compile(r"\.(.+)\.[a-z0-9_]{8}")  # the hidden names of `write_verified`
_LINE_LIMIT = 8192  # bytes; a checksum file is one line of a digest and a name


class DirectoryArchive:
    """Keeps bundles under the directory `root`, which has to be there: an unmounted share is not to be filled."""

    def __init__(self, root: Path) -> None:
        """Open the archive in `root`; raises `StoreError` where that is no directory."""
        self._root = root
        self._require_root()

    def store(
        self, path: Path, *, digest: Digest, name: str | None = None, progress: Progress | None = None
    ) -> ArchivedBundle:
        """Copy `path` into the directory; see `Archive.store`."""
        target = self._path(name or path.name)
        with disk_errors(f"read {path}"):
            size = path.stat().st_size
        if holds(target, size, digest):
            if progress is not None:
                progress(size)
        else:
            size = write_verified(target, _chunks(path), digest=digest, source=str(path), progress=progress)
        write_document(_checksum_file(target, digest.algorithm), f"{digest.hex}  {target.name}\n".encode())
        return ArchivedBundle(url=target.resolve().as_uri(), size=size, digest=digest)

    def restore(
        self, name: str, destination: Path, *, digest: Digest | None = None, progress: Progress | None = None
    ) -> ArchivedBundle:
        """Copy `name` out of the directory; see `Archive.restore`."""
        source = self._path(name)
        expected = digest or _noted_digest(source)
        size = write_verified(destination, _chunks(source), digest=expected, source=str(source), progress=progress)
        return ArchivedBundle(url=source.resolve().as_uri(), size=size, digest=expected)

    def url(self, name: str) -> str:
        """See `BrowsableArchive.url`."""
        return str(self._root / name)

    def files(self) -> Iterator[KeptFile]:
        """See `BrowsableArchive.files`; links are not followed, and what is hidden is not looked at."""
        return (file for file in self._walk() if not file.name.rpartition("/")[2].startswith("."))

    def leftovers(self) -> Iterator[Leftover]:
        """See `BrowsableArchive.leftovers`: copies that were begun; they count as begun when they last grew."""
        for file in self._walk():
            folder, _, name = file.name.rpartition("/")
            begun = _BEGUN.fullmatch(name)
            if begun and is_ours(begun[1]):
                yield Leftover(f"{folder}/{begun[1]}".lstrip("/"), file.modified, file.name)

    def open(self, name: str) -> ByteSource:
        """See `ListableArchive.open`."""
        path, whole = self._path(name), whole_name(name.rpartition("/")[2])
        return LocalFile(path) if whole is None else open_parts(index_path(path.with_name(whole)))

    def remove(self, file: KeptFile) -> bool:
        """See `BrowsableArchive.remove`."""
        path = self._path(file.name)
        with disk_errors(f"delete {path}"):
            if _version(path.lstat()) != file.version:
                raise StoreError(f"cannot delete {path}: it was replaced meanwhile", hint="run it again")
            path.unlink()
        return False

    def abort(self, leftover: Leftover) -> None:
        """See `BrowsableArchive.abort`."""
        path = self._root / leftover.id
        with disk_errors(f"delete {path}"):
            path.unlink(missing_ok=True)

    def _walk(self) -> Iterator[KeptFile]:
        self._require_root()
        with disk_errors(f"list {self._root}"):
            for path in sorted(self._root.rglob("*")):
                try:
                    found = path.lstat()
                except FileNotFoundError:  # it got its name, or was deleted, just now
                    continue
                if stat.S_ISREG(found.st_mode):
                    modified = datetime.fromtimestamp(found.st_mtime, UTC)
                    yield KeptFile(path.relative_to(self._root).as_posix(), found.st_size, modified, _version(found))

    def _path(self, name: str) -> Path:
        self._require_root()
        return self._root / check_name(name)

    def _require_root(self) -> None:
        if not self._root.is_dir():
            raise StoreError(f"{self._root} is not a directory", hint="mount the share or make the directory first")


def _version(found: os.stat_result) -> str:
    return f"{found.st_ino} {found.st_mtime_ns} {found.st_size}"


def _chunks(path: Path) -> Iterator[bytes]:
    with disk_errors(f"read {path}"):
        file = path.open("rb")
    with file:
        while True:
            with disk_errors(f"read {path}"):
                chunk = file.read(CHUNK)
            if not chunk:
                return
            yield chunk


def _checksum_file(target: Path, algorithm: str) -> Path:
    return target.with_name(f"{target.name}.{algorithm}")


def _noted_digest(target: Path) -> Digest:
    """The digest noted when `target` was stored."""
    for algorithm in CHECKSUMS:
        try:
            with _checksum_file(target, algorithm).open() as file:
                return Digest(f"{algorithm}:{file.read(_LINE_LIMIT).split(maxsplit=1)[0]}")
        except (OSError, UnicodeDecodeError, IndexError, MalformedReferenceError):
            continue
    raise StoreError(
        f"{target} cannot be checked: there is no digest beside it",
        hint=f"give the digest, or restore {target.name}.sha256 to that directory",
    )
