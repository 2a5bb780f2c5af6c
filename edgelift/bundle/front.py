"""What a bundle begins with: its documents, among them the lock, each under the header that the writer gives it."""

import re
from collections.abc import Iterator
from typing import Protocol

from edgelift.bundle.container import DOCUMENTS, LOCK, LOCK_LIMIT, Container, Member, tar_header
from edgelift.bundle.lock import BundleLock
from edgelift.errors import BundleError, ConfigurationError

NOT_OURS = "it was not assembled by edgelift, or changed since: get the bundle again from where it was built"
_SIZE_FIELD = slice(124, 136)
_SIZE = re.compile(rb"[0-7]{11}\0")


class Tar(Protocol):
    """The tar of a bundle."""

    @property
    def name(self) -> str:
        """What messages call the file."""

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Its bytes from `start` to `stop`; raises `BundleError` past its end."""


def read_front(tar: Tar) -> tuple[BundleLock, Container]:
    """The lock, and the container that follows from it and from the documents that are there.

    Raises `BundleError` where the tar does not begin as a bundle's does, or has a lock that is none.
    """
    documents, position = dict[str, Member](), 0
    for name in DOCUMENTS:
        offset = position + len(tar_header(name, 0))
        field = b"".join(tar.read(position, offset))[_SIZE_FIELD]
        documents[name] = member = Member(name, int(field[:-1], 8) if _SIZE.fullmatch(field) else 0, offset)
        check_header(tar, member)
        position = member.end + len(member.padding)
    lock = _read_lock(tar, documents[LOCK])
    try:
        return lock, Container.of(lock, {name: member.size for name, member in documents.items()})
    except BundleError as error:
        raise BundleError(f"{tar.name} cannot be read: {error.message}", hint=NOT_OURS) from None


def check_header(tar: Tar, member: Member) -> None:
    """Raise `BundleError` unless the header of `member` stands where it should."""
    compare_header(tar.name, member, b"".join(tar.read(member.offset - len(member.header), member.offset)))


def compare_header(name: str, member: Member, found: bytes) -> None:
    """Raise `BundleError` unless `found`, in the bundle `name`, is the header of `member`."""
    expected = member.header
    if found != expected:
        field = found[:100].rstrip(b"\0")
        raise BundleError(
            f"{name} has another header where that of {member.name} should be, at byte "
            f"{member.offset - len(expected)} of its tar: its name field is {field!r}",
            hint=NOT_OURS,
        )


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
