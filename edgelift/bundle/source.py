"""Where the bytes of a bundle come from: the port, and the file on a disk.

Others are `edgelift.s3_object` and `bundle.spanned`; `bundle.opening` chooses.
"""

import os
import stat
import weakref
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

from edgelift.bundle.seek_table import ReadAt
from edgelift.documents import read_beginning, state_of
from edgelift.errors import BundleError

_S3 = "s3://"


class ByteSource(Protocol):
    """A file, wherever it is kept, as it was when it was opened; for any number of threads."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def size(self) -> int:
        """Its bytes."""

    @property
    def is_remote(self) -> bool:
        """Whether each look at it is a request, so that what is read together should be asked for together."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset` on; raises `EdgeliftError` where they cannot be read."""

    def passage(self, start: int, stop: int) -> AbstractContextManager[ReadAt]:
        """As `read_at`, for one thread that goes forward from `start` to `stop`, which is read ahead."""

    def state(self) -> object:
        """Something that is another as soon as the bytes may have changed; None where that cannot be told."""

    def read_beside(self, suffix: str, limit: int) -> bytes | None:
        """Up to `limit` bytes of the file of this one's name and `suffix`; None where there is none."""

    def close(self) -> None:
        """Let go of it; closing it twice does nothing."""


def is_object(place: str) -> bool:
    """Whether `place` is the URL of an object in S3, and not a path."""
    return place.startswith(_S3)


class LocalFile:
    """A regular file, open for reading at any place. Implements `ByteSource`.

    The file stays the one that was opened, also where another takes its name meanwhile.
    """

    is_remote = False

    def __init__(self, path: Path) -> None:
        """Raises `BundleError` where there is no file at `path`."""
        self.name = str(path)
        try:
            self._number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not block us
            found = os.fstat(self._number)
        except OSError as error:
            raise BundleError(f"cannot open {path}: {error.strerror}") from None
        # Whoever opens many, and cannot know when the last of their readers is done, need not close them.
        self._close = weakref.finalize(self, os.close, self._number)
        self.size = found.st_size
        if not stat.S_ISREG(found.st_mode):
            self.close()
            raise BundleError(f"{path} is not a file", hint="a bundle is the .tar.zst that build made")

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset` on; raises `BundleError` where they cannot be read."""
        try:
            data = os.pread(self._number, length, offset)
        except OSError as error:
            raise BundleError(f"cannot read {self.name}: {error.strerror}") from None
        if len(data) != length:
            raise BundleError(f"{self.name} became shorter while it was read")
        return data

    def passage(self, start: int, stop: int) -> AbstractContextManager[ReadAt]:  # noqa: ARG002 - the system reads ahead
        """`read_at`."""
        return nullcontext(self.read_at)

    def state(self) -> object:
        """The moment of the file's last change, which no program can set; see `documents.state_of`."""
        return state_of(self._number)

    def read_beside(self, suffix: str, limit: int) -> bytes | None:
        """The beginning of the file of this one's name and `suffix`; see `documents.read_beginning`."""
        return read_beginning(Path(f"{self.name}{suffix}"), limit)

    def close(self) -> None:
        """Close the file."""
        self._number = -1
        self._close()
