"""One blob on its way into the store: appended, hashed as it comes, and named only when size and digest are right."""

import os
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import xxhash

from edgelift.errors import IntegrityError
from edgelift.oci.content import CHUNK
from edgelift.oci.descriptor import Descriptor
from edgelift.store.disk import begin_writing, remove

_STEP = 2 * 2**20  # bytes that arrive before the disk is given them


class Hasher(Protocol):
    """Takes content and tells its hash."""

    def update(self, chunk: bytes | memoryview, /) -> None:
        """Go on with `chunk`."""

    def hexdigest(self) -> str:
        """The hash of all of it."""


def new_checksum() -> Hasher:
    """A quick checksum, for content whose digest was found right before."""
    return xxhash.xxh3_64()


class Checked(NamedTuple):
    """A file whose content was found right, as it was then: any change of it changes `changed_at` (ns)."""

    device: int
    inode: int
    changed_at: int
    checksum: str  # of the content, see `new_checksum`

    @classmethod
    def of(cls, file: int, checksum: str) -> Self:
        """The open `file` as it is now."""
        found = os.fstat(file)
        return cls(found.st_dev, found.st_ino, found.st_ctime_ns, checksum)


class Partial:
    """An open, locked partial file. Implements `oci.content.Ingest`; closing it keeps what has arrived."""

    def __init__(self, file: int, path: Path, descriptor: Descriptor, destination: Path, quarantine: Path) -> None:
        """Take over the locked `file` at `path`, continuing after the bytes that it holds."""
        self._file = file
        self._path = path
        self._descriptor = descriptor
        self._destination = destination
        self._quarantine = quarantine
        self._hasher = descriptor.digest.hasher()
        self._checksum = new_checksum()
        self._offset = 0
        self._given = 0  # bytes that the disk is writing already, or has written
        self.committed: Checked | None = None

    def __enter__(self) -> Self:
        """Hash what an earlier attempt left: a hash cannot be kept across processes, the bytes can."""
        try:
            if os.fstat(self._file).st_size > self._descriptor.size:
                self.restart()
            while chunk := os.pread(self._file, CHUNK, self._offset):
                self._hasher.update(chunk)
                self._checksum.update(chunk)
                self._offset += len(chunk)
        except BaseException:
            os.close(self._file)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, which gives up its lock."""
        os.close(self._file)

    @property
    def offset(self) -> int:
        """How many bytes are here."""
        return self._offset

    def write(self, chunk: bytes) -> None:
        """Append `chunk`; raises `IntegrityError` past the descriptor's size."""
        if self._offset + len(chunk) > self._descriptor.size:
            raise IntegrityError(
                f"what arrives for {self._descriptor.digest} is longer than its {self._descriptor.size:,} bytes",
                hint="the manifest, or what a proxy makes of the content, is wrong: compare it with another client",
            )
        self._hasher.update(chunk)
        self._checksum.update(chunk)
        view = memoryview(chunk)
        while view:
            written = os.pwrite(self._file, view, self._offset)
            self._offset += written
            view = view[written:]
        if self._offset - self._given >= _STEP:
            begin_writing(self._file, self._given, self._offset - self._given)
            self._given = self._offset

    def restart(self) -> None:
        """Forget what is here."""
        os.ftruncate(self._file, 0)
        self._hasher = self._descriptor.digest.hasher()
        self._checksum = new_checksum()
        self._offset = self._given = 0

    def commit(self) -> None:
        """Name the content; on a wrong size or digest quarantine it, begin anew and raise `IntegrityError`."""
        found = self._hasher.hexdigest()
        if self._offset != self._descriptor.size or found != self._descriptor.digest.hex:
            problem = f"{self._offset:,} bytes with {self._descriptor.digest.algorithm}:{found[:16]}…"
            self._copy_to_quarantine()
            self.restart()
            raise IntegrityError(
                f"what arrived for {self._descriptor.digest} is wrong: {problem} in place of {self._descriptor.size:,}",
                hint=f"the bytes are kept in {self._quarantine} for a look; a proxy may change content on the way",
                retryable=True,
            )
        os.fsync(self._file)  # the bytes must last before the name does; a name that a crash takes back costs nothing
        self._path.replace(self._destination)
        os.fchmod(self._file, 0o444)  # only now: a partial that cannot be written would end every later attempt
        self.committed = Checked.of(self._file, self._checksum.hexdigest())

    def _copy_to_quarantine(self) -> None:
        remove(self._quarantine)
        with self._quarantine.open("xb") as kept:
            position = 0
            while chunk := os.pread(self._file, CHUNK, position):
                position += kept.write(chunk)
