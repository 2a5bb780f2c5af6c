"""What a bundle begins with: its documents, among them the lock, each under the header that the writer gives it."""

import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from edgelift.bundle.container import (
    DOCUMENTS,
    LOCK,
    LOCK_LIMIT,
    LOCK_SIGNATURE,
    SIGNATURE_SIZES,
    Container,
    Member,
    tar_header,
)
from edgelift.bundle.lock import BundleLock
from edgelift.errors import BundleError, ConfigurationError

NOT_OURS = "it was not assembled by edgelift, or changed since: get the bundle again from where it was built"
_NAME_FIELD = 100  # bytes
_SIZE_FIELD = slice(124, 136)
_SIZE = re.compile(rb"[0-7]{11}\0")


class Tar(Protocol):
    """The tar of a bundle."""

    @property
    def name(self) -> str:
        """What messages call the file."""

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Its bytes from `start` to `stop`; raises `BundleError` past its end."""


class Front(NamedTuple):
    """The lock, its signature where there is one, and the container that follows from what is there."""

    lock: BundleLock
    signature: bytes | None
    container: Container


def read_front(tar: Tar) -> Front:
    """What the tar begins with.

    Raises `BundleError` where the tar does not begin as a bundle's does, or has a lock that is none.
    """
    documents, position = dict[str, Member](), 0
    for name in DOCUMENTS:
        documents[name] = member = _read_member(tar, name, position)
        position = member.end + len(member.padding)
    lock, signature = _read_lock(tar, documents[LOCK]), None
    if _name_at(tar, position) == LOCK_SIGNATURE.encode():
        documents[LOCK_SIGNATURE] = member = _read_member(tar, LOCK_SIGNATURE, position)
        signature = _read_signature(tar, member)
    try:
        container = Container.of(lock, {name: member.size for name, member in documents.items()})
    except BundleError as error:
        raise BundleError(f"{tar.name} cannot be read: {error.message}", hint=NOT_OURS) from None
    return Front(lock, signature, container)


def check_header(tar: Tar, member: Member) -> None:
    """Raise `BundleError` unless the header of `member` stands where it should."""
    compare_header(tar.name, member, b"".join(tar.read(member.offset - len(member.header), member.offset)))


def compare_header(name: str, member: Member, found: bytes) -> None:
    """Raise `BundleError` unless `found`, in the bundle `name`, is the header of `member`."""
    expected = member.header
    if found != expected:
        field = found[:_NAME_FIELD].rstrip(b"\0")
        raise BundleError(
            f"{name} has another header where that of {member.name} should be, at byte "
            f"{member.offset - len(expected)} of its tar: its name field is {field!r}",
            hint=NOT_OURS,
        )


def _read_member(tar: Tar, name: str, position: int) -> Member:
    """The member `name`, whose header is at `position`, with the size that this says."""
    offset = position + len(tar_header(name, 0))
    field = b"".join(tar.read(position, offset))[_SIZE_FIELD]
    member = Member(name, int(field[:-1], 8) if _SIZE.fullmatch(field) else 0, offset)
    check_header(tar, member)
    return member


def _name_at(tar: Tar, position: int) -> bytes:
    """The name field of the header at `position`, which may be the end of the tar."""
    return b"".join(tar.read(position, position + _NAME_FIELD)).rstrip(b"\0")


def _read_signature(tar: Tar, member: Member) -> bytes:
    if member.size not in SIGNATURE_SIZES:
        raise BundleError(f"{tar.name} has a signature of {member.size:,} bytes, which no key makes", hint=NOT_OURS)
    return b"".join(tar.read(member.offset, member.end))


def _read_lock(tar: Tar, member: Member) -> BundleLock:
    if member.size > LOCK_LIMIT:
        raise BundleError(f"{tar.name} has a lock of {member.size:,} bytes, which is absurd", hint=NOT_OURS)
    raw = b"".join(tar.read(member.offset, member.end))
    try:
        lock = BundleLock.from_json(raw, f"{LOCK} in {tar.name}")
        if lock.to_json() == raw:
            return lock
    except ConfigurationError as error:
        raise BundleError(error.message, hint="a newer edgelift may read it") from None
    raise BundleError(f"{tar.name} has a lock in another form than edgelift writes", hint=NOT_OURS)
