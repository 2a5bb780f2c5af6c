"""The form of a bundle: each frame checked, decoded, and compared with the frame that the writer would have made.

Right content in another form (compressed again by another tool, or by hand) is kept apart from damage: the first such
oddity is held until everything has been seen. What may differ without being one is how a zstd of another version has
compressed; the header of such a frame may not.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import takewhile
from typing import NamedTuple

from edgelift.bundle.container import Container, Span
from edgelift.bundle.file_digest import FileDigest
from edgelift.bundle.seek_table import Closing, Frame
from edgelift.bundle.seekable import content_checksum, decode, frame_header, raw_blocks, stored_checksum
from edgelift.bundle.seekable_file import SeekableFile
from edgelift.errors import BundleError, IntegrityError

_THREADS = min(4, os.cpu_count() or 1)
_AHEAD = 3  # frames that are read and checked while those before them are hashed; each may have 8 MiB


class FrameCheck:
    """One passage through all frames of `file`; every byte of it goes to each of `digests` as well."""

    def __init__(self, file: SeekableFile, container: Container, digests: Sequence[FileDigest] = ()) -> None:
        self._file = file
        self._container = container
        self._digests = digests
        self._closing = Closing()
        self._end = 0
        self._oddity: str | None = None

    def contents(self) -> Iterator[memoryview]:
        """The tar that the frames hold; raises `IntegrityError` at the first that is damaged."""
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="verify") as pool:
            for checked in self._checked_ahead(pool):
                self._pass_on(checked.stored)
                self._end += len(checked.stored)
                self._oddity = self._oddity or checked.oddity
                if checked.is_raw:
                    self._closing.add_raw(len(checked.stored), checked.size, checked.checksum)
                else:
                    self._closing.add_compressed(checked.stored, checked.size, checked.checksum)
                yield from checked.pieces

    def finish(self, file_size: int) -> None:
        """Raises `BundleError` where a frame has another form, `IntegrityError` where the file ends wrongly."""
        expected = self._closing.to_bytes()
        is_sealed = file_size - self._end == len(expected) and self._read_end(len(expected)) == expected
        self._pass_on(expected)
        if self._oddity is not None:
            raise BundleError(
                f"{self._file.name} has the right content, but is not the file that edgelift wrote: {self._oddity}",
                hint="another tool has compressed it again: its digest and signature are not those of the bundle; "
                "get the original, or assemble it again",
            )
        if not is_sealed:
            raise IntegrityError(
                f"{self._file.name} is damaged: at byte {self._end}, after its frames, is not their seal and table",
                hint="copy or assemble the bundle again",
            )

    def _checked_ahead(self, pool: ThreadPoolExecutor) -> Iterator["_Checked"]:
        """The frames in their order, though several are looked at together."""
        spans, waiting = self._container.frames(), deque[Future[_Checked]]()
        for frame, stored in takewhile(lambda each: each[0].size, self._file.stored_frames()):
            waiting.append(pool.submit(self._check, frame, stored, next(spans, None)))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _check(self, frame: Frame, stored: bytes, span: Span | None) -> "_Checked":
        blocks, oddity = _judge(frame, stored, span)
        if blocks is not None:
            return _Checked(stored, frame.size, blocks, stored_checksum(stored), is_raw=True, oddity=oddity)
        pieces = [self._decode(frame, stored)]
        return _Checked(stored, frame.size, pieces, content_checksum(pieces), is_raw=False, oddity=oddity)

    def _read_end(self, size: int) -> bytes:
        return self._file.source.read_at(self._end, size)

    def _decode(self, frame: Frame, stored: bytes) -> memoryview:
        try:
            return memoryview(decode(stored, frame, self._file.name))
        except IntegrityError as error:
            raise IntegrityError(f"{error.message}; it holds {self._place(frame)}", hint=error.hint) from None

    def _pass_on(self, stored: bytes) -> None:
        for digest in self._digests:
            digest.update([stored])

    def _place(self, frame: Frame) -> str:
        return next((each.name for each in self._container.members if each.end > frame.start), "the end of the tar")


class _Checked(NamedTuple):
    """A frame as it is `stored`, and its content: pieces of `size` bytes together, and the low half of their XXH64."""

    stored: bytes
    size: int
    pieces: list[memoryview]
    checksum: int
    is_raw: bool
    oddity: str | None


def _judge(frame: Frame, stored: bytes, span: Span | None) -> tuple[list[memoryview] | None, str | None]:
    """The content where the frame is one of raw blocks, as it should be; and what is odd about it for that `span`."""
    at = f"the frame at byte {frame.stored_start}"
    if span is None or (span.start, span.stop) != (frame.start, frame.stop):
        return None, f"{at} is cut at another place"
    if span.is_raw:
        blocks = raw_blocks(stored, frame.size)
        return blocks, None if blocks is not None else f"{at} does not consist of raw blocks as it should"
    is_headed = stored.startswith(frame_header(frame.size, is_raw=False))
    return None, None if is_headed else f"{at} has another header"
