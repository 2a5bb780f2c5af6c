"""What an S3 server itself says of an object's content, to be compared with what was sent or has arrived.

Of S3's checksums those are taken that are of the whole object and that Python's own library computes: SHA-256 and
CRC32. One that is made of the checksums of parts says nothing to who does not know the parts, and an ETag is what the
server likes it to be.
"""

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self

from edgelift.errors import IntegrityError


class _Hasher(Protocol):
    def update(self, chunk: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class Crc32:
    """CRC32 as S3 has it."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, chunk: bytes, /) -> None:
        """Go on with `chunk`."""
        self._value = zlib.crc32(chunk, self._value)

    def digest(self) -> bytes:
        """Four bytes, the highest first."""
        return self._value.to_bytes(4, "big")

    @property
    def text(self) -> str:
        """As it stands in requests and answers."""
        return to_base64(self.digest())


_CRC32 = "ChecksumCRC32"
_KINDS: dict[str, tuple[str, Callable[[], _Hasher]]] = {
    "ChecksumSHA256": ("SHA-256", hashlib.sha256),
    _CRC32: ("CRC32", Crc32),
}


class ServerChecksum:
    """A checksum that the server gave for a whole object, and that of what has been seen of it so far."""

    def __init__(self, name: str, expected: str, hasher: _Hasher) -> None:
        """Use `of`."""
        self.name = name
        self._expected = expected
        self._hasher = hasher

    @classmethod
    def of(cls, head: Mapping[str, Any]) -> Self | None:
        """That of an answer of HeadObject with ChecksumMode=ENABLED; None where none can be compared."""
        for field, (name, make) in _KINDS.items():
            expected = _whole(head, field)
            if expected is not None:
                return cls(name, expected, make())
        return None

    def update(self, chunk: bytes) -> None:
        """Go on with `chunk`."""
        self._hasher.update(chunk)

    def check(self, url: str) -> None:
        """Raise `IntegrityError` unless all that was seen is what the server said of `url`."""
        found = to_base64(self._hasher.digest())
        if found != self._expected:
            raise IntegrityError(
                f"{url} has the {self.name} {self._expected} at its server, and what arrived has {found}",
                hint="the content was damaged at the server or on the way; run it again, then archive it again",
            )


def crc32_of(head: Mapping[str, Any]) -> str | None:
    """The CRC32 of the whole object in an answer of HeadObject with ChecksumMode=ENABLED; None where there is none."""
    return _whole(head, _CRC32)


def _whole(head: Mapping[str, Any], field: str) -> str | None:
    """The checksum `field` of the whole object, in base64; that of parts has their number behind a dash."""
    checksum: str | None = head.get(field)
    is_whole = head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT" and "-" not in (checksum or "")
    return checksum if is_whole else None


def to_base64(checksum: bytes) -> str:
    """A checksum as S3 writes it."""
    return base64.b64encode(checksum).decode()
