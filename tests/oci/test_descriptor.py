"""Descriptors and platforms: what addresses content, as it stands in other people's JSON."""

import hashlib
from typing import Any

import pytest
from pydantic import ValidationError

from edgelift.oci.descriptor import MAX_SIZE, Descriptor, Platform
from edgelift.oci.digest import Digest

DIGEST = Digest.of(b"layer")
PLAIN = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": str(DIGEST), "size": 5}
FULL = PLAIN | {
    "platform": {"os": "linux", "architecture": "arm", "variant": "v7"},
    "artifactType": "application/vnd.example",
    "annotations": {"a": "b"},
    "data": "bGF5ZXI=",
}


@pytest.mark.parametrize("document", [PLAIN, FULL], ids=["plain", "full"])
def test_json_comes_and_goes(document: dict[str, Any]) -> None:
    """What is read is written again, under the names of the specification."""
    assert document == Descriptor.model_validate(document).model_dump(mode="json", by_alias=True, exclude_none=True)


def test_unknown_members_are_ignored() -> None:
    """A newer specification, or a vendor, may say more than we know."""
    more = PLAIN | {"urls": ["https://mirror.example/layer"], "vendor": {"x": 1}}

    assert Descriptor.model_validate(PLAIN) == Descriptor.model_validate(more)


def test_only_the_address_is_kept() -> None:
    """`plain` leaves what finds and checks the content."""
    assert Descriptor.model_validate(PLAIN) == Descriptor.model_validate(FULL).plain()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no digest": ({"digest": None}, "digest"),
    "a path as digest": ({"digest": "../../etc/passwd"}, "digest"),
    "a number as digest": ({"digest": 7}, "digest"),
    "no size": ({"size": None}, "size"),
    "a negative size": ({"size": -1}, "size"),
    "a size beyond 63 bits": ({"size": MAX_SIZE + 1}, "size"),
    "an absurd size": ({"size": 10**400}, "size"),
    "an infinite size": ({"size": float("inf")}, "size"),
    "a size that is text": ({"size": "5"}, "size"),
    "a size with a fraction": ({"size": 5.0}, "size"),
    "a size that is a truth": ({"size": True}, "size"),
    "an empty media type": ({"mediaType": ""}, "mediaType"),
    "a media type of 256 characters": ({"mediaType": "a/" + "b" * 254}, "mediaType"),
    "a media type that is a list": ({"mediaType": ["a/b"]}, "mediaType"),
    "half a character": ({"mediaType": "a/\ud800"}, "mediaType"),
    "annotations that are a list": ({"annotations": ["a"]}, "annotations"),
    "an annotation that is a number": ({"annotations": {"a": 1}}, "annotations"),
    "a platform that is text": ({"platform": "linux/amd64"}, "platform"),
    "an architecture that is a number": ({"platform": {"architecture": 64}}, "platform"),
}


@pytest.mark.parametrize(("change", "place"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_descriptor_is_refused(change: dict[str, Any], place: str) -> None:
    """Numbers, texts and tables are not taken for each other, as no other client takes them either."""
    with pytest.raises(ValidationError) as caught:
        Descriptor.model_validate(PLAIN | change)

    assert {problem["loc"][0] for problem in caught.value.errors()} == {place}


@pytest.mark.parametrize("size", [0, MAX_SIZE])
def test_sizes_reach_from_nothing_to_63_bits(size: int) -> None:
    """The smallest and the largest size are sizes."""
    assert size == Descriptor.model_validate(PLAIN | {"size": size}).size


def test_descriptors_are_values() -> None:
    """Equal ones are equal, and none changes once it is made."""
    descriptor = Descriptor.model_validate(PLAIN)

    with pytest.raises(ValidationError):
        descriptor.size = 6  # type: ignore[misc]  # that it cannot be set is the point

    assert descriptor == Descriptor(media_type=PLAIN["mediaType"], digest=DIGEST, size=5)


def test_sha512_content_has_descriptors_too() -> None:
    """The other registered algorithm works the same."""
    digest = "sha512:" + hashlib.sha512(b"layer").hexdigest()

    assert Descriptor.model_validate(PLAIN | {"digest": digest}).digest.algorithm == "sha512"


PLATFORMS = {
    "linux/amd64": {},
    "linux/arm/v7": {"architecture": "arm", "variant": "v7"},
    "windows/amd64": {"os": "windows", "os.version": "10.0.20348.1"},
    "unknown/unknown": {"os": "unknown", "architecture": "unknown"},
}


@pytest.mark.parametrize(("text", "document"), PLATFORMS.items(), ids=PLATFORMS)
def test_a_platform_prints_as_people_write_it(text: str, document: dict[str, Any]) -> None:
    """The operating system, the architecture, and the variant where there is one."""
    assert text == str(Platform.model_validate(document))
