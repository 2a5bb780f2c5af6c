"""Copying one image from registry to registry: every byte checked on its way, nothing kept, nothing sent twice."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgelift.demo.content import SampleImage, SampleLayer, make_image
from edgelift.errors import IntegrityError, NotFoundError
from edgelift.oci.content import ImageContent
from edgelift.oci.copy import Origin, copy_content
from edgelift.oci.credentials import Credentials
from edgelift.oci.push import KnownBlobs
from edgelift.oci.registry import Registry
from edgelift.oci.transfer import Transfer
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.oci.clocks import Hands
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app", architectures=("amd64", "arm64"), layers=(SampleLayer("gzip", 9000), SampleLayer("empty")))
LAYER = max(APP.blobs, key=lambda blob: blob.size)
USUAL = TransportSettings()


@dataclass(frozen=True)
class Place:
    """A destination."""

    repository: str = "edge/app"
    tag: str = "1.0"


@dataclass(frozen=True)
class Pair:
    """A registry that has the image, an empty one, and a store with its manifests alone."""

    source: RegistrySimulator
    target: RegistrySimulator
    manifests: LocalStore

    def copy(
        self,
        place: Place = Place(),
        *,
        inside: bool = False,
        force: bool = False,
        settings: TransportSettings = USUAL,
        image: SampleImage = APP,
    ) -> Transfer:
        """Copy with clients that do not wait between attempts; `inside` the source, to another repository of it.

        `settings` are those of the target.
        """
        source = Registry(self.source.host, TransportSettings(), Credentials(), clock=Hands().clock)
        target = source if inside else Registry(self.target.host, settings, Credentials(), clock=Hands().clock)
        content = ImageContent(image.manifests, image.blobs)
        origin = Origin(source, image.repository, self.manifests)
        return copy_content(origin, content, target, place, known=KnownBlobs(), force=force)

    def served(self, image: SampleImage, place: Place = Place(), *, inside: bool = False) -> dict[str, bytes]:
        """The content of `image` as it is served from `place`."""
        host = self.source.host if inside else self.target.host
        registry = Registry(host, TransportSettings(), Credentials(), clock=Hands().clock)
        manifests = {each.digest: registry.read_manifest(place.repository, each.digest).raw for each in image.manifests}
        blobs = {each.digest: b"".join(registry.read_blob(place.repository, each).chunks) for each in image.blobs}
        return manifests | blobs


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two registries and the manifests."""
    store = LocalStore(tmp_path / "store")
    for manifest in APP.manifests:
        store.write(manifest, APP.contents[manifest.digest])
    with RegistrySimulator(tmp_path / "source") as source, RegistrySimulator(tmp_path / "target") as target:
        source.put_image(APP)
        yield Pair(source, target, store)


def test_an_image_arrives_byte_for_byte_and_leaves_no_blob_on_the_disk(pair: Pair) -> None:
    """What the target serves is what the source has; the store still holds manifests only."""
    transfer = pair.copy()

    assert pair.served(APP) == dict(APP.contents)
    assert transfer == Transfer(moved=len(APP.blobs), moved_bytes=sum(blob.size for blob in APP.blobs))
    assert not any(pair.manifests.exists(blob) for blob in APP.blobs)
    assert pair.source.count("GET", "/blobs/") == sum(blob.size > 0 for blob in APP.blobs)
    assert pair.source.count("GET", "/manifests/") == 0


def test_a_cut_at_the_source_is_continued_inside_the_same_upload(pair: Pair) -> None:
    """The target sees one upload, whatever happens to the download; no byte is fetched twice."""
    pair.source.cut("GET", f"/blobs/{LAYER.digest}", after_bytes=LAYER.size // 3, times=2)
    pair.copy()

    assert pair.served(APP) == dict(APP.contents)
    assert pair.source.count("GET", f"/blobs/{LAYER.digest}", status=206) == 2
    assert pair.target.count("PUT", "/blobs/uploads/") == len(APP.blobs)


def test_a_source_that_does_no_ranges_is_read_again_and_nothing_is_sent_twice(pair: Pair) -> None:
    """A body that begins anew is passed over as far as it has been sent."""
    pair.source.ignore_ranges()
    pair.source.cut("GET", f"/blobs/{LAYER.digest}", after_bytes=LAYER.size // 2)
    pair.copy()

    assert pair.served(APP) == dict(APP.contents)
    assert pair.target.count("PUT", "/blobs/uploads/") == len(APP.blobs)


def test_a_cut_at_the_target_begins_that_blob_anew(pair: Pair) -> None:
    """An upload that breaks is sent again from its first byte, read from the source again."""
    pair.target.cut("PUT", "/blobs/uploads/", after_bytes=500, skip=1)
    pair.copy()

    assert pair.served(APP) == dict(APP.contents)


def test_wrong_bytes_are_fetched_once_more(pair: Pair) -> None:
    """They never become a blob at the target; the second, good copy does."""
    pair.source.flip(f"/blobs/{LAYER.digest}", at_byte=77)
    pair.copy()

    assert pair.served(APP) == dict(APP.contents)


def test_wrong_bytes_twice_are_an_error_that_names_the_source(pair: Pair) -> None:
    """The target gets neither the blob nor anything that names it."""
    pair.source.flip(f"/blobs/{LAYER.digest}", at_byte=77, times=None)
    with pytest.raises(
        IntegrityError, match=rf"{pair.source.host}/team/app sends wrong bytes for {LAYER.digest}, twice"
    ):
        pair.copy()

    assert pair.target.count("PUT", "/manifests/") == 0
    assert pair.target.count("PUT", f"digest={LAYER.digest}", status=201) == 0


def test_a_tag_that_stands_is_asked_for_once_and_nothing_moves(pair: Pair) -> None:
    """A second copy costs one request at the target and none at the source."""
    pair.copy()
    pair.source.forget_requests()
    pair.target.forget_requests()
    again = pair.copy()

    assert again == Transfer(present=len(APP.blobs))
    assert [each.method for each in pair.target.requests] == ["HEAD"]
    assert pair.source.requests == []


def test_inside_one_registry_blobs_are_mounted(pair: Pair) -> None:
    """Nothing is downloaded or uploaded to copy an image to another repository of its own registry."""
    transfer = pair.copy(Place("mirror/app"), inside=True)

    assert transfer == Transfer(mounted=len(APP.blobs))
    assert pair.served(APP, Place("mirror/app"), inside=True) == dict(APP.contents)


def test_inside_one_registry_that_mounts_nothing_the_bytes_go_round(pair: Pair) -> None:
    """Downloads and uploads at one registry do not wait for each other's slots."""
    pair.source.fail("POST", "mount=", status=405, times=None)
    transfer = pair.copy(Place("mirror/app"), inside=True)

    assert transfer.moved == len(APP.blobs)
    assert pair.served(APP, Place("mirror/app"), inside=True) == dict(APP.contents)


def test_force_sends_all_of_an_image_that_stands(pair: Pair) -> None:
    """An image that turned out to be broken at the target is sent as if it were not there."""
    pair.copy()
    again = pair.copy(force=True)

    assert again.moved == len(APP.blobs)


SETTINGS = {"whole": USUAL, "in chunks": TransportSettings(largest_request=2**20)}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("code", ["BLOB_UNKNOWN", ""])
def test_what_the_source_lacks_is_its_own_word(code: str, settings: TransportSettings, pair: Pair) -> None:
    """A 404 of the source is raised as it is, after one upload: no other way to the target would help."""
    large = make_image("team/large", layers=(SampleLayer("tar", 2**20 + 2**19),))
    layer = max(large.blobs, key=lambda blob: blob.size)
    pair.source.put_image(large)
    for manifest in large.manifests:
        pair.manifests.write(manifest, large.contents[manifest.digest])
    if code:
        pair.source.fail("GET", f"/blobs/{layer.digest}", status=404, code=code, times=None)
    else:
        pair.source.reply("GET", f"/blobs/{layer.digest}", status=404, times=None)
    with pytest.raises(NotFoundError) as caught:
        pair.copy(settings=settings, image=large)

    assert (caught.value.message.startswith(pair.source.host), caught.value.status) == (True, 404)
    assert pair.source.count("GET", f"/blobs/{layer.digest}") == 1
    assert pair.target.count("DELETE", "/uploads/", status=204) == 1


def test_a_manifest_that_the_store_has_lost_is_read_as_one(pair: Pair) -> None:
    """Missing or damaged there, it comes from the source, where manifests are."""
    missing, damaged = (pair.manifests.path(manifest.digest) for manifest in APP.manifests[:2])
    missing.unlink()
    damaged.write_bytes(bytes(damaged.stat().st_size))
    pair.copy()

    assert pair.served(APP) == dict(APP.contents)
    assert (pair.source.count("GET", "/manifests/"), pair.source.count("HEAD", "/blobs/")) == (2, 0)


def test_a_manifest_that_the_source_misses_says_nothing_of_the_target(pair: Pair) -> None:
    """Whatever code the source gives, the blobs that the target has taken are not sent again."""
    root = APP.manifests[-1]
    pair.manifests.path(root.digest).unlink()
    pair.source.fail("GET", f"/manifests/{root.digest}", status=404, code="BLOB_UNKNOWN", times=None)
    with pytest.raises(NotFoundError, match=pair.source.host):
        pair.copy()

    assert pair.source.count("GET", f"/manifests/{root.digest}") == 1
    assert pair.target.count("PUT", "/blobs/uploads/") == len(APP.blobs)
