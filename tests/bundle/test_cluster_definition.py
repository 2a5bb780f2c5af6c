"""A cluster definition in a bundle: a member of its own, pinned by the lock, read alone and verified with the rest."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgelift.bundle.cluster_definition import LIMIT, LockedClusterDefinition
from edgelift.bundle.container import CLUSTER_DEFINITION, LOCK_SIGNATURE
from edgelift.bundle.definition import ProfileVersion
from edgelift.bundle.diff import compare_locks
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.rebuild import first_difference
from edgelift.bundle.stream import BundleStream, reassemble_bundle
from edgelift.bundle.verify import verify_bundle, verify_structure
from edgelift.bundle.writer import assemble_bundle
from edgelift.delivery.base import Base, leave_out
from edgelift.errors import BundleError, ConfigurationError, IntegrityError, StoreError
from edgelift.store.local import LocalStore
from edgelift.store.sweep import Rules, plan_sweep
from tests.bundle.conftest import Assembled
from tests.bundle.content import MemoryContent, mixed_content, noise
from tests.bundle.crafting import DistantBytes, craft, tar_of_parts
from tests.bundle.independent_reader import read_members
from tests.keys import signing_key

ARCHIVE = gzip.compress(noise(3000), mtime=0)
PROFILES = (ProfileVersion(name="edge-infra", version="1.0.0", uid="1", type="infra", packs=3),)
PINNED = LockedClusterDefinition.of("harbour", ARCHIVE, PROFILES)


def attached(archive: bytes = ARCHIVE) -> tuple[BundleLock, MemoryContent]:
    """The mixed images with a cluster definition."""
    lock, content = mixed_content()
    pinned = LockedClusterDefinition.of("harbour", archive, PROFILES)
    content.add(archive, pinned.descriptor.media_type)
    return lock.model_copy(update={"cluster_definition": pinned}), content


@pytest.fixture
def bundle(tmp_path: Path) -> Assembled:
    """Its bundle, signed."""
    lock, content = attached()
    path, key = tmp_path / "bundle" / "site.tar.zst", signing_key()
    return Assembled(path, lock, content, assemble_bundle(lock, content, path, key=key), key.sign(lock.digest))


def pinned_in(bundle: Assembled) -> LockedClusterDefinition:
    """What its lock pins."""
    assert bundle.lock.cluster_definition is not None
    return bundle.lock.cluster_definition


def test_the_lock_pins_it(bundle: Assembled) -> None:
    """Name, size, digest and profiles; a lock without one has the bytes that it had before there were any."""
    text = bundle.lock.to_json().decode()

    assert BundleLock.from_json(text) == bundle.lock
    assert pinned_in(bundle) == PINNED
    assert "cluster_definition" not in mixed_content()[0].to_json().decode()
    assert bundle.lock.carried_size == mixed_content()[0].carried_size + len(ARCHIVE)


WRONG = {
    "a name that leads out": {"name": "../harbour"},
    "another digest": {"digest": f"sha512:{'0' * 128}"},
    "no content": {"size": 0},
    "too large": {"size": LIMIT + 1},
    "an unknown key": {"note": "x"},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_lock_that_pins_it_wrongly_is_refused(change: dict[str, object]) -> None:
    """A stranger's lock names no path, and nothing that is larger than any cluster definition."""
    lock, _ = attached()
    document = json.loads(lock.to_json())
    document["cluster_definition"] |= change
    with pytest.raises(ConfigurationError, match="cluster_definition"):
        BundleLock.from_json(json.dumps(document))


def test_it_stands_after_the_signature(bundle: Assembled) -> None:
    """The member before the blobs, which a reader made from the documentation alone finds, too."""
    members = read_members(bundle.path.read_bytes())

    assert members[CLUSTER_DEFINITION] == ARCHIVE
    assert list(members)[4:6] == [LOCK_SIGNATURE, CLUSTER_DEFINITION]
    assert all(name.startswith("blobs/") for name in list(members)[6:])


def test_it_is_not_compressed_again(bundle: Assembled) -> None:
    """It is gzip already: its bytes stand in a frame of raw blocks, as they came."""
    assert ARCHIVE in bundle.path.read_bytes()


def test_it_is_read_by_itself(bundle: Assembled) -> None:
    """From the file, and from afar with a few requests that bring little else."""
    source = DistantBytes(bundle.path.read_bytes())
    with BundleReader.open(bundle.path) as near, BundleReader.of(source) as far:
        assert pinned_in(bundle).read_from(near) == pinned_in(bundle).read_from(far) == ARCHIVE

    assert verify_bundle(bundle.path).members == len(bundle.parts)


def test_it_is_verified(bundle: Assembled, tmp_path: Path) -> None:
    """A changed byte in it is found, by who reads all of the bundle and by who reads this alone."""
    damaged = tmp_path / "damaged.tar.zst"
    content = bytearray(bundle.path.read_bytes())
    content[content.index(ARCHIVE) + 1000] ^= 1
    damaged.write_bytes(content)

    with pytest.raises(IntegrityError, match="is damaged"):
        verify_bundle(damaged)
    with BundleReader.open(damaged) as reader, pytest.raises(IntegrityError, match=r"cluster-definition\.tgz"):
        pinned_in(bundle).read_from(reader)


def test_another_one_is_not_taken_for_it(bundle: Assembled, tmp_path: Path) -> None:
    """Whoever puts other content of the same size into the file, with all checksums right, is found out."""
    other = attached(gzip.compress(noise(3000, seed=1), mtime=0))[1]
    assert len(gzip.compress(noise(3000, seed=1), mtime=0)) == len(ARCHIVE)
    parts = [
        replace(part, content=next(iter(set(other.blobs.values()) - set(bundle.content.blobs.values()))))
        if part.name == CLUSTER_DEFINITION
        else part
        for part in bundle.parts
    ]
    with BundleReader.open(bundle.path) as reader:
        spans = list(reader.container.frames())
    crafted = craft(tmp_path, tar_of_parts(parts), spans)
    with BundleReader.open(crafted) as reader:
        verify_structure(reader)
        with pytest.raises(IntegrityError):
            pinned_in(bundle).read_from(reader)
    with pytest.raises(IntegrityError, match=r"cluster-definition.tgz is not what its name says"):
        verify_bundle(crafted)


def test_a_bundle_without_it_is_not_the_one_of_the_lock(bundle: Assembled, tmp_path: Path) -> None:
    """A lock that pins one belongs to a file that has it."""
    without = craft(tmp_path, tar_of_parts(part for part in bundle.parts if part.name != CLUSTER_DEFINITION))
    with pytest.raises(BundleError, match=r"another header where that of edgelift/cluster-definition.tgz should be"):
        BundleReader.open(without)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """No bundle is written without it."""
    lock, content = attached()
    del content.blobs[PINNED.digest]
    with pytest.raises(StoreError, match="needed by the cluster definition harbour"):
        assemble_bundle(lock, content, tmp_path / "site.tar.zst")


def test_the_same_lock_gives_the_same_bytes(bundle: Assembled) -> None:
    """Also assembled from the bundle itself."""
    with BundleReader.open(bundle.path) as reader:
        assert first_difference(reader) is None


def test_it_survives_being_compressed_again(bundle: Assembled, tmp_path: Path) -> None:
    """Of a file without a seek table it is read from front to back, and the bundle comes of it again."""
    squeezed = craft(tmp_path, tar_of_parts(bundle.parts))
    raw = squeezed.read_bytes()
    squeezed.write_bytes(raw[: raw.rindex(bytes.fromhex("5D2A4D18"))])
    with BundleStream.open(squeezed) as stream:
        assert pinned_in(bundle).read_from(stream) == ARCHIVE
    with BundleStream.open(squeezed) as stream:
        reassemble_bundle(stream, tmp_path / "again.tar.zst")

    assert (tmp_path / "again.tar.zst").read_bytes() == bundle.path.read_bytes()


def test_a_delta_has_it_as_a_whole(bundle: Assembled) -> None:
    """What a base has brought is in a registry; a cluster definition is not."""
    delta = leave_out(bundle.lock, Base(bundle.lock, bundle.lock.images))

    assert delta.left_out
    assert delta.cluster_definition == PINNED


def test_a_blob_with_the_same_bytes_is_there_as_well(tmp_path: Path) -> None:
    """Content that an image has, too, stands under both names."""
    lock, content = mixed_content()
    layer = lock.images[0].blobs[1]
    pinned = LockedClusterDefinition.of("harbour", content.blobs[layer.digest], PROFILES)
    lock = lock.model_copy(update={"cluster_definition": pinned})
    path = tmp_path / "site.tar.zst"
    assemble_bundle(lock, content, path)
    verify_bundle(path)
    members = read_members(path.read_bytes())

    assert members[CLUSTER_DEFINITION] == members[f"blobs/sha256/{layer.digest.hex}"]


def test_the_store_keeps_what_a_lock_pins(tmp_path: Path) -> None:
    """It has no name in the store, but goes only when no lock needs it any more."""
    store, (lock, _) = LocalStore(tmp_path / "store"), attached()
    store.write(PINNED.descriptor, ARCHIVE)
    swept = [plan_sweep(store, Rules(grace=0, keep=keep), 2e9) for keep in ((lock,), ())]

    assert [[blob.digest for blob in sweep.blobs] for sweep in swept] == [[], [PINNED.digest]]


def test_a_difference_is_told() -> None:
    """Another one, none before or none after; and nothing where it is the same."""
    lock, _ = attached()
    other, _ = attached(ARCHIVE + b"\0")
    without, _ = mixed_content()
    changes = [compare_locks(*pair).cluster_definition for pair in ((lock, other), (without, lock), (lock, without))]

    assert [(change.before, change.after) for change in changes if change is not None] == [
        (PINNED, other.cluster_definition),
        (None, PINNED),
        (PINNED, None),
    ]
    assert compare_locks(lock, lock).cluster_definition is None
