"""The tar inside a bundle, and how it is cut into frames: all of it follows from the lock. No I/O here.

Writer, reader and verification share this page: a bundle is right where it is what the writer would write.
docs/format.md describes it for other languages.
"""

import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from edgelift.bundle.lock import BundleLock
from edgelift.errors import BundleError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.manifest import OCI_INDEX
from edgelift.oci.transfer import largest_first

LOCK = "edgelift/lock.json"
DOCUMENTS = ("oci-layout", "index.json", "edgelift/definition.yaml", LOCK)
LOCK_SIGNATURE = "edgelift/lock.json.sig"  # follows these where the bundle is signed
CLUSTER_DEFINITION = "edgelift/cluster-definition.tgz"  # follows where the lock pins one
SIGNATURE_SIZES = range(256, 1024 + 1)  # bytes; those of RSA keys of 2048 to 8192 bits
LOCK_LIMIT = 64 * 2**20  # bytes; the lock of ten thousand images is about 40 MiB
RAW_LIMIT = 8 * 2**20  # bytes of tar in a frame of raw blocks
COMPRESSED_LIMIT = 2**20  # bytes of tar in a compressed frame

_TAR_BLOCK = 512
END_OF_TAR = bytes(2 * _TAR_BLOCK)
_NAME_FIELD = 100  # bytes; no name here can use ustar's prefix, which splits at a slash
_SIZE_LIMIT = 8**11  # eleven octal digits
_USTAR = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_CHECKSUM_FIELD = (148, 156)
_COMPRESSED_TYPE = re.compile(r"[.+](?:gzip|zstd|encrypted)$")


@dataclass(frozen=True)
class Member:
    """One file of the tar, of `size` bytes. `offset` is where its content begins in the tar."""

    name: str
    size: int
    offset: int

    @property
    def end(self) -> int:
        """Where the content ends in the tar."""
        return self.offset + self.size

    @property
    def header(self) -> bytes:
        """All of the tar that stands before the content."""
        return tar_header(self.name, self.size)

    @property
    def padding(self) -> bytes:
        """The zeros after the content, up to the next block of the tar."""
        return bytes(-self.size % _TAR_BLOCK)


@dataclass(frozen=True)
class Blob(Member):
    """A member whose content the lock names by descriptor."""

    descriptor: Descriptor

    @property
    def is_raw(self) -> bool:
        """Whether it goes into frames of raw blocks: its media type says that it is compressed already."""
        return is_raw(self.descriptor)


@dataclass(frozen=True)
class Span:
    """The part of the tar that one frame holds."""

    start: int
    stop: int
    is_raw: bool


@dataclass(frozen=True)
class Container:
    """Every member in its place, and the size of the whole tar; all in bytes."""

    documents: tuple[Member, ...]
    blobs: tuple[Blob, ...]
    size: int

    @classmethod
    def of(cls, lock: BundleLock, document_sizes: Mapping[str, int]) -> Self:
        """The container of `lock`, whose documents have these sizes, in this order.

        Raises `BundleError` where the lock is at odds.
        """
        _check(lock, document_sizes[LOCK])
        documents, blobs, position = list[Member](), list[Blob](), 0
        for name, size in document_sizes.items():
            documents.append(Member(name, size, position + len(tar_header(name, size))))
            position = _after(documents[-1])
        named = [(CLUSTER_DEFINITION, each) for each in lock.attached]
        named += [(blob_name(each), each) for each in contents_of(lock)]
        for name, each in named:
            blobs.append(Blob(name, each.size, position + len(tar_header(name, each.size)), each))
            position = _after(blobs[-1])
        return cls(tuple(documents), tuple(blobs), position + len(END_OF_TAR))

    @property
    def members(self) -> tuple[Member, ...]:
        """All that is in the tar, in its order."""
        return (*self.documents, *self.blobs)

    @property
    def content_size(self) -> int:
        """Bytes of all blobs."""
        return sum(blob.size for blob in self.blobs)

    def frames(self) -> Iterator[Span]:
        """How the tar is cut: each raw blob by itself, all that stands between two such together, up to the limits."""
        position = 0
        for blob in self.blobs:
            if blob.is_raw:
                yield from _cut(position, blob.offset, COMPRESSED_LIMIT, is_raw=False)
                yield from _cut(blob.offset, blob.end, RAW_LIMIT, is_raw=True)
                position = blob.end
        yield from _cut(position, self.size, COMPRESSED_LIMIT, is_raw=False)


def contents_of(lock: BundleLock) -> tuple[Descriptor, ...]:
    """The blobs of a bundle, each once: manifests in lock order, then configs and layers as they are pulled.

    So what is assembled during a pull finds each where it stands in the tar about when it is its turn. What a delta
    leaves out is not among them.
    """
    manifests = {each.digest: each for each in lock.unique_manifests()}
    elsewhere = manifests.keys() | lock.left_out
    blobs = (each for image in lock.largest_first() for each in largest_first(image.all_blobs))
    return (*manifests.values(), *{each.digest: each for each in blobs if each.digest not in elsewhere}.values())


def documents_of(lock: BundleLock, signature: bytes | None = None) -> dict[str, bytes]:
    """What stands before the blobs, by name, in this order; `signature` is that of the lock, where it is signed."""
    contents = (_layout(), _index(lock), lock.definition.to_yaml().encode(), lock.to_json())
    documents = dict(zip(DOCUMENTS, contents, strict=True))
    return documents if signature is None else {**documents, LOCK_SIGNATURE: signature}


def is_raw(descriptor: Descriptor) -> bool:
    """Whether content of that media type is compressed already."""
    return _COMPRESSED_TYPE.search(descriptor.media_type) is not None


def blob_name(descriptor: Descriptor) -> str:
    """Where an image layout keeps the content (image-spec image-layout.md, "Blobs")."""
    return f"blobs/{descriptor.digest.algorithm}/{descriptor.digest.hex}"


def tar_header(name: str, size: int) -> bytes:
    """The header of a regular file (POSIX ustar); before it a pax header, where a name or size does not fit."""
    records = b""
    if len(name) > _NAME_FIELD:
        records += _pax_record("path", name)
    if size >= _SIZE_LIMIT:
        records += _pax_record("size", str(size))
    header = _ustar(name[:_NAME_FIELD], size if size < _SIZE_LIMIT else 0, b"0")
    if not records:
        return header
    return _ustar("././@PaxHeader", len(records), b"x") + records + bytes(-len(records) % _TAR_BLOCK) + header


def _ustar(name: str, size: int, kind: bytes) -> bytes:
    header = _USTAR.pack(
        *(name.encode(), b"0000644", b"0000000", b"0000000", b"%011o" % size, b"00000000000", b" " * 8, kind),
        *(b"", b"ustar\x0000", b"", b"", b"0000000", b"0000000", b""),
    )
    start, stop = _CHECKSUM_FIELD
    return header[:start] + b"%06o\0 " % sum(header) + header[stop:]


def _pax_record(key: str, value: str) -> bytes:
    """`length key=value` where the length counts its own digits (POSIX pax, "Extended Header")."""
    rest = f" {key}={value}\n"
    length = len(rest) + len(str(len(rest) + len(str(len(rest)))))
    return f"{length}{rest}".encode()


def _layout() -> bytes:
    return b'{"imageLayoutVersion":"1.0.0"}\n'


def _index(lock: BundleLock) -> bytes:
    """The images by name, as skopeo and containerd read it (image-spec image-index.md, annotations.md)."""
    entries = []
    for name, root in _names(lock).items():
        entry = root.plain().model_dump(mode="json", by_alias=True, exclude_none=True)
        names = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
        entries.append(entry | {"annotations": names})
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    return (json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n").encode()


def _names(lock: BundleLock) -> dict[str, Descriptor]:
    """What stands under which name: the images, each followed by its referrers; those of two images once."""
    names = dict[str, Descriptor]()
    for image in lock.images:
        names[image.reference] = image.descriptor
        for referrer in image.referrers:
            names.setdefault(image.name_of(referrer), referrer.descriptor)
    return names


def _after(member: Member) -> int:
    return member.end + len(member.padding)


def _cut(start: int, stop: int, limit: int, *, is_raw: bool) -> Iterator[Span]:
    for position in range(start, stop, limit):
        yield Span(position, min(position + limit, stop), is_raw)


def _check(lock: BundleLock, size: int) -> None:
    if size > LOCK_LIMIT:
        raise BundleError(
            f"the lock has {size:,} bytes, more than the {LOCK_LIMIT:,} a bundle takes",
            hint="divide the definition into several bundles",
        )
    references, sizes = set[str](), {each.digest: each.size for each in lock.attached}
    for image in lock.images:
        if image.reference in references:
            raise BundleError(f"the lock names {image.reference} twice")
        references.add(image.reference)
        for each in (image.descriptor, *image.all_manifests, *image.all_blobs):
            if sizes.setdefault(each.digest, each.size) != each.size:
                raise BundleError(f"the lock gives {each.digest} two sizes, {sizes[each.digest]} and {each.size}")
