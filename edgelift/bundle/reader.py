"""Read a bundle: its lock, and any of its content by descriptor.

A bundle may come from anyone, and of its tar nothing is believed: the lock says which members there are, and every
header must be to the byte the one that the writer makes of it. No other name, type, link or size can stand there.
"""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from edgelift.bundle.container import (
    DOCUMENTS,
    LOCK,
    LOCK_LIMIT,
    LOCK_SIGNATURE,
    SIGNATURE_SIZES,
    Blob,
    Container,
    Member,
    tar_header,
)
from edgelift.bundle.definition import BundleDefinition
from edgelift.bundle.diagnosis import explain_missing_table
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.seek_table import SeekTable
from edgelift.bundle.seekable import SeekableFile
from edgelift.errors import BundleError, ConfigurationError, IntegrityError
from edgelift.oci.content import CHUNK
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest

_NOT_OURS = "it was not assembled by edgelift, or changed since: get the bundle again from where it was built"
_NAME_FIELD = 100  # bytes
_SIZE_FIELD = slice(124, 136)
_SIZE = re.compile(rb"[0-7]{11}\0")


class BundleReader:
    """An open bundle, for any number of threads. Implements `oci.content.RangeReader` and `BufferReader`.

    All is read from the one file that `open` looked at, also where another takes its name meanwhile.
    """

    def __init__(self, file: "_OpenFile", tar: SeekableFile, documents: "_Documents", container: Container) -> None:
        """Use `open`."""
        self.path = file.path
        self.size = file.size
        self.tar = tar
        self.lock = documents.lock
        self.lock_signature = documents.signature
        self.container = container
        self._file = file
        self._blobs = {blob.descriptor.digest: blob for blob in container.blobs}

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the bundle at `path`, looking at its lock and at every header, but at no blob.

        Raises `BundleError` where it is no bundle, is cut short, was compressed again by another tool or holds anything
        but what its lock says, and `IntegrityError` where it is damaged.
        """
        file = _OpenFile(path)
        try:
            tar = SeekableFile(str(path), file.read_at, _seek_table(file))
            documents = _read_documents(tar)
            return cls(file, tar, documents, _container(tar, documents))
        except BaseException:
            file.close()
            raise

    @property
    def definition(self) -> BundleDefinition:
        """What was asked for."""
        return self.lock.definition

    def members(self) -> tuple[Member, ...]:
        """Every file in the tar, in its order."""
        return self.container.members

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
        blob = self._blob(descriptor)
        if not 0 <= start <= stop <= blob.size:
            raise BundleError(f"{descriptor.digest} has no bytes {start} to {stop}, only {blob.size}")
        return self.tar.read(blob.offset + start, blob.offset + stop)

    def file_digest(self, *, progress: Callable[[int], None] | None = None) -> Digest:
        """The sha256 of the whole file; `progress` takes the bytes that have just been hashed."""
        hasher = hashlib.sha256()
        for start in range(0, self.size, CHUNK):
            chunk = self._file.read_at(start, min(CHUNK, self.size - start))
            hasher.update(chunk)
            if progress is not None:
                progress(len(chunk))
        return Digest(f"sha256:{hasher.hexdigest()}")

    def close(self) -> None:
        """Close the file, once nothing reads from it any more."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _blob(self, descriptor: Descriptor) -> Blob:
        if not self.exists(descriptor):
            raise BundleError(
                f"{self.path} does not hold {descriptor.digest} with {descriptor.size:,} bytes",
                hint="`edgelift inspect` lists what it holds",
            )
        return self._blobs[descriptor.digest]

    def _verified(self, blob: Blob) -> Iterator[bytes]:
        hasher, held = blob.descriptor.digest.hasher(), b""
        for chunk in self.tar.read(blob.offset, blob.end):
            hasher.update(chunk)
            if held:
                yield held
            held = chunk
        if hasher.hexdigest() != blob.descriptor.digest.hex:
            raise IntegrityError(
                f"{self.path} is damaged: the content of {blob.name} is not what its name says",
                hint="`edgelift verify` checks the whole file; copy or assemble the bundle again",
            )
        if held:
            yield held


class _OpenFile:
    """A regular file, open for reading at any place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not block us
            found = os.fstat(self._number)
        except OSError as error:
            raise BundleError(f"cannot open {path}: {error.strerror}") from None
        self.size = found.st_size
        if not stat.S_ISREG(found.st_mode):
            self.close()
            raise BundleError(f"{path} is not a file", hint="a bundle is the .tar.zst that build made")

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset` on; raises `BundleError` where they cannot be read."""
        try:
            data = os.pread(self._number, length, offset)
        except OSError as error:
            raise BundleError(f"cannot read {self.path}: {error.strerror}") from None
        if len(data) != length:
            raise BundleError(f"{self.path} became shorter while it was read")
        return data

    def close(self) -> None:
        """Close the file; closing it twice does nothing."""
        number, self._number = self._number, -1
        if number >= 0:
            os.close(number)


def _seek_table(file: _OpenFile) -> SeekTable:
    try:
        table = SeekTable.read(file.read_at, file.size)
    except BundleError as error:
        raise BundleError(f"{file.path} is damaged: {error.message}", hint=_NOT_OURS) from None
    if table is None:
        raise explain_missing_table(str(file.path), file.read_at, file.size)
    return table


class _Documents(NamedTuple):
    """The lock, its signature where there is one, and the size of each member that stands before the blobs."""

    lock: BundleLock
    signature: bytes | None
    sizes: dict[str, int]


def _read_documents(tar: SeekableFile) -> _Documents:
    documents, position = dict[str, Member](), 0
    for name in DOCUMENTS:
        documents[name] = member = _read_member(tar, name, position)
        position = member.end + len(member.padding)
    lock, signature = _read_lock(tar, documents[LOCK]), None
    if _name_at(tar, position) == LOCK_SIGNATURE.encode():
        documents[LOCK_SIGNATURE] = member = _read_member(tar, LOCK_SIGNATURE, position)
        signature = _read_signature(tar, member)
    return _Documents(lock, signature, {name: member.size for name, member in documents.items()})


def _read_member(tar: SeekableFile, name: str, position: int) -> Member:
    """The member `name`, whose header is at `position`, with the size that this says."""
    offset = position + len(tar_header(name, 0))
    field = b"".join(tar.read(position, offset))[_SIZE_FIELD]
    member = Member(name, int(field[:-1], 8) if _SIZE.fullmatch(field) else 0, offset)
    _check_header(tar, member)
    return member


def _name_at(tar: SeekableFile, position: int) -> bytes:
    """The name field of the header at `position`, which may be the end of the tar."""
    return b"".join(tar.read(position, position + _NAME_FIELD)).rstrip(b"\0")


def _read_signature(tar: SeekableFile, member: Member) -> bytes:
    if member.size not in SIGNATURE_SIZES:
        raise BundleError(f"{tar.name} has a signature of {member.size:,} bytes, which no key makes", hint=_NOT_OURS)
    return b"".join(tar.read(member.offset, member.end))


def _read_lock(tar: SeekableFile, member: Member) -> BundleLock:
    if member.size > LOCK_LIMIT:
        raise BundleError(f"{tar.name} has a lock of {member.size:,} bytes, which is absurd", hint=_NOT_OURS)
    raw = b"".join(tar.read(member.offset, member.end))
    try:
        lock = BundleLock.from_json(raw, f"{LOCK} in {tar.name}")
        if lock.to_json() == raw:
            return lock
    except ConfigurationError as error:
        raise BundleError(error.message, hint="a newer edgelift may read it") from None
    raise BundleError(f"{tar.name} has a lock in another form than edgelift writes", hint=_NOT_OURS)


def _container(tar: SeekableFile, documents: _Documents) -> Container:
    """The container of the lock, seen to be what the tar's headers say."""
    try:
        container = Container.of(documents.lock, documents.sizes)
    except BundleError as error:
        raise BundleError(f"{tar.name} cannot be read: {error.message}", hint=_NOT_OURS) from None
    for member in container.members:
        _check_header(tar, member)
    if container.size != tar.table.content_size:
        raise BundleError(
            f"{tar.name} holds {tar.table.content_size:,} bytes of tar where its lock gives {container.size:,}",
            hint=_NOT_OURS,
        )
    return container


def _check_header(tar: SeekableFile, member: Member) -> None:
    expected = member.header
    start = member.offset - len(expected)
    found = b"".join(tar.read(start, member.offset))
    if found != expected:
        name = found[:_NAME_FIELD].rstrip(b"\0")
        raise BundleError(
            f"{tar.name} has another header where that of {member.name} should be, at byte {start} of its tar: "
            f"its name field is {name!r}",
            hint=_NOT_OURS,
        )
