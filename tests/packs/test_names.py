"""Names of packs in registries: what Palette expects, and what cannot be one."""

import pytest

from edgelift.errors import MalformedReferenceError
from edgelift.oci.reference import ImageReference
from edgelift.packs.names import LOCAL_REGISTRY, is_local, pack_reference, repository_of_pack

PLACES = {
    "a host": ("registry.example", "registry.example/spectro-packs/archive/nginx:1.2"),
    "a port": ("registry.example:5000", "registry.example:5000/spectro-packs/archive/nginx:1.2"),
    "a base": ("registry.example/edge/", "registry.example/edge/spectro-packs/archive/nginx:1.2"),
    "this machine": (LOCAL_REGISTRY, "local.invalid/spectro-packs/archive/nginx:1.2"),
}


@pytest.mark.parametrize(("place", "expected"), PLACES.values(), ids=PLACES)
def test_where_a_pack_is(place: str, expected: str) -> None:
    """Below the path that Palette looks into, under its version as the tag."""
    assert str(pack_reference(place, "nginx", "1.2")) == expected


NO_PLACES = {
    "a scheme": ("https://registry.example", "nginx", "1"),
    "one word": ("registry/edge", "nginx", "1"),
    "a base in capitals": ("registry.example/Edge", "nginx", "1"),
    "a pack in a folder": ("registry.example", "a/nginx", "1"),
    "no version": ("registry.example", "nginx", ""),
}


@pytest.mark.parametrize(("place", "name", "version"), NO_PLACES.values(), ids=NO_PLACES)
def test_what_cannot_be_where_a_pack_is(place: str, name: str, version: str) -> None:
    """It is refused before anybody is asked for it."""
    with pytest.raises(MalformedReferenceError):
        pack_reference(place, name, version)


def test_local_packs_are_told_by_their_registry() -> None:
    """By text or reference; another host that begins so is another host."""
    texts = ("local.invalid/a:1", "local.invalid.example/a:1", "docker.io/library/nginx:1")

    assert [is_local(text) for text in texts] == [True, False, False]
    assert [is_local(ImageReference.parse(text)) for text in texts] == [True, False, False]


def test_a_pack_is_in_one_place_of_every_registry() -> None:
    """Whatever stood before its name at the source."""
    repositories = ("edge/spectro-packs/archive/nginx", "spectro-packs/archive/nginx", "nginx")

    assert {repository_of_pack(each) for each in repositories} == {"spectro-packs/archive/nginx"}
