"""A file in zstd's seekable format, read from any place on: only the frames that are needed, in one passage."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from edgelift.bundle.seek_table import Frame, ReadAt, SeekTable
from edgelift.bundle.seekable import BLOCK, RAW_HEADER, decode, frame_header, may_be_raw, raw_position
from edgelift.bundle.source import ByteSource
from edgelift.bundle.spanned import name_of
from edgelift.errors import BundleError
from edgelift.oci.content import Bytes, ReadSome

_DECODED = 8 * 2**20  # bytes of decoded frames that are kept in memory, at least one
_PROCESSORS = os.cpu_count() or 1


class SeekableFile:
    """The content of a file in the seekable format, read from any place on. For several threads."""

    def __init__(self, source: ByteSource, table: SeekTable) -> None:
        """`table` is that of `source`."""
        self.name = source.name
        self.table = table
        self.source = source
        self._decoded = _LastFrames()
        self._turn = threading.BoundedSemaphore(_PROCESSORS)  # more at once are no quicker, and each holds a frame
        self._ahead = ThreadPoolExecutor(_PROCESSORS, thread_name_prefix="decode")
        self._passages = set[object]()  # those that are open

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
            passage = _Passage(self.table, stop, read_at, self._content, self._look_ahead)
            self._passages.add(passage)
            try:
                yield passage.read
            finally:
                self._passages.remove(passage)

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
        """What a compressed frame holds, decoded once for all who ask for it at the same time."""
        decoded, is_ours = self._decoded.claim(frame)
        if is_ours:
            try:
                stored = read_at(frame.stored_start, frame.stored_size)
                with self._turn:
                    decoded.set_result(decode(stored, frame, self._name_of(frame)))
            except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait have to know
                self._decoded.drop(frame)
                decoded.set_exception(error)
        return decoded.result()

    def _look_ahead(self, frame: Frame) -> None:
        """Have `frame` decoded while the one before it is used, where there are processors that nobody else needs.

        What is far away is read ahead by its source, for the thread of the passage alone.
        """
        if len(self._passages) < _PROCESSORS and not self.source.is_remote:
            self._ahead.submit(self._content, self.source.read_at, frame)

    def _name_of(self, frame: Frame) -> str:
        return name_of(self.source, frame.stored_start, frame.stored_start + frame.stored_size)


class _Passage:
    """One way forward, up to `stop`; remembers of the frame that it is in whether that is a raw one."""

    def __init__(
        self,
        table: SeekTable,
        stop: int,
        read_at: ReadAt,
        content: Callable[[ReadAt, Frame], bytes],
        look_ahead: Callable[[Frame], None],
    ) -> None:
        self._table = table
        self._stop = stop
        self._read_at = read_at
        self._content = content
        self._look_ahead = look_ahead
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
        if not self._is_raw and frame.stop < self._stop and not may_be_raw(following := self._table.find(frame.stop)):
            self._look_ahead(following)

    def _has_raw_header(self, frame: Frame) -> bool:
        return self._read_at(frame.stored_start, RAW_HEADER) == frame_header(frame.size, is_raw=True)


class _LastFrames:
    """The frames that were asked for last, decoded or about to be. For several threads."""

    def __init__(self) -> None:
        self._decoded: OrderedDict[Frame, Future[bytes]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def claim(self, frame: Frame) -> tuple[Future[bytes], bool]:
        """What `frame` holds; True where nobody sees to that yet but the caller, who has to."""
        with self._lock:
            if frame in self._decoded:
                self._decoded.move_to_end(frame)
                return self._decoded[frame], False
            self._decoded[frame] = claimed = Future[bytes]()
            self._size += frame.size
            while self._size > _DECODED and len(self._decoded) > 1:
                self._size -= self._decoded.popitem(last=False)[0].size
            return claimed, True

    def drop(self, frame: Frame) -> None:
        """Forget `frame`, which could not be decoded: whoever asks for it next tries again."""
        with self._lock:
            if self._decoded.pop(frame, None) is not None:
                self._size -= frame.size
