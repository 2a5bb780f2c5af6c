"""A file in zstd's seekable format, read from any place on: only the frames that are needed, in one passage."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator

from edgelift.bundle.seek_table import Frame, ReadAt, SeekTable
from edgelift.bundle.seekable import BLOCK, RAW_HEADER, decode, frame_header, may_be_raw, raw_position
from edgelift.bundle.source import ByteSource
from edgelift.bundle.spanned import name_of
from edgelift.errors import BundleError

_DECODED = 8 * 2**20  # bytes of decoded frames that are kept in memory, at least one


class SeekableFile:
    """The content of a file in the seekable format, read from any place on. For several threads."""

    def __init__(self, source: ByteSource, table: SeekTable) -> None:
        """`table` is that of `source`."""
        self.name = source.name
        self.table = table
        self.source = source
        self._decoded = _LastFrames()

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """The content from `start` to `stop` in chunks; raises `BundleError` past its end.

        A compressed frame that is damaged raises `IntegrityError`; raw ones are not checked: the caller has digests.
        """
        if not 0 <= start <= stop <= self.table.content_size:
            raise BundleError(f"{self.name} ends before what its lock promises")
        if start == stop:
            return
        with self.source.passage(*self._stored_range(start, stop)) as read_at:
            while start < stop:
                frame = self.table.find(start)
                upto = min(stop, frame.stop)
                yield from self._read_frame(read_at, frame, start - frame.start, upto - frame.start)
                start = upto

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

    def _read_frame(self, read_at: ReadAt, frame: Frame, start: int, stop: int) -> Iterator[bytes]:
        if not (may_be_raw(frame) and self._is_raw(read_at, frame)):
            content = memoryview(self._content(read_at, frame))[start:stop]
            yield from (bytes(content[at : at + BLOCK]) for at in range(0, len(content), BLOCK))
            return
        while start < stop:
            upto = min(stop, start - start % BLOCK + BLOCK)
            yield read_at(frame.stored_start + raw_position(start), upto - start)
            start = upto

    def _is_raw(self, read_at: ReadAt, frame: Frame) -> bool:
        return read_at(frame.stored_start, RAW_HEADER) == frame_header(frame.size, is_raw=True)

    def _name_of(self, frame: Frame) -> str:
        return name_of(self.source, frame.stored_start, frame.stored_start + frame.stored_size)

    def _content(self, read_at: ReadAt, frame: Frame) -> bytes:
        return self._decoded.get(
            frame, lambda: decode(read_at(frame.stored_start, frame.stored_size), frame, self._name_of(frame))
        )


class _LastFrames:
    """The content of the frames that were decoded last. For several threads."""

    def __init__(self) -> None:
        self._contents: OrderedDict[Frame, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, frame: Frame, decode: Callable[[], bytes]) -> bytes:
        """What `frame` holds, by `decode` where that is not known any more."""
        with self._lock:
            if frame in self._contents:
                self._contents.move_to_end(frame)
                return self._contents[frame]
        content = decode()
        with self._lock:
            if frame not in self._contents:
                self._contents[frame] = content
                self._size += len(content)
            while self._size > _DECODED and len(self._contents) > 1:
                self._size -= len(self._contents.popitem(last=False)[1])
        return content
