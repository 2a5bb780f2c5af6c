"""Attaching: the cluster definition and local packs, into a store and into a lock; and again for another store."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from edgelift.attach import attach_content, bring_attached
from edgelift.attachments import ClusterDefinitionSource, PackSource
from edgelift.bundle.attached import Attached
from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.writer import assemble_bundle
from edgelift.demo.content import make_image
from edgelift.demo.palette_api import demo_profiles
from edgelift.errors import ConfigurationError
from edgelift.oci.credentials import Credentials
from edgelift.oci.pull import pull_content
from edgelift.oci.reference import ImageReference
from edgelift.oci.registries import Registries
from edgelift.packs.names import is_local
from edgelift.palette.client import PaletteClient
from edgelift.plan import Plan, plan_bundle
from edgelift.site import ContentSource
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.images import make_artifact
from tests.packs.samples import make_pack_folder
from tests.simulators.palette import PaletteSimulator
from tests.simulators.registry import RegistrySimulator

LOCAL = "local.invalid/spectro-packs/archive/greeting:1.0.0"
APP = make_image("team/app", architectures=("amd64", "arm64"))
PACK = make_artifact("edge/spectro-packs/archive/nginx", "1.2", payload=b"an archive")
PROFILES = demo_profiles("registry.example")


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry with an image and a pack."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        simulator.put_image(APP, PACK)
        yield simulator


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An empty store."""
    return LocalStore(tmp_path / "store")


def no_palette() -> PaletteClient:
    """For what needs none."""
    raise AssertionError("Palette was asked for")


def local_pack(folder: Path, **fields: str) -> ContentSource:
    """What asks for one local pack."""
    path = make_pack_folder(folder, **fields)
    return ContentSource(packs=PackSource(paths=(str(path),)))


def definition_of(sim: RegistrySimulator, *packs: str, **fields: str) -> BundleDefinition:
    """A definition of the image, and of `packs` by reference."""
    image = RequestedImage(reference=f"{sim.host}/{APP.repository}:{APP.tag}")
    return BundleDefinition.model_validate(
        {"images": (image,), "packs": tuple(RequestedImage(reference=pack) for pack in packs) or None, **fields}
    )


def plan(definition: BundleDefinition, store: LocalStore, attached: Attached | None = None) -> Plan:
    """The plan of `definition`."""
    with Registries(TransportSettings(), Credentials()) as registries:
        return plan_bundle(definition, registries, store, attached or Attached())


def test_a_pack_of_a_registry_is_pinned_as_a_pack(sim: RegistrySimulator, store: LocalStore) -> None:
    """Like any image, but for its kind; an architecture says nothing of it."""
    reference = f"{sim.host}/{PACK.repository}:{PACK.tag}"
    lock = plan(definition_of(sim, reference, architecture="amd64"), store).lock

    pack, image = lock.images
    assert [(each.reference == reference, each.kind) for each in lock.images] == [(True, "pack"), (False, None)]
    assert (pack.descriptor.digest, pack.index) == (PACK.root.digest, None)
    assert image.index == APP.root.digest


def test_a_pack_need_not_be_signed(sim: RegistrySimulator, store: LocalStore) -> None:
    """What has to be signed is images: packs are Palette's own."""
    definition = BundleDefinition(
        packs=(RequestedImage(reference=f"{sim.host}/{PACK.repository}:{PACK.tag}"),), require_signatures=True
    )

    assert plan(definition, store).errors == ()


def test_a_pack_that_is_not_there_is_named(sim: RegistrySimulator, store: LocalStore) -> None:
    """With who asks for it, as for an image."""
    errors = plan(definition_of(sim, f"{sim.host}/{PACK.repository}:9"), store).errors

    assert len(errors) == 1
    assert f"{PACK.repository}:9" in errors[0]


def test_a_local_pack_is_pinned_without_a_registry(sim: RegistrySimulator, store: LocalStore, tmp_path: Path) -> None:
    """All of it is in the store, under its name, and no server is asked for it."""
    attached = attach_content(local_pack(tmp_path / "pack"), store, no_palette)
    planned = plan(definition_of(sim, LOCAL), store, attached)

    assert (planned.errors, planned.postponed) == ((), ())
    assert [(image.reference, image.kind) for image in planned.lock.images][1:] == [(LOCAL, "pack")]
    pack = planned.lock.images[1]
    assert all(store.exists(each) for each in (*pack.manifests, *pack.blobs))
    assert LOCAL in store.references()
    assert str(tmp_path) not in planned.lock.to_json().decode()


def test_a_local_pack_that_is_not_given_is_an_error(sim: RegistrySimulator, store: LocalStore) -> None:
    """A definition can name it, but only a path leads to it."""
    errors = plan(definition_of(sim, LOCAL), store).errors

    assert len(errors) == 1
    assert "give it with --packs" in errors[0]


def test_images_only_attaches_no_pack(store: LocalStore, tmp_path: Path) -> None:
    """What a pack declares is the definition's business."""
    packs = PackSource(paths=(str(make_pack_folder(tmp_path / "pack")),), images_only=True)
    source = ContentSource(packs=packs)

    assert attach_content(source, store, no_palette) == Attached()
    assert not source.has_attachments


def test_a_cluster_definition_is_in_store_and_lock(sim: RegistrySimulator, store: LocalStore) -> None:
    """Its bytes by digest; the lock pins what Palette gave."""
    source = ContentSource(
        images=("nginx",), cluster_definition=ClusterDefinitionSource(name="harbour", profiles=("edge-infra",))
    )
    with PaletteSimulator(PROFILES, "a key") as palette:
        client = PaletteClient(palette.url, SecretStr("a key"), project="demo")
        attached = attach_content(source, store, lambda: client)
    lock = plan(definition_of(sim), store, attached).lock

    assert source.has_attachments
    assert lock.cluster_definition is not None
    assert lock.cluster_definition == attached.cluster_definition
    assert [profile.name for profile in lock.cluster_definition.profiles] == ["edge-infra"]
    assert lock.cluster_definition.read_from(store)[:2] == b"\x1f\x8b"


# Again, for another store


@pytest.fixture
def lock(sim: RegistrySimulator, store: LocalStore, tmp_path: Path) -> BundleLock:
    """A lock with an image, a local pack and a cluster definition, all of which is in the store."""
    source = local_pack(tmp_path / "pack").model_copy(
        update={"cluster_definition": ClusterDefinitionSource(name="harbour", profiles=("edge-infra",))}
    )
    with PaletteSimulator(PROFILES, "a key") as palette:
        client = PaletteClient(palette.url, SecretStr("a key"), project="demo")
        attached = attach_content(source, store, lambda: client)
    lock = plan(definition_of(sim, LOCAL), store, attached).lock
    with Registries(TransportSettings(), Credentials()) as registries:
        for image in lock.images:
            reference = ImageReference.parse(image.reference)
            if not is_local(reference):
                pull_content(registries.registry(sim.host), reference.repository, image.content, store)
    return lock


def test_a_full_store_needs_nothing(lock: BundleLock, store: LocalStore) -> None:
    """What a lock needs is there: neither Palette nor the folder of the pack is looked for."""
    bring_attached(lock, store)


def test_an_empty_store_is_filled_from_a_bundle(lock: BundleLock, store: LocalStore, tmp_path: Path) -> None:
    """A bundle that holds both is as good as where they came from, and gives the same bytes again."""
    path, other = tmp_path / "site.tar.zst", LocalStore(tmp_path / "other")
    assemble_bundle(lock, store, path)
    with BundleReader.open(path) as bundle:
        bring_attached(lock, other, bundles=[bundle])

    pack = next(image for image in lock.images if is_local(image.reference))
    assert all(other.exists(each) for each in (*lock.attached, *pack.manifests, *pack.blobs))
    assert LOCAL in other.references()


def test_an_empty_store_is_filled_from_the_packs(lock: BundleLock, tmp_path: Path) -> None:
    """The same folder again; what Palette made has to come from somewhere else, and that is said."""
    other = LocalStore(tmp_path / "other")
    with pytest.raises(ConfigurationError, match=r"cluster definition harbour .* not in the store") as caught:
        bring_attached(lock, other, packs=[str(tmp_path / "pack")])

    assert "--existing-bundles" in str(caught.value.hint)
    assert LOCAL in other.references()


def test_packs_that_are_not_given_again_are_named(lock: BundleLock, tmp_path: Path) -> None:
    """Nobody else has them; the hint says how to give them."""
    with pytest.raises(ConfigurationError, match=r"pack greeting 1.0.0 is not in the store") as caught:
        bring_attached(lock, LocalStore(tmp_path / "other"))

    assert "with --packs" in str(caught.value.hint)


def test_another_pack_of_that_name_is_not_taken(lock: BundleLock, tmp_path: Path) -> None:
    """The lock pins a digest: a folder that was changed since is another pack."""
    folder = tmp_path / "pack"
    (folder / "pack.json").write_text(json.dumps({"name": "greeting", "version": "1.0.0", "layer": "addon"}))
    with pytest.raises(ConfigurationError, match=r"pack greeting 1.0.0 is another there"):
        bring_attached(lock, LocalStore(tmp_path / "other"), packs=[str(folder)])
