"""Pushing one image: in the order that keeps a registry whole, without sending anything twice, and surviving lies."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgelift.demo.content import SampleImage, SampleLayer, make_image
from edgelift.errors import DeniedError, IntegrityError, RefusedError, RegistryError
from edgelift.oci.content import ImageContent
from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.push import KnownBlobs, OnConflict, push_content
from edgelift.oci.registry import Registry
from edgelift.oci.transfer import Progress, Transfer
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.oci.clocks import Hands
from tests.real_parts import RunningRegistry
from tests.simulators.fault_layer import Exchange
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app", architectures=("amd64", "arm64"), layers=(SampleLayer("empty"), SampleLayer("tar", 9000)))
OLD = make_image("edge/app", seed="an older one")
PLACE = "edge/app"


@dataclass(frozen=True)
class Place:
    """A destination."""

    repository: str = PLACE
    tag: str = "1.0"


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """An empty registry."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        yield simulator


@pytest.fixture
def source(tmp_path: Path) -> LocalStore:
    """A store that holds the image."""
    return filled_store(tmp_path / "store", APP)


def filled_store(root: Path, *images: SampleImage) -> LocalStore:
    """A store with all of `images`."""
    store = LocalStore(root)
    for image in images:
        for descriptor in (*image.blobs, *image.manifests):
            store.write(descriptor, image.contents[descriptor.digest])
    return store


def push(
    source: LocalStore,
    host: str,
    image: SampleImage = APP,
    place: Place = Place(),
    *,
    known: KnownBlobs | None = None,
    on_conflict: OnConflict = "fail",
    progress: Progress | None = None,
) -> Transfer:
    """Push `image` with a client that does not wait between attempts."""
    registry = Registry(host, TransportSettings(), Credentials(), clock=Hands().clock)
    content = ImageContent(image.manifests, image.blobs)
    known = known or KnownBlobs()
    return push_content(source, content, registry, place, known=known, on_conflict=on_conflict, progress=progress)


def writes(sim: RegistrySimulator) -> list[Exchange]:
    """The requests that brought something: blobs, manifests and mounts."""
    return [each for each in sim.requests if each.method in ("PUT", "PATCH") or "mount=" in each.query]


def served(sim: RegistrySimulator, image: SampleImage, repository: str = PLACE) -> dict[str, bytes]:
    """The content of `image` as the registry serves it from `repository`."""
    registry = Registry(sim.host, TransportSettings(), Credentials(), clock=Hands().clock)
    manifests = {each.digest: registry.read_manifest(repository, each.digest).raw for each in image.manifests}
    return manifests | {each.digest: b"".join(registry.read_blob(repository, each).chunks) for each in image.blobs}


def tagged(sim: RegistrySimulator, place: Place = Place()) -> str | None:
    """The digest that the tag stands for."""
    found = Registry(sim.host, TransportSettings(), Credentials()).describe(place.repository, place.tag)
    return found.digest if found is not None else None


# Order and economy


def test_an_image_arrives_byte_for_byte(sim: RegistrySimulator, source: LocalStore) -> None:
    """Every manifest and blob is served as it was in the store, and the tag stands for the index."""
    transfer = push(source, sim.host)

    assert (served(sim, APP), tagged(sim)) == (dict(APP.contents), APP.root.digest)
    assert transfer == Transfer(moved=len(APP.blobs), moved_bytes=sum(blob.size for blob in APP.blobs))


def test_nothing_is_there_before_what_it_names(sim: RegistrySimulator, source: LocalStore) -> None:
    """Blobs come first, then the manifests of the platforms, then the index, with its tag."""
    push(source, sim.host)

    order = [each.target.rpartition("/")[2] for each in writes(sim)]
    manifests = [str(each.digest) for each in APP.manifests]
    assert all("digest=" in each for each in order[: len(APP.blobs)])
    assert order[len(APP.blobs) :] == [*manifests[:-1], "1.0"]


def test_a_real_registry_takes_it(docker_registry: RunningRegistry, source: LocalStore) -> None:
    """Distribution, which checks what a manifest names, takes an index with all it needs."""
    push(source, docker_registry.host)
    registry = Registry(docker_registry.host, TransportSettings(), Credentials())
    standing = registry.read_manifest(PLACE, "1.0")

    assert standing.raw == APP.contents[APP.root.digest]


def test_nothing_is_sent_when_all_is_there(sim: RegistrySimulator, source: LocalStore) -> None:
    """A second push asks, and sends nothing; the transfer says that all was there."""
    push(source, sim.host)
    sim.forget_requests()

    again = push(source, sim.host)

    assert ({each.method for each in sim.requests}, again) == ({"HEAD"}, Transfer(present=len(APP.blobs)))


def test_a_second_tag_costs_one_request_that_writes(sim: RegistrySimulator, source: LocalStore) -> None:
    """The same image under another tag is one PUT."""
    push(source, sim.host)
    sim.forget_requests()

    push(source, sim.host, place=Place(tag="latest"))

    assert [each.path for each in writes(sim)] == [f"/v2/{PLACE}/manifests/latest"]


# Mounts


def test_known_blobs_are_mounted(sim: RegistrySimulator, source: LocalStore) -> None:
    """What one repository of the registry has is mounted into the next, not sent again."""
    known = KnownBlobs()
    push(source, sim.host, known=known)
    sim.forget_requests()

    transfer = push(source, sim.host, place=Place("edge/copy"), known=known)

    assert transfer == Transfer(mounted=len(APP.blobs))
    assert {each.query.partition("from=")[2] for each in writes(sim) if "mount=" in each.query} == {"edge/app"}
    assert served(sim, APP, "edge/copy") == dict(APP.contents)


def test_a_mount_that_is_not_made_becomes_an_upload(sim: RegistrySimulator, source: LocalStore) -> None:
    """A registry that answers 202 to a mount has opened an upload: the blob is sent there."""
    known = KnownBlobs()
    for blob in APP.blobs:
        known.add(blob.digest, "edge/where-it-is-not")

    transfer = push(source, sim.host, known=known)

    assert transfer.moved == len(APP.blobs)
    assert sim.count("POST", "mount=", 202) == sim.count("POST", "/uploads/") == len(APP.blobs)
    assert served(sim, APP) == dict(APP.contents)


def test_a_refused_mount_becomes_an_upload(sim: RegistrySimulator, source: LocalStore) -> None:
    """A registry that refuses to mount at all still gets the blobs."""
    known = KnownBlobs()
    push(source, sim.host, known=known)
    sim.fail("POST", "mount=", status=403, times=None)

    transfer = push(source, sim.host, place=Place("edge/copy"), known=known)

    assert (transfer.moved, served(sim, APP, "edge/copy")) == (len(APP.blobs), dict(APP.contents))


def test_a_shared_blob_is_sent_once(sim: RegistrySimulator, tmp_path: Path) -> None:
    """Eight images with a layer in common, pushed at the same time, send that layer once and mount it seven times."""
    shared = SampleLayer("tar", 300_000, seed="in all of them")
    images = [make_image(f"edge/image-{number}", layers=(shared, SampleLayer("tar", number))) for number in range(8)]
    common = set.intersection(*({blob.digest for blob in image.blobs} for image in images)).pop()
    source, known = filled_store(tmp_path / "several", *images), KnownBlobs()
    sim.stall("PUT", common, after_bytes=None, seconds=0.3)

    with ThreadPoolExecutor(8) as pool:
        each_place = [(image, Place(image.repository, image.tag)) for image in images]
        list(pool.map(lambda each: push(source, sim.host, each[0], each[1], known=known), each_place))

    assert (sim.count("PUT", common), sim.count("POST", f"mount={common}")) == (1, 7)


# Standing tags


def test_a_standing_tag_is_not_moved_unasked(sim: RegistrySimulator, source: LocalStore) -> None:
    """A tag that stands with another digest stops the push before anything is sent; both ways on are named."""
    sim.put_image(OLD)
    with pytest.raises(RefusedError) as caught:
        push(source, sim.host)

    assert f"{sim.host}/edge/app:1.0 stands with {OLD.root.digest[:19]}" in caught.value.message
    assert all(way in str(caught.value.hint) for way in ("--on-conflict replace", "--on-conflict keep"))
    assert (writes(sim), tagged(sim)) == ([], OLD.root.digest)


def test_a_standing_tag_can_be_kept(sim: RegistrySimulator, source: LocalStore) -> None:
    """With `keep` nothing is sent and the tag stays."""
    sim.put_image(OLD)
    transfer = push(source, sim.host, on_conflict="keep")

    assert (transfer, writes(sim), tagged(sim)) == (Transfer(), [], OLD.root.digest)


@pytest.mark.parametrize("on_conflict", ["keep", "replace"])
def test_progress_adds_up_to_the_image(on_conflict: OnConflict, sim: RegistrySimulator, source: LocalStore) -> None:
    """An image that is left as it is counts as done like one that is sent."""
    sim.put_image(OLD)
    steps: list[int] = []
    push(source, sim.host, on_conflict=on_conflict, progress=steps.append)

    assert sum(steps) == sum(blob.size for blob in APP.blobs)


def test_a_standing_tag_can_be_replaced(sim: RegistrySimulator, source: LocalStore) -> None:
    """With `replace` the tag moves, last of all."""
    sim.put_image(OLD)
    push(source, sim.host, on_conflict="replace")

    assert (writes(sim)[-1].path, tagged(sim)) == ("/v2/edge/app/manifests/1.0", APP.root.digest)


@pytest.mark.parametrize("on_conflict", ["fail", "keep", "replace"])
def test_the_same_digest_is_no_conflict(on_conflict: OnConflict, sim: RegistrySimulator, source: LocalStore) -> None:
    """A tag that stands for this very image is no conflict: what is missing of the image is sent."""
    push(source, sim.host)
    assert push(source, sim.host, on_conflict=on_conflict) == Transfer(present=len(APP.blobs))


# Lost answers and lies


LOST = {
    "a blob's": ("PUT", "/uploads/"),
    "a manifest's": ("PUT", "/manifests/sha256"),
    "the tag's": ("PUT", "/manifests/1.0$"),
}


@pytest.mark.parametrize(("method", "path"), LOST.values(), ids=LOST)
def test_a_lost_answer_sends_nothing_twice(method: str, path: str, sim: RegistrySimulator, source: LocalStore) -> None:
    """Where the answer to a write is lost, the registry is asked before anything is sent again: and all was there."""
    sim.lose_response(method, path)
    push(source, sim.host)

    assert [each.target for each in writes(sim)] == list(dict.fromkeys(each.target for each in writes(sim)))
    assert sum(each.received for each in writes(sim) if "digest=" in each.query) == sum(b.size for b in APP.blobs)
    assert (served(sim, APP), tagged(sim)) == (dict(APP.contents), APP.root.digest)


def test_blobs_that_were_never_there_are_sent_after_all(sim: RegistrySimulator, source: LocalStore) -> None:
    """A registry that says it has blobs, then refuses the manifest that names them, gets everything once more."""
    liar = max(APP.blobs, key=lambda blob: blob.size)
    sim.head_lies(liar.digest, liar.size)

    transfer = push(source, sim.host)

    assert (served(sim, APP), tagged(sim)) == (dict(APP.contents), APP.root.digest)
    assert transfer.moved == 2 * len(APP.blobs) - 1
    assert sim.count("PUT", "/manifests/", 400) == 1


def test_manifests_that_were_never_there_are_sent_after_all(sim: RegistrySimulator, source: LocalStore) -> None:
    """A registry that says it has the manifest of a platform, then refuses the index, gets that manifest as well."""
    child = APP.manifests[0]
    headers = {"docker-content-digest": child.digest, "content-length": str(child.size)}
    sim.reply("HEAD", child.digest, headers=headers | {"content-type": child.media_type}, times=None)

    push(source, sim.host)

    assert (served(sim, APP), tagged(sim)) == (dict(APP.contents), APP.root.digest)


def test_a_registry_that_never_finds_a_blob_is_given_up(sim: RegistrySimulator, source: LocalStore) -> None:
    """After a moment for the registry everything is sent again once, not for ever."""
    sim.fail("PUT", "/manifests/", status=400, code="MANIFEST_BLOB_UNKNOWN", times=None)
    with pytest.raises(RegistryError, match="MANIFEST_BLOB_UNKNOWN"):
        push(source, sim.host)

    assert (sim.count("PUT", "/uploads/"), sim.count("PUT", "/manifests/")) == (2 * len(APP.blobs), 3)


# Failures


def test_damaged_content_does_not_leave(sim: RegistrySimulator, source: LocalStore) -> None:
    """A blob that is damaged in the store is noticed while it is sent; the registry gets no manifest and no tag."""
    blob = max(APP.blobs, key=lambda each: each.size)
    damage(source, blob)
    with pytest.raises(IntegrityError, match=blob.digest):
        push(source, sim.host)

    assert (sim.count("PUT", "/manifests/"), tagged(sim)) == (0, None)


def test_a_denied_push_leaves_no_manifest(sim: RegistrySimulator, source: LocalStore) -> None:
    """Where uploads are refused the error names the registry and the repository."""
    sim.deny("/uploads/", "POST")
    with pytest.raises(DeniedError, match=PLACE) as caught:
        push(source, sim.host)

    assert caught.value.message.startswith(sim.host)
    assert sim.count("PUT") == 0


def damage(store: LocalStore, blob: Descriptor) -> None:
    """Turn over one bit of a blob in the store."""
    path = store.path(blob.digest)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


# What stands already


def test_a_tag_that_stands_with_the_right_digest_costs_one_request(sim: RegistrySimulator, source: LocalStore) -> None:
    """A registry takes no manifest whose content it misses: its word on the tag is enough."""
    push(source, sim.host)
    sim.forget_requests()
    push(source, sim.host)

    assert [(each.method, each.path) for each in sim.requests] == [("HEAD", f"/v2/{PLACE}/manifests/1.0")]


def test_force_heals_an_image_whose_blob_the_registry_has_lost(sim: RegistrySimulator, source: LocalStore) -> None:
    """Neither the tag nor what HEAD says of blobs is believed then."""
    push(source, sim.host)
    lost = APP.blobs[0]
    sim.head_lies(lost.digest, lost.size)
    registry = Registry(sim.host, TransportSettings(), Credentials(), clock=Hands().clock)
    content = ImageContent(APP.manifests, APP.blobs)
    transfer = push_content(source, content, registry, Place(), known=KnownBlobs(), force=True)

    assert transfer == Transfer(moved=len(APP.blobs), moved_bytes=sum(blob.size for blob in APP.blobs))
    assert (served(sim, APP), tagged(sim)) == (dict(APP.contents), APP.root.digest)
