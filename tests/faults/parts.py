"""What the tests of the fault matrix do again and again: lock, pull, push, and look whether everything is whole."""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock
from edgelift.demo.content import OCI_CONFIG, SampleImage
from edgelift.oci.content import ImageContent
from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_MANIFEST, parse_manifest
from edgelift.oci.pull import pull_content
from edgelift.oci.push import KnownBlobs, push_content
from edgelift.oci.registries import Registries
from edgelift.oci.registry import Registry
from edgelift.oci.transfer import Transfer
from edgelift.plan import plan_bundle
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.oci.clocks import Hands
from tests.simulators.registry import RegistrySimulator

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Place:
    """A destination."""

    repository: str = "edge/app"
    tag: str = "1.0"


def make_bulk(name: str, sizes: Sequence[int]) -> SampleImage:
    """An image with layers of so many MiB, each with bytes of its own; made faster than `make_image` does it."""
    block = random.Random(1).randbytes(2**20 - 64)
    blobs, contents = [], {}
    for number, size in enumerate(sizes):
        content = b"".join(f"{name} {number} {at}".encode().ljust(64) + block for at in range(size))
        blobs.append(Descriptor(media_type=LAYER_TYPE, digest=Digest.of(content), size=len(content)))
        contents[blobs[-1].digest] = content
    config = json.dumps({"architecture": "amd64", "os": "linux", "name": name}).encode()
    blobs.insert(0, Descriptor(media_type=OCI_CONFIG, digest=Digest.of(config), size=len(config)))
    contents[blobs[0].digest] = config
    named = [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in blobs]
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": named[0], "layers": named[1:]}).encode()
    root = Descriptor(media_type=OCI_MANIFEST, digest=Digest.of(raw), size=len(raw))
    contents[root.digest] = raw
    return SampleImage(name, "1.0", root, (root,), tuple(blobs), contents)


def content_of(image: SampleImage) -> ImageContent:
    """What a copy of `image` has to bring."""
    return ImageContent(image.manifests, image.blobs)


def size_of(*images: SampleImage) -> int:
    """Bytes of all blobs, each once."""
    return sum({blob.digest: blob.size for image in images for blob in image.blobs}.values())


def layer_of(image: SampleImage) -> Descriptor:
    """The largest blob."""
    return max(image.blobs, key=lambda blob: blob.size)


def open_registry(
    host: str,
    settings: TransportSettings | None = None,
    credentials: Credentials | None = None,
    hands: Hands | None = None,
) -> Registry:
    """A client that does not really wait between attempts; what it would wait moves `hands`."""
    return Registry(host, settings or TransportSettings(), credentials or Credentials(), clock=(hands or Hands()).clock)


def pull(registry: Registry, image: SampleImage, store: LocalStore) -> Transfer:
    """Bring an image into the store."""
    return pull_content(registry, image.repository, content_of(image), store)


def push(
    store: LocalStore,
    registry: Registry,
    image: SampleImage,
    place: Place = Place(),
    *,
    known: KnownBlobs | None = None,
) -> Transfer:
    """Bring an image from the store to `place`."""
    return push_content(store, content_of(image), registry, place, known=known or KnownBlobs())


def fill_store(store: LocalStore, *images: SampleImage) -> LocalStore:
    """The store with all of `images` in it."""
    for image in images:
        for descriptor in (*image.blobs, *image.manifests):
            store.write(descriptor, image.contents[descriptor.digest])
    return store


def write_lock(path: Path, host: str, *images: SampleImage) -> Path:
    """The lock of `images` at the registry `host`, as `plan` makes it, in a file."""
    asked = tuple(RequestedImage(reference=f"{host}/{each.repository}:{each.tag}") for each in images)
    with Registries(TransportSettings(), Credentials()) as registries:
        plan = plan_bundle(
            BundleDefinition(name="site", images=asked), registries, LocalStore(path.parent / "planning")
        )
    plan.raise_for_errors()
    path.write_bytes(plan.lock.to_json())
    return path


def read_lock(path: Path) -> BundleLock:
    """The lock in a file."""
    return BundleLock.from_json(path.read_bytes())


def sent_blobs(sim: RegistrySimulator) -> int:
    """Bytes of blobs that the registry has sent, whether they arrived or not."""
    return sum(
        each.sent for each in sim.requests if each.method == "GET" and "/blobs/sha" in each.path and _good(each.status)
    )


def received_blobs(sim: RegistrySimulator) -> int:
    """Bytes of blobs that the registry has taken."""
    return sum(each.received for each in sim.requests if "/blobs/uploads/" in each.path)


def _good(status: int | None) -> bool:
    return status in (200, 206)


def names_in(folder: Path) -> set[str]:
    """Every file below `folder`."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def hash_file(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def assert_nothing_wrong_has_a_name(store: LocalStore) -> None:
    """Whatever stands under a final name has the bytes of that name, whole (I2); no stranger lies about (I8)."""
    for path in (store.root / "blobs" / "sha256").iterdir():
        assert hash_file(path) == path.name
    store.references()  # readable, or nothing at all


def assert_store_is_whole(store: LocalStore, *images: SampleImage) -> None:
    """The store holds exactly these images, every byte right, and nothing half-done."""
    assert_nothing_wrong_has_a_name(store)
    expected = {each.digest.hex for image in images for each in (*image.blobs, *image.manifests)}
    assert {path.name for path in (store.root / "blobs" / "sha256").iterdir()} == expected
    assert names_in(store.root / "partial") == set()
    assert leftovers(store) == set()


def leftovers(store: LocalStore) -> set[str]:
    """Files in the store's own folder that are none of its own."""
    known = {"oci-layout", "index.json", "index.lock", "use.lock"}
    return {path.name for path in store.root.iterdir() if not path.is_dir()} - known


def assert_tags_are_whole(sim: RegistrySimulator, below: str = "") -> list[str]:
    """Every tag of the repositories below a path leads to what is all there with the right bytes (I7); their names."""
    names: list[str] = []
    for repository in sim.content.repositories():
        if repository.startswith(below):
            for tag in sim.content.tags(repository) or ():
                _assert_tree(sim, repository, tag)
                names.append(f"{repository}:{tag}")
    return names


def _assert_tree(sim: RegistrySimulator, repository: str, selector: str) -> None:
    served = sim.content.resolve(repository, selector)
    assert served is not None, f"{repository}: {selector} leads nowhere"
    manifest = parse_manifest(served[1], served[0].media_type, served[0].digest)
    for child in manifest.children:
        _assert_tree(sim, repository, child.digest)
    for blob in manifest.blobs:
        assert sim.content.blob_size(repository, blob.digest) == blob.size
        read = b"".join(sim.content.read_blob_range(repository, blob.digest, 0, blob.size))
        assert blob.digest == f"sha256:{hashlib.sha256(read).hexdigest()}"


def tagged(sim: RegistrySimulator, image: SampleImage, place: Place = Place()) -> bool:
    """Whether the tag at `place` stands for `image`."""
    served = sim.content.resolve(place.repository, place.tag)
    return served is not None and served[0].digest == image.root.digest
