"""The form of a bundle: each frame checked, decoded, and compared with the frame that the writer would have made.

Right content in another form (compressed again by another tool, or by hand) is kept apart from damage: the first such
oddity is held until everything has been seen. What may differ without being one is how a zstd of another version has
compressed; the header of such a frame may not.
"""

from collections.abc import Iterator
from itertools import takewhile

from edgelift.bundle.container import Container, Span
from edgelift.bundle.file_digest import FileDigest
from edgelift.bundle.seek_table import Closing, Frame
from edgelift.bundle.seekable import content_checksum, decode, frame_header, raw_blocks
from edgelift.bundle.seekable_file import SeekableFile
from edgelift.errors import BundleError, IntegrityError


class FrameCheck:
    """One passage through all frames of `file`; every byte of it goes to `digest` as well, if there is one."""

    def __init__(self, file: SeekableFile, container: Container, digest: FileDigest | None) -> None:
        self._file = file
        self._container = container
        self._digest = digest
        self._closing = Closing()
        self._end = 0
        self._oddity: str | None = None

    def contents(self) -> Iterator[memoryview]:
        """The tar that the frames hold; raises `IntegrityError` at the first that is damaged."""
        spans = self._container.frames()
        for frame, stored in takewhile(lambda each: each[0].size, self._file.stored_frames()):
            self._pass_on(stored)
            self._end += frame.stored_size
            pieces = self._raw_blocks(frame, stored, next(spans, None))
            if pieces is not None:
                self._closing.add_raw(frame.stored_size, frame.size, content_checksum(pieces))
            else:
                pieces = [self._decode(frame, stored)]
                self._closing.add_compressed(stored, frame.size, content_checksum(pieces))
            yield from pieces

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

    def _read_end(self, size: int) -> bytes:
        return self._file.source.read_at(self._end, size)

    def _raw_blocks(self, frame: Frame, stored: bytes, span: Span | None) -> list[memoryview] | None:
        """The content of a frame of raw blocks; None where it is another one, be it as it should or not."""
        at = f"the frame at byte {frame.stored_start}"
        if span is None or (span.start, span.stop) != (frame.start, frame.stop):
            self._note(f"{at} is cut at another place")
        elif span.is_raw:
            blocks = raw_blocks(stored, frame.size)
            if blocks is not None:
                return blocks
            self._note(f"{at} does not consist of raw blocks as it should")
        elif not stored.startswith(frame_header(frame.size, is_raw=False)):
            self._note(f"{at} has another header")
        return None

    def _decode(self, frame: Frame, stored: bytes) -> memoryview:
        try:
            return memoryview(decode(stored, frame, self._file.name))
        except IntegrityError as error:
            raise IntegrityError(f"{error.message}; it holds {self._place(frame)}", hint=error.hint) from None

    def _pass_on(self, stored: bytes) -> None:
        if self._digest is not None:
            self._digest.update([stored])

    def _note(self, oddity: str) -> None:
        self._oddity = self._oddity or oddity

    def _place(self, frame: Frame) -> str:
        return next((each.name for each in self._container.members if each.end > frame.start), "the end of the tar")
