"""The content of a file's compressed frames: decoded once for all who read them at about the same time."""

import os
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor

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
        self._is_idle = threading.Semaphore()

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

        None where that thread is busy, so that nothing piles up, and where `source` would have it wait for a network.
        """
        if self._source.is_remote or not self._is_idle.acquire(blocking=False):
            return None
        begun = self._ahead.submit(self._decode, frame)
        begun.add_done_callback(lambda _: self._is_idle.release())
        return begun

    def _decode(self, frame: Frame) -> None:
        """As `content`, which keeps it: whoever is slow to ask for it holds no frame in memory."""
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
