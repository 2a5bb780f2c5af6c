"""Copies from registry to registry: all that a lock names, and one image under a name of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgelift.access import Connections, open_registries
from edgelift.attach import attach_content
from edgelift.attachments import PackSource
from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock
from edgelift.delivery.copying import copy_entries, copy_reference
from edgelift.delivery.target import Target
from edgelift.delivery.validate import validate_lock
from edgelift.errors import IncompleteError
from edgelift.oci.reference import ImageReference
from edgelift.palette.client import PaletteClient
from edgelift.plan import plan_bundle
from edgelift.site import ContentSource, RegistryAccess
from edgelift.store.local import LocalStore
from tests.images import make_artifact, make_image_set
from tests.packs.samples import make_pack_folder
from tests.simulators.registry import RegistrySimulator

IMAGES = make_image_set(4, 1)


@dataclass(frozen=True)
class Scene:
    """A registry full of images, an empty one, and a store."""

    source: RegistrySimulator
    target: RegistrySimulator
    connections: Connections
    store: LocalStore

    @property
    def place(self) -> Target:
        """Where everything goes."""
        return Target.parse(f"{self.target.host}/edge")

    def lock(self) -> BundleLock:
        """The lock of all images."""
        asked = sorted(f"{self.source.host}/{image.repository}:{image.tag}" for image in IMAGES)
        definition = BundleDefinition(name="site", images=tuple(RequestedImage(reference=each) for each in asked))
        return plan_bundle(definition, self.connections.registries, self.store).lock


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Four images to be copied."""
    with (
        RegistrySimulator(tmp_path / "source") as source,
        RegistrySimulator(tmp_path / "target") as target,
        open_registries(RegistryAccess(docker_config=False)) as connections,
    ):
        source.put_image(*IMAGES)
        yield Scene(source, target, connections, LocalStore(tmp_path / "store"))


def test_all_that_a_lock_names_is_copied(scene: Scene) -> None:
    """Every entry arrives, no blob lies in the store, and a second copy sends nothing."""
    lock, registry = scene.lock(), scene.connections.registry(scene.target.host)

    first = copy_entries(lock, scene.place, registry, scene.connections, scene.store)
    second = copy_entries(lock, scene.place, registry, scene.connections, scene.store)

    assert validate_lock(lock, scene.place, registry, deep=True).is_whole
    assert (first.moved, second.moved) == (len(lock.unique_blobs()), 0)
    assert not any(scene.store.exists(blob) for blob in lock.unique_blobs())


def test_a_local_pack_comes_from_the_store(scene: Scene, tmp_path: Path) -> None:
    """No registry has it, and none is asked."""
    source = ContentSource(packs=PackSource(paths=(str(make_pack_folder(tmp_path / "pack")),)))
    (pack,) = attach_content(source, scene.store, _no_palette).packs
    lock, registry = (
        BundleLock(definition=BundleDefinition(), images=(pack,)),
        scene.connections.registry(scene.target.host),
    )

    copy_entries(lock, scene.place, registry, scene.connections, scene.store)

    assert validate_lock(lock, scene.place, registry, deep=True).is_whole


def _no_palette() -> PaletteClient:
    raise AssertionError("Palette was asked for")


def test_what_failed_is_named_and_the_rest_is_done(scene: Scene) -> None:
    """One image that its registry gives no more does not stop the others."""
    lock, registry = scene.lock(), scene.connections.registry(scene.target.host)
    scene.source.deny(f"/{IMAGES[2].repository}/blobs/")
    told = list[str]()
    with pytest.raises(IncompleteError, match="1 of 4 images could not be copied") as caught:
        copy_entries(
            lock,
            scene.place,
            registry,
            scene.connections,
            scene.store,
            on_image=lambda image: told.append(image.reference),
        )

    assert IMAGES[2].repository in caught.value.failures[0]
    assert len(told) == 3
    assert validate_lock(lock, scene.place, registry).counts["ok"] == 3


@pytest.mark.parametrize("tag", ["1.0", "stable"])
def test_one_image_is_copied_to_any_name(scene: Scene, tag: str) -> None:
    """An index with all its platforms, under the repository and tag that are wanted."""
    image = IMAGES[0]
    reference = ImageReference.parse(f"{scene.source.host}/{image.repository}:{image.tag}")
    destination = ImageReference.parse(f"{scene.target.host}/mirror/app:{tag}")

    proof, transfer = copy_reference(reference, destination, scene.connections, scene.store)

    assert (proof.verdict, proof.found, proof.target) == ("ok", image.root.digest, str(destination))
    assert transfer.moved == len(image.blobs)


def test_an_artifact_is_copied_like_an_image(scene: Scene) -> None:
    """What is kept in a registry need not be an image."""
    artifact = make_artifact("sites/bundles", "june.tar.zst", artifact_type="application/vnd.edgelift.archive.v1")
    scene.source.put_image(artifact)
    reference, destination = (
        ImageReference.parse(f"{host}/sites/bundles:june.tar.zst") for host in (scene.source.host, scene.target.host)
    )

    proof, _ = copy_reference(reference, destination, scene.connections, scene.store)

    assert (proof.verdict, proof.found) == ("ok", artifact.root.digest)
