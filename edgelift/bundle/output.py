"""Writing a large file once, past the page cache where the disk allows it.

What is written here is not read again soon, so keeping it in memory would only push out what is: the blobs it is made
of. While the caller fills one buffer, others are written in a thread of their own.
"""

import errno
import fcntl
import hashlib
import mmap
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

BUFFER = 4 * 2**20  # bytes; enough for a disk to be busy, and a multiple of every disk's block
_BUFFERS = 3  # one is filled while another is written and the third waits, so that neither side waits for the other
_BLOCK = 4096  # bytes; what unbuffered writes are aligned to
_DIRECT: int = getattr(os, "O_DIRECT", 0)  # Linux


class OutputFile:
    """The open, empty file `file`, written from its start to its end. For one thread."""

    def __init__(self, file: int, hashers: "Sequence[hashlib._Hash]" = ()) -> None:
        """Each of `hashers` gets all that is written, on its way and in its order."""
        self._file = file
        self._hashers = hashers
        self._is_direct = _set_direct(file, wanted=True)
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="file-write")
        self._buffers = [mmap.mmap(-1, BUFFER) for _ in range(_BUFFERS)]  # page-aligned, as unbuffered writes demand
        self._pending: list[list[Future[None]]] = [[] for _ in self._buffers]
        self._current = 0
        self._filled = 0  # of the current buffer, bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writing.shutdown(cancel_futures=True)

    def write(self, parts: Iterable[bytes | memoryview]) -> None:
        """Append `parts`, which are copied as they come; raises `OSError`, perhaps for what was given earlier."""
        for part in parts:
            rest = memoryview(part)
            while rest:
                room = BUFFER - self._filled
                piece, rest = rest[:room], rest[room:]
                self._buffers[self._current][self._filled : self._filled + len(piece)] = piece
                self._filled += len(piece)
                if self._filled == BUFFER:
                    self._pass_on()

    def finish(self) -> None:
        """Write what is left, and make the file durable."""
        self._pass_on()
        for futures in self._pending:
            _settle(futures)
        os.fsync(self._file)

    def _pass_on(self) -> None:
        """Have the current buffer written, and go on with the next one once it is free."""
        span = memoryview(self._buffers[self._current])[: self._filled]
        self._pending[self._current].append(self._writing.submit(self._write, span))
        self._current = (self._current + 1) % len(self._buffers)
        self._filled = 0
        _settle(self._pending[self._current])

    def _write(self, span: memoryview) -> None:
        for hasher in self._hashers:
            hasher.update(span)
        while span:
            if self._is_direct and len(span) % _BLOCK:
                self._is_direct = _set_direct(self._file, wanted=False)  # the end of the file, or a write cut short
            try:
                written = os.write(self._file, span)
            except OSError as error:
                if not self._is_direct or error.errno != errno.EINVAL:
                    raise
                self._is_direct = _set_direct(self._file, wanted=False)  # a file system with demands of its own
                continue
            span = span[written:]


def _set_direct(file: int, *, wanted: bool) -> bool:
    """Have writes to `file` pass the page cache or not; gives whether they do."""
    flags = fcntl.fcntl(file, fcntl.F_GETFL) & ~_DIRECT
    try:
        fcntl.fcntl(file, fcntl.F_SETFL, flags | (_DIRECT if wanted else 0))
    except OSError:  # the file system knows no such thing
        return False
    return wanted and bool(_DIRECT)


def _settle(futures: list[Future[None]]) -> None:
    while futures:
        futures.pop().result()
