"""Preflight: everything that would stop a delivery is found before the first blob moves, and nothing is left behind."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.bundle.writer import assemble_bundle
from edgelift.delivery.preflight import check_delivery, check_disk, name_deliveries
from edgelift.delivery.target import Target, TargetName
from edgelift.demo.content import SampleImage, make_image
from edgelift.errors import StoreError
from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.push import OnConflict
from edgelift.oci.registry import Registry
from edgelift.serve.access import Login
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.images import load_image
from tests.oci.clocks import Hands
from tests.real_parts import RunningRegistry
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app")
OTHER = make_image("team/app", seed="another")
DOCKER = make_image("team/docker", flavour="docker", architectures=("amd64", "arm64"))
BASE = "edge"


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """An empty registry."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        yield simulator


def locked(reference: str, image: SampleImage) -> LockedImage:
    """`image` under the name `reference`."""
    return LockedImage(reference=reference, descriptor=image.root, manifests=image.manifests, blobs=image.blobs)


def lock_of(*images: LockedImage) -> BundleLock:
    """A lock of these images."""
    asked = tuple(RequestedImage(reference=image.reference) for image in images)
    return BundleLock(definition=BundleDefinition(name="site", images=asked), images=images)


def check(
    host: str, *images: LockedImage, on_conflict: OnConflict = "fail", base: str = BASE, rules: tuple[str, ...] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The errors and the warnings of a preflight with a client that does not wait between attempts."""
    registry = Registry(host, TransportSettings(), Credentials(), clock=Hands().clock)
    target = Target.parse(f"{host}/{base}" if base else host, rules)
    preflight = check_delivery(lock_of(*images), target, registry, on_conflict)
    return preflight.errors, preflight.warnings


def stand(sim: RegistrySimulator, image: SampleImage) -> None:
    """Put `image` where `docker.io/team/app:1.0` would go."""
    sim.put_image(SampleImage(f"{BASE}/docker.io/team/app", "1.0", *_parts(image)))


def _parts(
    image: SampleImage,
) -> tuple[Descriptor, tuple[Descriptor, ...], tuple[Descriptor, ...], dict[Digest, bytes]]:
    return image.root, image.manifests, image.blobs, dict(image.contents)


# Names


def test_names_are_the_targets() -> None:
    """Every image has its names at the target, in the order of the lock."""
    deliveries, errors = name_deliveries(
        lock_of(locked("docker.io/library/nginx:1.27", APP), locked("quay.io/app:2", OTHER)),
        Target.parse("mirror.example/edge", docker_hub_aliases=True),
    )

    assert errors == ()
    assert [each.names for each in deliveries] == [
        (TargetName("edge/docker.io/library/nginx", "1.27"), TargetName("edge/docker.io/nginx", "1.27")),
        (TargetName("edge/quay.io/app", "2"),),
    ]


def test_two_images_on_one_tag_are_an_error(sim: RegistrySimulator) -> None:
    """What two different images would claim is named with both, before one of them overwrites the other."""
    images = locked("quay.io/one/app:1.0", APP), locked("quay.io/two/app:1.0", OTHER)
    errors, _ = check(sim.host, *images, rules=("quay.io/one=same", "quay.io/two=same"))

    assert len(errors) == 1
    assert f"{sim.host}/same/app:1.0 would be claimed by quay.io/one/app:1.0 and quay.io/two/app:1.0" in errors[0]


def test_one_image_under_two_references_is_no_clash(sim: RegistrySimulator) -> None:
    """Two references with one digest may share a tag."""
    images = locked("quay.io/one/app:1.0", APP), locked("quay.io/two/app:1.0", APP)

    assert check(sim.host, *images, rules=("quay.io/one=same", "quay.io/two=same")) == ((), ())


def test_a_name_that_cannot_be_is_an_error(sim: RegistrySimulator) -> None:
    """A name too long for the target is named, with the way around it; the other images are checked all the same."""
    long = locked("quay.io/" + "/".join(["part" * 10] * 5) + ":1", APP)
    errors, _ = check(sim.host, long, locked("docker.io/team/app:1.0", OTHER), base="/".join(["base" * 10] * 2))

    assert len(errors) == 1
    assert errors[0].startswith(long.reference)
    assert "mapping rule" in errors[0]


# Standing tags


def test_an_empty_target_takes_everything(sim: RegistrySimulator) -> None:
    """Nothing stands in the way at an empty registry, whatever the policy."""
    outcomes = [check(sim.host, locked("docker.io/team/app:1.0", APP), on_conflict=policy) for policy in POLICIES]

    assert outcomes == [((), ())] * 3


def test_the_same_digest_is_no_conflict(sim: RegistrySimulator) -> None:
    """A tag that stands for this very image is fine under each policy."""
    stand(sim, APP)
    outcomes = [check(sim.host, locked("docker.io/team/app:1.0", APP), on_conflict=policy) for policy in POLICIES]

    assert outcomes == [((), ())] * 3


POLICIES: tuple[OnConflict, ...] = ("fail", "keep", "replace")
STANDING: dict[OnConflict, tuple[int, int, str]] = {
    "fail": (1, 0, "--on-conflict replace moves the tag"),
    "keep": (0, 1, "; it is left as it is"),
    "replace": (0, 1, "; it will be moved"),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_standing_tag_is_told_under_each_policy(policy: OnConflict, sim: RegistrySimulator) -> None:
    """An error where it stops the push, else a warning that says what will become of the tag."""
    stand(sim, OTHER)
    found = check(sim.host, locked("docker.io/team/app:1.0", APP), on_conflict=policy)
    errors, warnings, words = STANDING[policy]

    assert (len(found[0]), len(found[1])) == (errors, warnings)
    line = (*found[0], *found[1])[0]
    assert line.startswith(f"docker.io/team/app:1.0: {sim.host}/edge/docker.io/team/app:1.0 stands with")
    assert words in line


@pytest.mark.parametrize("policy", POLICIES)
def test_a_tag_that_cannot_be_asked_for_is_an_error_under_each_policy(
    policy: OnConflict, sim: RegistrySimulator
) -> None:
    """What is not known is never passed over as a tag that is kept or moved."""
    sim.fail("HEAD", "/manifests/1.0", status=500, times=None)
    errors, warnings = check(sim.host, locked("docker.io/team/app:1.0", APP), on_conflict=policy)

    assert (len(errors), warnings) == (1, ())
    assert errors[0].startswith(f"docker.io/team/app:1.0: {sim.host}: cannot look for")


def test_a_tag_that_stands_for_nonsense_is_an_error(sim: RegistrySimulator) -> None:
    """A target that serves no manifest under the tag does not end the preflight: it is one of its findings."""
    sim.reply("HEAD", "/manifests/1.0", status=200)
    sim.reply("GET", "/manifests/1.0", status=200, body=b"<html>", times=None)
    errors, _ = check(sim.host, locked("docker.io/team/app:1.0", APP), locked("docker.io/team/app:2.0", APP))

    assert len(errors) == 1
    assert errors[0].startswith("docker.io/team/app:1.0: ")


# Permissions


def test_each_project_is_asked_for_the_right_to_push(sim: RegistrySimulator) -> None:
    """Every first path component is a project of its own; all that refuse us are named."""
    sim.deny("^/v2/(quay.io|ghcr.io)/.*/uploads/", "POST")
    images = [locked(f"{host}/team/app:1.0", APP) for host in ("quay.io", "ghcr.io", "docker.io")]
    errors, _ = check(sim.host, *images, base="")

    assert sorted(error.partition(" cannot ")[2].partition(":")[0] for error in errors) == [
        "push to ghcr.io/team/app",
        "push to quay.io/team/app",
    ]
    assert sim.count("POST", "/v2/docker.io/team/app/blobs/uploads/", 202) == 1


def test_a_wrong_login_is_the_only_error(tmp_path: Path) -> None:
    """Where the target does not let us in, that is said once, not for each image; names are checked all the same."""
    with RegistrySimulator(tmp_path, login=Login("courier", "secret")) as sim:
        images = [locked(f"quay.io/team/app-{number}:1.0", APP) for number in range(5)]
        errors, _ = check(sim.host, *images)

    assert len(errors) == 1
    assert errors[0].startswith(sim.host)
    assert "docker login" in errors[0]


def test_a_target_that_is_not_there_is_an_error() -> None:
    """An unreachable registry is named with the next step."""
    errors, _ = check("127.0.0.1:1", locked("quay.io/team/app:1.0", APP))

    assert len(errors) == 1
    assert "127.0.0.1:1: cannot log in: connection refused" in errors[0]
    assert "→" in errors[0]


# Media types


def test_a_target_that_refuses_dockers_format_is_found(sim: RegistrySimulator) -> None:
    """A registry that answers 415 to Docker's manifests cannot take them; the way around it is named."""
    sim.fail("PUT", "/manifests/", status=415, times=None)
    errors, _ = check(sim.host, locked("docker.io/team/docker:1.0", DOCKER))

    assert len(errors) == 1
    assert f"{sim.host} refuses Docker's manifest format" in errors[0]
    assert "docker2s2" in errors[0]


def test_images_in_oci_format_are_not_probed(sim: RegistrySimulator) -> None:
    """Where nothing is in Docker's format, nothing is asked about it."""
    sim.fail("PUT", "/manifests/", status=415, times=None)

    assert check(sim.host, locked("docker.io/team/app:1.0", APP)) == ((), ())
    assert sim.count("PUT") == 0


def test_another_refusal_of_the_probe_is_none(sim: RegistrySimulator) -> None:
    """The probe names blobs that do not exist, so that a registry which takes the format refuses it for that."""
    assert check(sim.host, locked("docker.io/team/docker:1.0", DOCKER)) == ((), ())
    assert sim.count("PUT", "/manifests/", 400) == 1


def test_nothing_is_left_behind(docker_registry: RunningRegistry) -> None:
    """On a real registry a preflight leaves neither manifest nor blob, nor an upload that was begun."""
    images = locked("docker.io/team/docker:1.0", DOCKER), locked("quay.io/team/app:1.0", APP)
    assert check(docker_registry.host, *images) == ((), ())

    # Distribution itself leaves the state of its hash behind when an upload is called off, without the upload.
    storage = docker_registry.log.parent / "storage"
    files = [path for path in storage.rglob("*") if path.is_file() and "hashstates" not in path.parts]
    assert files == []
    assert Registry(docker_registry.host, TransportSettings(), Credentials()).list_repositories() == ()


def test_a_real_target_that_holds_it_all_is_fine(docker_registry: RunningRegistry) -> None:
    """A second delivery finds its tags standing with the right digests."""
    load_image(docker_registry.host, f"{BASE}/docker.io/team/docker", "1.0", DOCKER)

    assert check(docker_registry.host, locked("docker.io/team/docker:1.0", DOCKER)) == ((), ())


# The disk


def huge(size: int) -> BundleLock:
    """A lock of one image with a layer of `size` bytes."""
    layer = Descriptor(media_type="application/vnd.oci.image.layer.v1.tar", digest=Digest.of(b"huge"), size=size)
    return lock_of(LockedImage(reference="quay.io/app:1", descriptor=APP.root, manifests=APP.manifests, blobs=(layer,)))


def test_a_disk_that_is_large_enough_is_fine(tmp_path: Path) -> None:
    """No word about the disk where there is room, also for folders that are yet to be made."""
    assert check_disk(huge(10), LocalStore(tmp_path / "store"), tmp_path / "not" / "yet" / "there") is None


def test_a_disk_that_is_too_small_is_told_in_numbers(tmp_path: Path) -> None:
    """What is free and what is needed are named, store and bundle together where they share a disk."""
    free = shutil.disk_usage(tmp_path).free
    lock, store = huge(free * 6 // 10), LocalStore(tmp_path / "store")
    shortage = check_disk(lock, store, tmp_path / "out")

    assert shortage is not None
    assert shortage.startswith(f"{store.root} has ")
    assert f"{2 * lock.unique_size:,} are needed" in shortage


def test_what_is_in_the_store_needs_no_room(tmp_path: Path) -> None:
    """Only what is still to be pulled counts for the store."""
    store = LocalStore(tmp_path / "store")
    free = shutil.disk_usage(tmp_path).free
    lock = huge(free * 6 // 10)
    layer = lock.unique_blobs()[0]
    with store.path(layer.digest).open("wb") as sparse:
        sparse.truncate(layer.size)

    assert check_disk(lock, store, tmp_path / "out") is None


def test_a_bundle_that_stands_needs_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that has nothing to write does not fail on a full disk; the bundle of another lock is replaced, though."""
    store, bundle = LocalStore(tmp_path / "store"), tmp_path / "out" / "site.tar.zst"
    for image in (APP, OTHER):
        for each in (*image.manifests, *image.blobs):
            store.write(each, image.contents[each.digest])
    lock, other = (lock_of(locked("quay.io/team/app:1.0", image)) for image in (APP, OTHER))
    assemble_bundle(lock, store, bundle)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))

    assert check_disk(lock, store, bundle) is None
    assert f"{other.unique_size:,} are needed" in str(check_disk(other, store, bundle))


def test_a_folder_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    """A path that no disk can hold is named."""
    with pytest.raises(StoreError, match="File name too long"):
        check_disk(huge(10), LocalStore(tmp_path / "store"), tmp_path / ("x" * 300) / "out")


# Packs


def test_two_packs_of_one_name_and_version_are_rivals() -> None:
    """Wherever packs come from, they land in one place: two that differ there are told before anything moves."""
    places = ("quay.io/edge", "local.invalid")
    packs = [
        locked(f"{place}/spectro-packs/archive/web:1.0", image).model_copy(update={"kind": "pack"})
        for place, image in zip(places, (APP, OTHER), strict=True)
    ]
    deliveries, errors = name_deliveries(lock_of(*packs), Target.parse("mirror.example/edge"))
    apart = name_deliveries(lock_of(*packs), Target.parse("mirror.example/edge", ("quay.io/edge=other",)))

    assert {str(name) for each in deliveries for name in each.names} == {"edge/spectro-packs/archive/web:1.0"}
    assert len(errors) == 1
    assert "mirror.example/edge/spectro-packs/archive/web:1.0 would be claimed by" in errors[0]
    assert apart[1] == ()
