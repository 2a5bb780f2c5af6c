"""Assemble while pulling: the bundle is written in a thread of its own, each blob as soon as it has arrived.

Disk and processor would else wait for each other: a pull is bound by the one, assembling by the other.
"""

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from edgelift.bundle.lock import BundleLock
from edgelift.bundle.standing import ensure_bundle
from edgelift.bundle.writer import BundleSummary, Progress
from edgelift.errors import EdgeliftError
from edgelift.oci.content import BufferReader
from edgelift.oci.descriptor import Descriptor

if TYPE_CHECKING:
    from edgelift.bundle.signature import PrivateKey

# Seconds between two looks for what has not arrived; it may come from another process, so none tells us.
_PAUSE, _PAUSE_AFAR = 0.02, 0.5
_log = logging.getLogger(__name__)


class Assembly:
    """The bundle of `lock` at `path`, in the making while the block brings the content of `lock` into `source`.

    It gets its name in `finish`. Else it is given up at the end of the block, and nothing is left of it.
    """

    def __init__(
        self,
        lock: BundleLock,
        source: BufferReader,
        path: Path,
        *,
        progress: Progress | None = None,
        key: "PrivateKey | None" = None,
        wants_digest: bool = False,
        part_size: int | None = None,
        is_remote: bool = False,
    ) -> None:
        """`progress` is called in another thread; where `source` `is_remote`, each look at it is a request.

        The other options are those of `ensure_bundle`.
        """
        self._lock = lock
        self._path = path
        self._key = key
        self._wants_digest = wants_digest
        self._part_size = part_size
        self._arriving = _Arriving(source, progress, _PAUSE_AFAR if is_remote else _PAUSE)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="assemble")

    def __enter__(self) -> Self:
        """Begin."""
        arriving = self._arriving
        self._outcome = self._thread.submit(
            ensure_bundle,
            self._lock,
            arriving,
            self._path,
            progress=arriving.count_progress,
            confirm=arriving.wait_until_ended,
            key=self._key,
            wants_digest=self._wants_digest,
            part_size=self._part_size,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give up what is not finished; what went wrong with it is logged, lest the next run finds it out anew."""
        self._arriving.give_up()
        self._thread.shutdown()
        failure = self._outcome.exception()
        if kind is not None and failure is not error and isinstance(failure, EdgeliftError):
            _log.warning("%s", failure)

    def finish(self) -> tuple[BundleSummary, bool]:
        """Once everything has arrived: see that the bundle is whole; gives and raises what `ensure_bundle` does."""
        self._arriving.end()
        return self._outcome.result()


class _GivenUpError(Exception):
    """The bundle is not wanted any more; nobody sees this."""


class _Arriving:
    """Content of `source` that may still be on its way there. Implements `oci.content.BufferReader`."""

    def __init__(self, source: BufferReader, progress: Progress | None, pause: float) -> None:
        self._source = source
        self._progress = progress
        self._pause = pause
        self._ended = threading.Event()
        self._is_given_up = False

    def exists(self, descriptor: Descriptor) -> bool:
        """Whether the content is here, or may still come."""
        self._check()
        return not self._ended.is_set() or self._source.exists(descriptor)

    def read_into(self, buffer: memoryview, descriptor: Descriptor) -> Iterator[memoryview]:
        """The content, once it is here; errors are those of `source`."""
        while not self._ended.is_set() and not self._source.exists(descriptor):
            self._ended.wait(self._pause)
        self._check()  # else what has not arrived would be told of as missing, which nobody wants any more
        for chunk in self._source.read_into(buffer, descriptor):
            self._check()
            yield chunk

    def count_progress(self, size: int) -> None:
        """Tell of `size` bytes done, unless the bundle is given up."""
        self._check()
        if self._progress is not None:
            self._progress(size)

    def wait_until_ended(self) -> None:
        """Return once nothing more will come."""
        self._ended.wait()
        self._check()

    def end(self) -> None:
        """Nothing more will come."""
        self._ended.set()

    def give_up(self) -> None:
        """Raise in the thread that reads."""
        self._is_given_up = True
        self._ended.set()

    def _check(self) -> None:
        if self._is_given_up:
            raise _GivenUpError
