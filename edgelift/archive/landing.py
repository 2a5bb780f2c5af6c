"""A file on its way back from an archive: what has arrived outlasts cuts and kills, and a later run goes on from there.

It lies hidden beside the name that it will get, under one that says of which object it is: two versions of a bundle
are never mixed. It gets its name when all of it is there and has been found right.
"""

import errno
import fcntl
import glob
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from edgelift.archive.place import Progress, check_digest
from edgelift.errors import BundleError, IntegrityError, StoreError
from edgelift.oci.content import CHUNK
from edgelift.oci.digest import Digest
from edgelift.store.disk import disk_errors, sync_folder

_MARK = 16  # hexadecimal digits


class ResumableSource(Protocol):
    """What is to arrive: `etag` tells it from all else that had or will have its `name`; `size` is in bytes."""

    name: str
    etag: str
    size: int

    def chunks(self, start: int) -> Iterator[bytes]:
        """Its bytes from `start` on, in order."""


class Judge(Protocol):
    """Looks at all of it."""

    def update(self, chunk: bytes) -> None:
        """Go on with `chunk`."""

    def check(self, name: str) -> None:
        """Raise `IntegrityError` where what was seen is not `name`."""


def write_continued(
    destination: Path,
    source: ResumableSource,
    *,
    digest: Digest | None,
    checksum: Judge | None = None,
    confirm: Callable[[Path], None] | None = None,
    progress: Progress | None = None,
) -> Digest:
    """Write `source` under `destination` once all of it is there and is right; gives its digest.

    Right is what has that `digest`, where one is known, and what neither `checksum` nor `confirm` refuses, which gets
    the file while it has another name. What an earlier run left of this `source` is read again, and not fetched.
    Raises `IntegrityError` where it is wrong and `StoreError` where it cannot be read or written; what stood under
    `destination` stands then.
    """
    hasher = digest.hasher() if digest is not None else hashlib.sha256()
    with _landing(destination, f"{source.name} {source.etag}", source.size) as arriving:
        for chunk in arriving.all_of(source):
            hasher.update(chunk)
            if checksum is not None:
                checksum.update(chunk)
            if progress is not None:
                progress(len(chunk))
        with arriving.judged():
            if digest is not None:
                check_digest(hasher.hexdigest(), digest, source.name)
            if checksum is not None:
                checksum.check(source.name)
            if confirm is not None:
                confirm(arriving.path)
        arriving.finish()
    return digest or Digest(f"sha256:{hasher.hexdigest()}")


class _Landing:
    """The hidden, locked file in which `destination` arrives."""

    def __init__(self, file: BinaryIO, path: Path, destination: Path) -> None:
        self.path = path
        self._file = file
        self._destination = destination

    def all_of(self, source: ResumableSource) -> Iterator[bytes]:
        """What an earlier run left of `source`, and then the rest, which is written; what is too long is forgotten."""
        if os.fstat(self._file.fileno()).st_size > source.size:
            self._file.truncate(0)
        size = 0
        while chunk := self._file.read(CHUNK):
            size += len(chunk)
            yield chunk
        for chunk in source.chunks(size):
            self._file.write(chunk)
            yield chunk

    @contextmanager
    def judged(self) -> Iterator[None]:
        """What is found wrong within the block goes, lest a later run continues it; the bytes are on the disk there."""
        self._file.flush()
        os.fsync(self._file.fileno())
        try:
            yield
        except (BundleError, IntegrityError):
            self.path.unlink(missing_ok=True)
            raise

    def finish(self) -> None:
        """Give it its name."""
        with suppress(PermissionError):  # a FAT disk knows no modes
            self.path.chmod(0o644)
        self.path.replace(self._destination)
        with suppress(OSError):  # some network file systems refuse that, and the file is none the worse for it
            sync_folder(self._destination.parent)


@contextmanager
def _landing(destination: Path, identity: str, need: int) -> Iterator[_Landing]:
    """The file in which what `identity` tells from all else arrives on its way to `destination`; it takes `need` bytes.

    Raises `StoreError` where the disk fails, and where another process is at it.
    """
    mark = hashlib.sha256(identity.encode()).hexdigest()[:_MARK]
    path = destination.with_name(f".{destination.name}.{mark}.partial")
    with disk_errors(f"make the folder {destination.parent}"):
        destination.parent.mkdir(parents=True, exist_ok=True)
    with disk_errors(f"write {destination}", need=need, place=destination.parent):
        _remove_others(path, destination)
        with _opened(path) as file:
            yield _Landing(file, path, destination)


def _opened(path: Path) -> BinaryIO:
    """The file at `path`, made where there is none, and locked."""
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "r+b")
        try:
            _lock(file, path)
            if _is_at(file, path):  # else who had it locked has given it its name meanwhile
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise StoreError(
                f"another process is restoring the same into {path.parent}",
                hint="wait for it, or end it",
                retryable=True,
            ) from None
        # A disk without locks: two processes that write the same bytes to the same places do not harm each other.


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _remove_others(path: Path, destination: Path) -> None:
    """Remove what has arrived of other objects for the same name: nobody will go on with it."""
    for other in path.parent.glob(f".{glob.escape(destination.name)}.{'[0-9a-f]' * _MARK}.partial"):
        if other != path:
            with suppress(OSError), other.open("rb") as file:  # not ours, or locked: another process is writing it
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                other.unlink()
