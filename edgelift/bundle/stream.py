"""A bundle without its seek table, because another tool has compressed it again: read once, from front to back.

What is in it is held to the same rules as what is in a bundle. That it is another file than the one that edgelift wrote
cannot be helped here, but by writing that one again.
"""

from collections import deque
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

from edgelift.bundle.container import END_OF_TAR, LOCK_LIMIT, Blob
from edgelift.bundle.file_digest import FileDigest
from edgelift.bundle.front import NOT_OURS, compare_header, read_front
from edgelift.bundle.opening import open_source
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.seekable import decode_all
from edgelift.bundle.source import ByteSource
from edgelift.bundle.writer import BundleSummary, assemble_bundle
from edgelift.errors import BundleError, IntegrityError, UnseekableError
from edgelift.oci.descriptor import Descriptor

_AGAIN = "copy or assemble the bundle again"
_PIECE = 2**20  # bytes of the file that are read at once
_FRONT_LIMIT = 4 * LOCK_LIMIT  # bytes, all of which are held in memory


def open_for_lock(place: Path | str) -> "BundleReader | BundleStream":
    """Open the bundle at `place`, with a seek table or without; all that is asked of it is its lock."""
    try:
        return BundleReader.open(place)
    except UnseekableError:
        return BundleStream.open(place)


def reassemble_bundle(stream: "BundleStream", path: Path, *, part_size: int | None = None) -> BundleSummary:
    """Write the bundle that edgelift made at first to `path`, from what another tool has made of it.

    It is that one to the byte, where zstd is of the same version, and in parts where there is a `part_size`. Nothing of
    `stream` may have been read but its lock, which the caller may have checked: no other file is opened. Raises what
    reading and `assemble_bundle` raise, and leaves `path` as it was then.
    """
    signature = stream.lock_signature
    return assemble_bundle(
        stream.lock, stream, path, confirm=stream.expect_end, lock_signature=signature, part_size=part_size
    )


class TarStream:
    """The decoded tar, taken from front to back."""

    def __init__(self, name: str, source: Iterator[memoryview]) -> None:
        self.name = name
        self._source = source
        self._position = 0
        self._rest = memoryview(b"")

    def take(self, size: int) -> Iterator[memoryview]:
        """The next `size` bytes in pieces."""
        while size:
            self._rest = self._rest or next(self._source, memoryview(b""))
            if not self._rest:
                raise BundleError(f"{self.name} ends early, at byte {self._position} of its tar", hint=_AGAIN)
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            self._position += len(piece)
            yield piece

    def expect(self, content: bytes, what: str) -> None:
        """The next bytes are `content`; raises `BundleError` that says `what` is not."""
        start = self._position
        if b"".join(self.take(len(content))) != content:
            raise BundleError(
                f"{self.name} is not what its lock gives: {what} differs, at byte {start} of its tar", hint=_AGAIN
            )

    def expect_end(self) -> None:
        """Nothing follows; this also makes sure that every frame was looked at."""
        if self._rest or next(self._source, None) is not None:
            raise BundleError(f"{self.name} goes on after the end of its tar", hint=_AGAIN)


class BundleStream:
    """A bundle that is read once. Implements `oci.content.BufferReader` for whoever asks in the order of the file."""

    def __init__(self, source: ByteSource, digest: FileDigest | None = None) -> None:
        """Read the lock; all bytes of the file go to `digest` as they come. Raises as `BundleReader.of`."""
        self.name = source.name
        self.size = source.size
        self._source = source
        decoded = decode_all(_stored(source, digest), source.name)
        front = _Front(source.name, decoded)
        self.front = read_front(front)
        self.lock, self.lock_signature, self.container = self.front
        self.tar = TarStream(source.name, map(memoryview, chain([bytes(front.content)], decoded)))
        self._coming = iter(self.container.members)
        self._blobs = {blob.descriptor.digest: blob for blob in self.container.blobs}

    @classmethod
    def open(cls, place: Path | str, digest: FileDigest | None = None) -> Self:
        """Open what is at `place`, a path or s3://bucket/key."""
        source = open_source(place)
        try:
            return cls(source, digest)
        except BaseException:
            source.close()
            raise

    def exists(self, descriptor: Descriptor) -> bool:
        """Whether the content is to come, with the descriptor's size."""
        blob = self._blobs.get(descriptor.digest)
        return blob is not None and blob.size == descriptor.size

    def read_into(self, buffer: memoryview, descriptor: Descriptor) -> Iterator[memoryview]:
        """The content in chunks, each in `buffer`; it has to be the next in the file that was not asked for."""
        blob = self._next_blob()
        if blob.descriptor.digest != descriptor.digest:
            raise BundleError(f"{self.name} has {blob.name} next, and not {descriptor.digest}")
        hasher = blob.descriptor.digest.hasher()
        for piece in self.tar.take(blob.size):
            hasher.update(piece)
            buffer[: len(piece)] = piece
            yield buffer[: len(piece)]
        if hasher.hexdigest() != blob.descriptor.digest.hex:
            raise IntegrityError(f"{self.name} is damaged: {blob.name} is not what its name says", hint=_AGAIN)
        self.tar.expect(blob.padding, f"the padding after {blob.name}")

    def expect_end(self) -> None:
        """Raise `BundleError` unless all was read, and the file ends here."""
        self.tar.expect(END_OF_TAR, "the end")
        self.tar.expect_end()

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _next_blob(self) -> Blob:
        """The blob that begins here, once its header has been seen; documents before it are passed over."""
        for member in self._coming:
            compare_header(self.name, member, b"".join(self.tar.take(len(member.header))))
            if isinstance(member, Blob):
                return member
            deque(self.tar.take(member.size + len(member.padding)), maxlen=0)
        raise BundleError(f"{self.name} holds nothing more")


class _Front:
    """The beginning of a tar that comes in pieces, kept in memory as far as it was looked at."""

    def __init__(self, name: str, pieces: Iterator[bytes]) -> None:
        self.name = name
        self.content = bytearray()
        self._pieces = pieces

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Bytes `start` to `stop`."""
        if stop > _FRONT_LIMIT:
            raise BundleError(f"{self.name} has {stop:,} bytes before its blobs, which is absurd", hint=NOT_OURS)
        while len(self.content) < stop:
            piece = next(self._pieces, b"")
            if not piece:
                raise BundleError(f"{self.name} ends before what its lock promises")
            self.content += piece
        yield bytes(self.content[start:stop])


def _stored(source: ByteSource, digest: FileDigest | None) -> Iterator[bytes]:
    """The file in pieces."""
    with source.passage(0, source.size) as read_at:
        for offset in range(0, source.size, _PIECE):
            piece = read_at(offset, min(_PIECE, source.size - offset))
            if digest is not None:
                digest.update([piece])
            yield piece
