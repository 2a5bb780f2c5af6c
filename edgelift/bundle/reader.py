"""Read a bundle: its lock, and any of its content by descriptor.

A bundle may come from anyone, and of its tar nothing is believed: the lock says which members there are, and every
header must be to the byte the one that the writer makes of it. No other name, type, link or size can stand there. In a
file all headers are looked at when it is opened; from afar, where each look is a request, that of a blob is read
together with the blob, before anything of it is given out.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from edgelift.bundle.container import Blob, Container
from edgelift.bundle.definition import BundleDefinition
from edgelift.bundle.diagnosis import explain_missing_table
from edgelift.bundle.file_digest import digest_of
from edgelift.bundle.front import NOT_OURS, Front, check_header, compare_header, read_front
from edgelift.bundle.opening import open_source
from edgelift.bundle.seek_table import SeekTable
from edgelift.bundle.seekable import BLOCK
from edgelift.bundle.seekable_file import SeekableFile
from edgelift.bundle.source import ByteSource
from edgelift.errors import BundleError, IntegrityError
from edgelift.oci.content import ReadSome
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest


class BundleReader:
    """An open bundle, for any number of threads. Implements `oci.content.PassageReader` and `BufferReader`.

    All is read from the one file that `open` looked at, also where another takes its name meanwhile.
    """

    def __init__(self, source: ByteSource, tar: SeekableFile, front: Front) -> None:
        """Use `open`."""
        self.name = source.name
        self.size = source.size
        self.tar = tar
        self.front = front
        self.lock = front.lock
        self.lock_signature = front.signature
        self.container = front.container
        self._source = source
        self._blobs = {blob.descriptor.digest: blob for blob in front.container.blobs}
        self._checked = set[Digest]()  # those whose headers have been seen to be right

    @classmethod
    def open(cls, place: Path | str) -> Self:
        """Open the bundle at `place`, a path or s3://bucket/key, looking at its lock and its headers, but at no blob.

        Raises `BundleError` where it is no bundle, is cut short, was compressed again by another tool or holds anything
        but what its lock says, `IntegrityError` where it is damaged, and `StoreError` where S3 fails.
        """
        return cls.of(open_source(place))

    @classmethod
    def of(cls, source: ByteSource) -> Self:
        """As `open`, of what `source` gives, which is closed with the bundle."""
        try:
            tar = SeekableFile(source, _seek_table(source))
            bundle = cls(source, tar, read_front(tar))
            if not source.is_remote:
                bundle.check_headers()
            _check_size(tar, bundle.container)
        except BaseException:
            source.close()
            raise
        return bundle

    @property
    def definition(self) -> BundleDefinition:
        """What was asked for."""
        return self.lock.definition

    def exists(self, descriptor: Descriptor) -> bool:
        """Whether the content is here with the descriptor's size."""
        blob = self._blobs.get(descriptor.digest)
        return blob is not None and blob.size == descriptor.size

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """The content in chunks, hashed on the way; where it is wrong, `IntegrityError` before the last chunk."""
        return self._verified(self._blob(descriptor))

    def read_into(self, buffer: memoryview, descriptor: Descriptor) -> Iterator[memoryview]:
        """As `read`, but every chunk is in `buffer`, where the next one takes its place."""
        for chunk in self.read(descriptor):
            buffer[: len(chunk)] = chunk
            yield buffer[: len(chunk)]

    def read_range(self, descriptor: Descriptor, start: int, stop: int) -> Iterator[bytes]:
        """Bytes `start` to `stop` (exclusive) in chunks, unverified; raises `BundleError` outside of the content."""
        return self._content(self._blob_with(descriptor, start, stop), start, stop)

    def passage(self, descriptor: Descriptor, start: int, stop: int) -> AbstractContextManager[ReadSome]:
        """Bytes `start` to `stop` (exclusive), for one that goes forward; raises `BundleError` outside of it."""
        return self._passage(self._blob_with(descriptor, start, stop), start, stop)

    def state(self, descriptor: Descriptor) -> object:  # noqa: ARG002 - all is in one file
        """What is another as soon as the file may have changed; None where that cannot be told."""
        return self._source.state()

    def file_digest(self, *, progress: Callable[[int], None] | None = None) -> Digest:
        """The sha256 of the whole file; `progress` takes the bytes that have just been hashed."""
        return digest_of(self._source, progress=progress)

    def check_headers(self) -> None:
        """See that the header of every blob is right; raises `BundleError`."""
        for blob in self.container.blobs:
            self._check_header(blob)

    def read_beside(self, suffix: str, limit: int) -> bytes | None:
        """Up to `limit` bytes of the file of this one's name and `suffix`; None where there is none."""
        return self._source.read_beside(suffix, limit)

    def close(self) -> None:
        """Close the file, once nothing reads from it any more."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _blob(self, descriptor: Descriptor) -> Blob:
        if not self.exists(descriptor):
            if descriptor.digest in self.lock.left_out:
                raise BundleError(
                    f"{self.name} leaves out {descriptor.digest}: it is a delta of {self.lock.base}",
                    hint="use the bundle that it goes on top of, or build this one without --base",
                )
            raise BundleError(
                f"{self.name} does not hold {descriptor.digest} with {descriptor.size:,} bytes",
                hint="`edgelift inspect` lists what it holds",
            )
        return self._blobs[descriptor.digest]

    def _blob_with(self, descriptor: Descriptor, start: int, stop: int) -> Blob:
        blob = self._blob(descriptor)
        if not 0 <= start <= stop <= blob.size:
            raise BundleError(f"{descriptor.digest} has no bytes {start} to {stop}, only {blob.size}")
        return blob

    def _verified(self, blob: Blob) -> Iterator[bytes]:
        hasher, left, chunk = blob.descriptor.digest.hasher(), blob.size, b""
        for chunk in self._content(blob, 0, blob.size):
            hasher.update(chunk)
            left -= len(chunk)
            if left:
                yield chunk
        if hasher.hexdigest() != blob.descriptor.digest.hex:
            raise IntegrityError(
                f"{self.tar.place_of(blob.offset, blob.end)} is damaged: the content of {blob.name} is not what its "
                "name says",
                hint="`edgelift verify` checks all of it; copy or assemble the bundle again",
            )
        if chunk:
            yield chunk

    def _content(self, blob: Blob, start: int, stop: int) -> Iterator[bytes]:
        """Bytes `start` to `stop` of the content, none before the blob's header has been seen to be right."""
        with self._passage(blob, start, stop) as read:
            while start < stop:
                chunk = read(start, min(stop - start, BLOCK))
                start += len(chunk)
                yield bytes(chunk)

    @contextmanager
    def _passage(self, blob: Blob, start: int, stop: int) -> Iterator[ReadSome]:
        """As `_content`, in any pieces; a header that has not been seen is read together with the content."""
        header = b""
        if blob.descriptor.digest not in self._checked:
            if start == 0:
                header = blob.header
            else:
                self._check_header(blob)
        with self.tar.passage(blob.offset + start - len(header), blob.offset + stop) as read:
            if header:
                compare_header(self.name, blob, _exactly(read, blob.offset - len(header), blob.offset))
                self._checked.add(blob.descriptor.digest)
            yield lambda offset, limit: read(blob.offset + offset, limit)

    def _check_header(self, blob: Blob) -> None:
        check_header(self.tar, blob)
        self._checked.add(blob.descriptor.digest)


def _exactly(read: ReadSome, start: int, stop: int) -> bytes:
    found = bytearray()
    while start + len(found) < stop:
        found += read(start + len(found), stop - start - len(found))
    return bytes(found)


def _seek_table(source: ByteSource) -> SeekTable:
    try:
        table = SeekTable.read(source.read_at, source.size)
    except BundleError as error:
        raise BundleError(f"{source.name} is damaged: {error.message}", hint=NOT_OURS) from None
    if table is None:
        raise explain_missing_table(source)
    return table


def _check_size(tar: SeekableFile, container: Container) -> None:
    if container.size != tar.table.content_size:
        raise BundleError(
            f"{tar.name} holds {tar.table.content_size:,} bytes of tar where its lock gives {container.size:,}",
            hint=NOT_OURS,
        )
