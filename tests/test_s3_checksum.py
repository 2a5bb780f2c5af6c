"""What a server says of the content of its objects."""

import base64
import hashlib
from typing import Any

import pytest

from edgelift.errors import IntegrityError
from edgelift.s3_checksum import Crc32, ServerChecksum

CONTENT = b"123456789"
CRC32 = "y/Q5Jg=="  # cbf43926, the check value of CRC-32/ISO-HDLC
SHA256 = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()

ANSWERS: dict[str, tuple[dict[str, Any], str | None]] = {
    "none": ({}, None),
    "of the whole object": ({"ChecksumCRC32": CRC32, "ChecksumType": "FULL_OBJECT"}, "CRC32"),
    "without saying of what": ({"ChecksumCRC32": CRC32}, "CRC32"),
    "two": ({"ChecksumCRC32": CRC32, "ChecksumSHA256": SHA256}, "SHA-256"),
    "of parts": ({"ChecksumSHA256": f"{SHA256}-3", "ChecksumType": "COMPOSITE"}, None),
    "of parts, without saying so": ({"ChecksumSHA256": f"{SHA256}-3"}, None),
    "of a kind that Python does not know": ({"ChecksumCRC64NVME": "rosUhgp5mIg=", "ChecksumType": "FULL_OBJECT"}, None),
}


@pytest.mark.parametrize(("answer", "name"), ANSWERS.values(), ids=ANSWERS)
def test_what_can_be_compared_is_found(answer: dict[str, Any], name: str | None) -> None:
    """A checksum of the whole object that can be computed here, the strongest first; content of that kind passes."""
    checksum = ServerChecksum.of(answer)

    assert name == (checksum.name if checksum else None)
    if checksum is not None:
        checksum.update(CONTENT[:4])
        checksum.update(CONTENT[4:])
        checksum.check("s3://bucket/key")


@pytest.mark.parametrize("answer", [{"ChecksumCRC32": CRC32}, {"ChecksumSHA256": SHA256}], ids=["CRC32", "SHA-256"])
def test_other_content_is_refused(answer: dict[str, Any]) -> None:
    """The error has both checksums."""
    checksum = ServerChecksum.of(answer)
    assert checksum is not None
    checksum.update(b"something else")

    with pytest.raises(IntegrityError, match=r"s3://bucket/key has the .* at its server, and what arrived has "):
        checksum.check("s3://bucket/key")


def test_crc32_is_that_of_s3() -> None:
    """Its check value."""
    crc = Crc32()
    crc.update(CONTENT)

    assert crc.text == CRC32
