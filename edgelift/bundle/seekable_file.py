"""A file in zstd's seekable format, read from any place on: only the frames that are needed, in one passage."""

from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager

from edgelift.bundle.decoded import DecodedFrames
from edgelift.bundle.seek_table import Frame, ReadAt, SeekTable
from edgelift.bundle.seekable import BLOCK, RAW_HEADER, frame_header, may_be_raw, raw_position
from edgelift.bundle.source import ByteSource
from edgelift.bundle.spanned import name_of
from edgelift.errors import BundleError
from edgelift.oci.content import Bytes, ReadSome


class SeekableFile:
    """The content of a file in the seekable format, read from any place on. For several threads."""

    def __init__(self, source: ByteSource, table: SeekTable) -> None:
        """`table` is that of `source`."""
        self.name = source.name
        self.table = table
        self.source = source
        self._decoded = DecodedFrames(source)

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
        with self.source.passage(*self._stored_range(start, stop)) as read_at, self._decoded.reading():
            passage = _Passage(self.table, read_at, self._decoded, stop)
            try:
                yield passage.read
            finally:
                passage.settle()

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


class _Passage:
    """One way forward, to `stop`; remembers of the frame that it is in whether that is a raw one.

    Who takes a whole frame is quick: the next one is decoded meanwhile.
    """

    def __init__(self, table: SeekTable, read_at: ReadAt, decoded: DecodedFrames, stop: int) -> None:
        self._table = table
        self._read_at = read_at
        self._decoded = decoded
        self._stop = stop
        self._ahead: Future[None] | None = None
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
        self.settle()
        content = self._decoded.content(self._read_at, frame)
        if length == frame.size and frame.stop < self._stop:
            self._look_ahead(self._table.find(frame.stop))
        return memoryview(content)[within : within + length]

    def settle(self) -> None:
        """Wait until nothing is read any more on behalf of this passage."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            wait([ahead])

    def _look_ahead(self, frame: Frame) -> None:
        if not may_be_raw(frame):
            self._ahead = self._decoded.begin(frame)

    def _enter(self, frame: Frame) -> None:
        self._frame = frame
        self._is_raw = may_be_raw(frame) and self._has_raw_header(frame)

    def _has_raw_header(self, frame: Frame) -> bool:
        return self._read_at(frame.stored_start, RAW_HEADER) == frame_header(frame.size, is_raw=True)
