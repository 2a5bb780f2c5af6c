"""A file in zstd's seekable format, read from any place on: only the frames that are needed, in one passage."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edgelift.bundle.seek_table import Frame, ReadAt, SeekTable
from edgelift.bundle.seekable import BLOCK, RAW_HEADER, decode, frame_header, may_be_raw, raw_position
from edgelift.bundle.source import ByteSource
from edgelift.bundle.spanned import name_of
from edgelift.errors import BundleError
from edgelift.oci.content import Bytes, ReadSome

_DECODED = 8 * 2**20  # bytes of decoded frames that are kept in memory, at least one


class SeekableFile:
    """The content of a file in the seekable format, read from any place on. For several threads."""

    def __init__(self, source: ByteSource, table: SeekTable) -> None:
        """`table` is that of `source`."""
        self.name = source.name
        self.table = table
        self.source = source
        self._decoded = _LastFrames()
        # More at once are no quicker, and each holds a frame.
        self._turn = threading.BoundedSemaphore(os.cpu_count() or 1)

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """The content from `start` to `stop` in chunks; raises `BundleError` past its end.

        A compressed frame that is damaged raises `IntegrityError`; raw ones are not checked: the caller has digests.
        """
        with self.passage(start, stop) as read:
            while start < stop:
                chunk = read(start, min(stop - start, BLOCK))
                start += len(chunk)
                yield bytes(chunk)

    @contextmanager
    def passage(self, start: int, stop: int) -> Iterator[ReadSome]:
        """The content from `start` to `stop`, for one thread at a time that goes forward; raises what `read` does."""
        if not 0 <= start <= stop <= self.table.content_size:
            raise BundleError(f"{self.name} ends before what its lock promises")
        if start == stop:
            yield lambda _offset, _limit: b""
            return
        with self.source.passage(*self._stored_range(start, stop)) as read_at:
            yield _Passage(self.table, read_at, self._content).read

    def place_of(self, start: int, stop: int) -> str:
        """What messages call the place of the content from `start` to `stop`: the file, or the parts that hold it."""
        return name_of(self.source, *self._stored_range(start, stop))

    def stored_frames(self) -> Iterator[tuple[Frame, bytes]]:
        """Every frame, and the bytes of it as they are in the file, from front to back."""
        with self.source.passage(0, self.table.stored_size) as read_at:
            for frame in self.table:
                yield frame, read_at(frame.stored_start, frame.stored_size)

    def _stored_range(self, start: int, stop: int) -> tuple[int, int]:
        """The part of the file that holds the content from `start` to `stop`, and no more of raw frames than that."""
        first, last = self.table.find(start), self.table.find(stop - 1)
        begin, end = first.stored_start, last.stored_start + last.stored_size
        if may_be_raw(first) and start > first.start:
            begin += raw_position(start - first.start)
        if may_be_raw(last):
            end = last.stored_start + raw_position(stop - 1 - last.start) + 1
        return begin, end

    def _content(self, read_at: ReadAt, frame: Frame) -> bytes:
        content = self._decoded.get(frame)
        if content is None:
            stored = read_at(frame.stored_start, frame.stored_size)
            with self._turn:
                content = self._decoded.get(frame) or decode(stored, frame, self._name_of(frame))
                self._decoded.put(frame, content)
        return content

    def _name_of(self, frame: Frame) -> str:
        return name_of(self.source, frame.stored_start, frame.stored_start + frame.stored_size)


class _Passage:
    """One way forward; remembers of the frame that it is in whether that is a raw one."""

    def __init__(self, table: SeekTable, read_at: ReadAt, content: Callable[[ReadAt, Frame], bytes]) -> None:
        self._table = table
        self._read_at = read_at
        self._content = content
        self._frame = Frame(0, 0, 0, 0)
        self._is_raw = False

    def read(self, offset: int, limit: int) -> Bytes:
        """Some of the content from `offset` on, at most `limit` bytes and nothing that another frame or block has."""
        if not self._frame.start <= offset < self._frame.stop:
            self._enter(self._table.find(offset))
        frame, within = self._frame, offset - self._frame.start
        length = min(limit, frame.size - within)
        if self._is_raw:
            length = min(length, BLOCK - within % BLOCK)
            return self._read_at(frame.stored_start + raw_position(within), length)
        return memoryview(self._content(self._read_at, frame))[within : within + length]

    def _enter(self, frame: Frame) -> None:
        self._frame = frame
        self._is_raw = may_be_raw(frame) and self._has_raw_header(frame)

    def _has_raw_header(self, frame: Frame) -> bool:
        return self._read_at(frame.stored_start, RAW_HEADER) == frame_header(frame.size, is_raw=True)


class _LastFrames:
    """The content of the frames that were decoded last. For several threads."""

    def __init__(self) -> None:
        self._contents: OrderedDict[Frame, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, frame: Frame) -> bytes | None:
        """What `frame` holds; None where that is not known any more."""
        with self._lock:
            if frame in self._contents:
                self._contents.move_to_end(frame)
            return self._contents.get(frame)

    def put(self, frame: Frame, content: bytes) -> None:
        """Keep what `frame` holds for a while."""
        with self._lock:
            if frame not in self._contents:
                self._contents[frame] = content
                self._size += len(content)
            while self._size > _DECODED and len(self._contents) > 1:
                self._size -= len(self._contents.popitem(last=False)[1])
