"""The content of a file's compressed frames: decoded once for all who read them at about the same time."""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from edgelift.bundle.seek_table import Frame, ReadAt
from edgelift.bundle.seekable import decode
from edgelift.bundle.source import ByteSource
from edgelift.bundle.spanned import name_of

_KEPT = 8 * 2**20  # bytes of decoded frames that are kept in memory, at least one


class DecodedFrames:
    """The content of the frames of `source`. For several threads."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._last = _LastFrames()
        # More at once are no quicker, and each holds a frame.
        self._turn = threading.BoundedSemaphore(os.cpu_count() or 1)
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._readers = 0
        self._lock = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around all that one reader does."""
        with self._lock:
            self._readers += 1
        try:
            yield
        finally:
            with self._lock:
                self._readers -= 1

    def content(self, read_at: ReadAt, frame: Frame) -> bytes:
        """What `frame` holds, read with `read_at`; raises what that and `decode` raise."""
        content = self._last.get(frame)
        if content is None:
            stored = read_at(frame.stored_start, frame.stored_size)
            with self._turn:
                content = self._last.get(frame) or decode(stored, frame, self._name_of(frame))
                self._last.put(frame, content)
        return content

    def begin(self, frame: Frame) -> "Future[None] | None":
        """Decode `frame` in another thread, so that `content` has it at once; what fails there fails again here.

        None unless there is one reader: several keep the processors busy by themselves, and would push each other's
        frames out of memory. None, too, where `source` would have that thread wait for a network.
        """
        if self._source.is_remote or self._readers > 1:
            return None
        return self._ahead.submit(self._decode, frame)

    def _decode(self, frame: Frame) -> None:
        """As `content`, which keeps it: what is begun holds no frame itself."""
        self.content(self._source.read_at, frame)

    def _name_of(self, frame: Frame) -> str:
        return name_of(self._source, frame.stored_start, frame.stored_start + frame.stored_size)


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
            while self._size > _KEPT and len(self._contents) > 1:
                self._size -= len(self._contents.popitem(last=False)[1])
