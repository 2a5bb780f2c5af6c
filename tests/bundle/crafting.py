"""Bundles made by hand: the tar of a good one to be changed at will, and frames around any tar, well or badly made."""

import io
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edgelift.bundle.container import COMPRESSED_LIMIT, END_OF_TAR, Blob, Container, Span, documents_of
from edgelift.bundle.definition import COMPRESSION_LEVEL
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.seek_table import ReadAt
from edgelift.bundle.seekable import FrameEncoder, split
from tests.bundle.content import MemoryContent


@dataclass
class Part:
    """One member of a tar: header, content and padding, each to be replaced."""

    name: str
    header: bytes
    content: bytes
    padding: bytes

    def __bytes__(self) -> bytes:
        return self.header + self.content + self.padding


@dataclass
class DistantBytes:
    """A `ByteSource` over `content`, each look at which counts as a request, unless it lies in a passage."""

    content: bytes
    name: str = "the file"
    is_remote: bool = True
    looks: list[tuple[int, int]] = field(default_factory=list)
    passages: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(self.content)

    def read_at(self, offset: int, length: int) -> bytes:
        """The bytes there."""
        self.looks.append((offset, offset + length))
        return self.content[offset : offset + length]

    @contextmanager
    def passage(self, start: int, stop: int) -> Iterator[ReadAt]:
        """`read_at` for what lies within, in one request that is made when it is needed."""
        is_under_way = False

        def read_at(offset: int, length: int) -> bytes:
            nonlocal is_under_way
            if not start <= offset <= offset + length <= stop:
                return self.read_at(offset, length)
            self.passages += [] if is_under_way else [(offset, stop)]
            is_under_way = True
            return self.content[offset : offset + length]

        yield read_at

    def close(self) -> None:
        """Nothing to let go of."""


def container_of(lock: BundleLock, signature: bytes | None = None) -> Container:
    """The container as the writer plans it."""
    return Container.of(lock, {name: len(content) for name, content in documents_of(lock, signature).items()})


def parts_of(lock: BundleLock, content: MemoryContent, signature: bytes | None = None) -> list[Part]:
    """The members of the bundle's tar; with a `signature` of the lock that is one of them."""
    documents = documents_of(lock, signature)

    def content_of(name: str, blob: object) -> bytes:
        return content.blobs[blob.descriptor.digest] if isinstance(blob, Blob) else documents[name]

    members = container_of(lock, signature).members
    return [Part(each.name, each.header, content_of(each.name, each), each.padding) for each in members]


def tar_of_parts(parts: Iterable[Part], end: bytes = END_OF_TAR) -> bytes:
    """The whole tar."""
    return b"".join(map(bytes, parts)) + end


def plain_spans(size: int) -> Iterator[Span]:
    """Compressed frames only, the way another writer would cut a tar."""
    for start in range(0, size, COMPRESSED_LIMIT):
        yield Span(start, min(start + COMPRESSED_LIMIT, size), is_raw=False)


def frames_of(tar: bytes, spans: Iterable[Span] | None = None, level: int = COMPRESSION_LEVEL) -> bytes:
    """A sealed file in the seekable format that holds `tar`."""
    cut, encoder, file = list(spans or plain_spans(len(tar))), FrameEncoder(level), bytearray()
    for span, pieces in zip(cut, split([tar], [span.stop - span.start for span in cut]), strict=True):
        file += b"".join(encoder.encode(pieces, span.stop - span.start, is_raw=span.is_raw))
    return bytes(file + encoder.closing())


def craft(folder: Path, tar: bytes, spans: Iterable[Span] | None = None, level: int = COMPRESSION_LEVEL) -> Path:
    """A bundle file around `tar`."""
    path = folder / "crafted.tar.zst"
    path.write_bytes(frames_of(tar, spans, level))
    return path


def python_header(name: str, size: int, **fields: object) -> bytes:
    """A header as Python's tarfile makes it, of any type and with any field set; pax where it does not fit."""
    member = tarfile.TarInfo(name)
    member.size = size
    for attribute, value in fields.items():
        setattr(member, attribute, value)
    return member.tobuf(tarfile.PAX_FORMAT)


def members_with_tarfile(tar: bytes) -> dict[str, bytes | None]:
    """Name and content of everything in `tar`, as Python's tarfile reads it."""
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as archive:
        return {each.name: file.read() if (file := archive.extractfile(each)) else None for each in archive}
