"""The base of a delta: what counts as proven, what is left out, and what is looked for at the target before a push."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock, LeftOut, LockedImage
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.signed import write_signed
from edgelift.bundle.writer import assemble_bundle
from edgelift.delivery.base import Base, check_output, find_base, leave_out, read_base
from edgelift.delivery.delta import complete_content
from edgelift.delivery.preflight import check_delivery
from edgelift.delivery.receipt import DeliveryReceipt, Proof, Verdict
from edgelift.delivery.target import Target
from edgelift.demo.content import SampleImage, SampleLayer, make_image
from edgelift.errors import BundleError, ConfigurationError, SignatureError
from edgelift.oci.content import RangeReader
from edgelift.oci.credentials import Credentials
from edgelift.oci.push import KnownBlobs, push_content
from edgelift.oci.registry import Registry
from edgelift.oci.transfer import Transfer
from edgelift.store.local import LocalStore
from edgelift.store.runs import RunLocks
from edgelift.transport import TransportSettings
from tests.bundle.parted import make_parted
from tests.images import rename_image
from tests.keys import signing_key
from tests.oci.clocks import Hands
from tests.simulators.registry import RegistrySimulator

KEY = signing_key()
SHARED = SampleLayer("gzip", 50_000, seed="shared")
OLD = make_image("team/app", tag="1", layers=(SHARED,))
NEW = make_image("team/app", tag="2", layers=(SHARED, SampleLayer("gzip", 3_000)))
OTHER = make_image("team/other", layers=(SHARED,))
LAYER = next(blob.digest for blob in OLD.blobs if blob in NEW.blobs)
HOST = "docker.io"


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """An empty registry."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        yield simulator


def lock_of(*images: SampleImage, name: str = "site") -> BundleLock:
    """The lock of `images` from Docker Hub."""
    pinned = [
        LockedImage(
            reference=f"{HOST}/{image.repository}:{image.tag}",
            descriptor=image.root.plain(),
            manifests=tuple(each.plain() for each in image.manifests),
            blobs=tuple(each.plain() for each in image.blobs),
        )
        for image in images
    ]
    asked = tuple(RequestedImage(reference=image.reference) for image in pinned)
    return BundleLock(definition=BundleDefinition(name=name, images=asked), images=tuple(pinned))


def receipt_of(lock: BundleLock, *verdicts: Verdict) -> DeliveryReceipt:
    """What was proved of the images of `lock`, one verdict each."""
    proofs = [
        Proof(reference=image.reference, target="t", verdict=verdict, expected=image.descriptor.digest)
        for image, verdict in zip(lock.images, verdicts, strict=True)
    ]
    return DeliveryReceipt(
        registry="mirror.example",
        bundle=lock.definition.name,
        lock=lock.digest,
        deep=False,
        checked_at="2026-01-02T03:04:05+00:00",
        proofs=tuple(proofs),
    )


def write_bundle(path: Path, lock: BundleLock, *images: SampleImage) -> Path:
    """The bundle of `lock`, with all that `images` hold to choose from."""
    store = LocalStore(path.parent / "store-of-bundles")
    for image in images:
        for each in (*image.blobs, *image.manifests):
            store.write(each, image.contents[each.digest])
    return assemble_bundle(lock, store, path).path


def client(sim: RegistrySimulator) -> Registry:
    """A client that does not wait between attempts."""
    return Registry(sim.host, TransportSettings(), Credentials(), clock=Hands().clock)


def target_of(sim: RegistrySimulator) -> Target:
    """Everything goes below `edge`."""
    return Target.parse(f"{sim.host}/edge")


def deliver(sim: RegistrySimulator, *images: SampleImage) -> None:
    """Put images where a push from Docker Hub would."""
    sim.put_image(*(rename_image(each, f"edge/{HOST}/{each.repository}", each.tag) for each in images))


def delta_of(base: Sequence[SampleImage], *images: SampleImage) -> BundleLock:
    """The lock of `images` on top of `base`."""
    standing = lock_of(*base, name="yesterday")
    return leave_out(lock_of(*images), Base(standing, standing.images))


def changes(sim: RegistrySimulator) -> int:
    """The requests so far that are there to change something."""
    return len([each for each in sim.requests if each.method not in ("GET", "HEAD")])


# What is a base


def test_a_lock_or_a_bundle_is_a_base_as_a_whole(tmp_path: Path) -> None:
    """Both give the same: a lock says what its bundle has brought, whoever has the file."""
    lock, path = lock_of(OLD, OTHER), tmp_path / "site.lock.json"
    path.write_bytes(lock.to_json())
    bundle = write_bundle(tmp_path / "site.tar.zst", lock, OLD, OTHER)

    runs = RunLocks(tmp_path)
    assert read_base(str(path), runs) == read_base(str(bundle), runs) == Base(lock, lock.images)


def test_a_bundle_in_parts_is_a_base_by_its_index(tmp_path: Path) -> None:
    """Its index ends in .json as a lock does, and is none: the lock is read from the parts, as with any other name."""
    parted = make_parted(tmp_path)

    for place in (parted.index_file, parted.part(1), parted.path.parent):
        assert read_base(str(place), RunLocks(tmp_path)) == Base(parted.lock, parted.lock.images)


def test_of_a_receipt_only_what_is_ok_counts(tmp_path: Path) -> None:
    """What differs, is missing or could not be checked may not be there; the lock says what the rest holds."""
    third = make_image("team/third")
    lock = lock_of(OLD, OTHER, third)
    (tmp_path / "site.lock.json").write_bytes(lock.to_json())
    (tmp_path / "r.json").write_bytes(receipt_of(lock, "ok", "not-checkable", "missing").to_json())

    assert read_base(str(tmp_path / "r.json"), RunLocks(tmp_path)).images == lock.images[:1]


def test_the_lock_of_a_receipt_is_found_among_those_of_runs(tmp_path: Path) -> None:
    """Who has built on this machine needs the receipt alone; another lock of that name beside it does not count."""
    lock = lock_of(OLD)
    RunLocks(tmp_path / "store").keep("one", lock_of(OTHER))
    RunLocks(tmp_path / "store").keep("two", lock)
    (tmp_path / "site.lock.json").write_bytes(lock_of(OTHER).to_json())
    (tmp_path / "r.json").write_bytes(receipt_of(lock, "ok").to_json())

    assert read_base(str(tmp_path / "r.json"), RunLocks(tmp_path / "store")).lock == lock


def test_a_receipt_whose_lock_is_not_here_is_refused(tmp_path: Path) -> None:
    """The error names the lock, and where to put it."""
    lock = lock_of(OLD)
    (tmp_path / "r.json").write_bytes(receipt_of(lock, "ok").to_json())

    with pytest.raises(ConfigurationError, match=lock.digest) as caught:
        read_base(str(tmp_path / "r.json"), RunLocks(tmp_path / "store"))
    assert "site.lock.json" in str(caught.value)


DOCUMENTS = {
    "a lock of a later format": ({"format": "edgelift.lock/v2", "definition": {}, "images": []}, "newer edgelift"),
    "a receipt of a later format": ({"format": "edgelift.receipt/v2", "proofs": []}, "is not a delivery receipt"),
    "something else": (["x"], "is not a bundle lock"),
}


@pytest.mark.parametrize(("document", "says"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_base_that_is_not_understood_is_refused(tmp_path: Path, document: object, says: str) -> None:
    """What cannot be read as a whole leaves nothing out."""
    path = tmp_path / "base.json"
    path.write_text(json.dumps(document))

    with pytest.raises(ConfigurationError, match=r"base\.json") as caught:
        read_base(str(path), RunLocks(tmp_path))
    assert says in str(caught.value)


def test_under_a_public_key_a_base_has_to_be_signed(tmp_path: Path) -> None:
    """A lock, that of a bundle, and the one that a receipt leads to."""
    lock = lock_of(OLD)
    places = [tmp_path / "site.lock.json", write_bundle(tmp_path / "site.tar.zst", lock, OLD), tmp_path / "r.json"]
    places[0].write_bytes(lock.to_json())
    places[2].write_bytes(receipt_of(lock, "ok").to_json())
    for place in places:
        with pytest.raises(SignatureError):
            read_base(str(place), RunLocks(tmp_path / "store"), KEY.public_key)
    write_signed(places[0], lock.to_json(), KEY)

    assert read_base(str(places[2]), RunLocks(tmp_path / "store"), KEY.public_key).lock == lock


# What is left out


def test_blobs_of_the_base_are_left_out() -> None:
    """The layer that both have, under the name that brought it; manifests and what is new are carried."""
    lock = delta_of([OLD], NEW)

    assert lock.base is not None
    assert lock.base.left_out == (LeftOut(name=f"{HOST}/team/app", blobs=(LAYER,)),)
    assert lock.base.name == "yesterday"
    assert lock.base.lock == lock_of(OLD, name="yesterday").digest


def test_a_blob_is_named_where_it_is_needed() -> None:
    """Of several names that have brought it the one counts whose new image needs it: there nothing is mounted."""
    other_first = make_image("team/a-first", layers=(SHARED,))
    lock = delta_of([other_first, OLD], NEW)

    assert lock.base is not None
    assert [each.name for each in lock.base.left_out] == [f"{HOST}/team/app"]


def test_where_nothing_is_common_the_lock_stays_as_it_is() -> None:
    """A delta that leaves out nothing is none."""
    assert delta_of([make_image("team/strange")], NEW) == lock_of(NEW)


def test_a_delta_is_a_base_like_any_other() -> None:
    """Its lock names its images as a whole: what it left out is at the site as well as what it carried."""
    second = delta_of([OLD], NEW)
    third = make_image("team/app", tag="3", layers=(SHARED, SampleLayer("gzip", 2_000)))
    wanted = lock_of(third)

    found = leave_out(wanted, Base(second, second.images))
    assert found.left_out == {LAYER}
    assert found.base is not None
    assert found.base.lock == second.digest


def test_a_delta_does_not_replace_its_base(tmp_path: Path) -> None:
    """Whole or in parts, the base that stands where the delta is to go stays; another bundle may be replaced."""
    parted = make_parted(tmp_path)
    delta = leave_out(
        parted.lock.model_copy(update={"images": parted.lock.images[:1]}),
        read_base(str(parted.path.parent), RunLocks(tmp_path)),
    )
    other = write_bundle(tmp_path / "other.tar.zst", lock_of(OLD), OLD)

    for path in (parted.path, tmp_path / "one-piece" / "site.tar.zst"):
        with pytest.raises(ConfigurationError, match="is the base of this delta") as caught:
            check_output(delta, path)
        assert "--name" in str(caught.value)
    for path in (other, tmp_path / "nothing.tar.zst"):
        check_output(delta, path)
    check_output(parted.lock, parted.path)


# Whether it is there


def test_a_base_that_is_there_is_found(sim: RegistrySimulator) -> None:
    """Each blob in a repository of the target, asked for without changing anything."""
    deliver(sim, OLD)

    found = find_base(delta_of([OLD], NEW), target_of(sim), client(sim))

    assert (found.error, found.homes) == (None, {LAYER: f"edge/{HOST}/team/app"})
    assert changes(sim) == 0


def test_a_base_that_is_not_there_stops_everything(sim: RegistrySimulator) -> None:
    """One error names it, what is missing and the next step; nothing that changes anything was sent."""
    lock = delta_of([OLD], NEW, OTHER)

    preflight = check_delivery(lock, target_of(sim), client(sim), "fail")

    (error,) = preflight.errors
    assert lock.base is not None
    assert all(part in error for part in ("yesterday", lock.base.lock, LAYER, "push yesterday to"))
    assert changes(sim) == 0


def test_a_blob_of_another_size_is_not_there(sim: RegistrySimulator) -> None:
    """A file that the registry has cut is no base."""
    deliver(sim, OLD)
    sim.reply("HEAD", f"/blobs/{LAYER}", headers={"Content-Length": "5"}, times=None)

    assert find_base(delta_of([OLD], NEW), target_of(sim), client(sim)).error is not None


def test_a_base_that_may_not_be_looked_for_is_not_taken_for_granted(sim: RegistrySimulator) -> None:
    """The refusal of the registry is told."""
    deliver(sim, OLD)
    sim.deny("/blobs/", "HEAD")

    found = find_base(delta_of([OLD], NEW), target_of(sim), client(sim))

    assert found.error is not None
    assert "403" in found.error.message or "refuse" in found.error.message


# The push


def push(sim: RegistrySimulator, bundle: Path) -> Transfer:
    """Push all images of `bundle`, as the flow does."""
    registry, target, known = client(sim), target_of(sim), KnownBlobs()
    with BundleReader.open(bundle) as reader:
        preflight = check_delivery(reader.lock, target, registry, "fail")
        assert preflight.errors == ()
        for digest, home in preflight.homes.items():
            known.add(digest, home)
        content = complete_content(reader, registry, known)
        return sum(
            (
                push_content(content, each.image.content, registry, name, known=known)
                for each in preflight.deliveries
                for name in each.names
            ),
            Transfer(),
        )


def test_a_delta_arrives_on_top_of_its_base(sim: RegistrySimulator, tmp_path: Path) -> None:
    """What it leaves out is there already, or mounted from where the base has brought it; only new blobs are sent."""
    deliver(sim, OLD)
    bundle = write_bundle(tmp_path / "delta.tar.zst", delta_of([OLD], NEW, OTHER), NEW, OTHER)

    transfer = push(sim, bundle)

    new = {blob.digest for blob in (*NEW.blobs, *OTHER.blobs)} - {LAYER}
    assert (transfer.moved, transfer.present, transfer.mounted) == (len(new), 1, 1)


def test_where_nothing_is_mounted_it_is_read_at_the_target(sim: RegistrySimulator, tmp_path: Path) -> None:
    """An image in a repository that the base has not: a registry that does not mount gets back what it holds."""
    deliver(sim, OLD)
    bundle = write_bundle(tmp_path / "delta.tar.zst", delta_of([OLD], OTHER), OTHER)
    sim.fail("POST", "mount=", status=403, times=None)

    transfer = push(sim, bundle)

    assert (transfer.mounted, transfer.moved) == (0, len(OTHER.blobs))
    found = sim.content.resolve(f"edge/{HOST}/team/other", OTHER.tag)
    assert found is not None
    assert found[0].digest == OTHER.root.digest


def test_what_a_repository_turns_out_to_miss_comes_from_the_base(sim: RegistrySimulator, tmp_path: Path) -> None:
    """A repository that says it has a blob, and refuses the manifest then, does not hide where the base has put it."""
    deliver(sim, OLD)
    bundle = write_bundle(tmp_path / "delta.tar.zst", delta_of([OLD], OTHER), OTHER)
    layer, there = next(blob for blob in OTHER.blobs if blob.digest == LAYER), f"edge/{HOST}/team/other"
    sim.fail("POST", "mount=", status=403, times=None)
    sim.reply("HEAD", f"{there}/blobs/{LAYER}", headers={"Content-Length": str(layer.size)}, times=None)

    push(sim, bundle)

    served = b"".join(client(sim).read_blob(there, layer).chunks)
    assert served == OTHER.contents[LAYER]
    assert sim.count("PUT", f"{there}/manifests/", 400) == 1


def test_what_the_target_loses_on_the_way_is_told(sim: RegistrySimulator, tmp_path: Path) -> None:
    """The delta cannot bring it back: the error names the base."""
    deliver(sim, OLD)
    bundle = write_bundle(tmp_path / "delta.tar.zst", delta_of([OLD], NEW), NEW)
    known, registry = KnownBlobs(), client(sim)
    known.add(LAYER, f"edge/{HOST}/team/lost")
    with BundleReader.open(bundle) as reader:
        content = complete_content(reader, registry, known)
        descriptor = next(blob for blob in NEW.blobs if blob.digest == LAYER)
        with pytest.raises(BundleError, match="has lost it") as caught:
            list(content.read(descriptor))

    assert "yesterday" in str(caught.value)


def test_a_part_of_what_is_left_out_is_read_at_the_target(sim: RegistrySimulator, tmp_path: Path) -> None:
    """As a part of what the delta carries is read from it: chunks of uploads begin anywhere."""
    deliver(sim, OLD)
    bundle = write_bundle(tmp_path / "delta.tar.zst", delta_of([OLD], NEW), NEW)
    known, registry = KnownBlobs(), client(sim)
    known.add(LAYER, f"edge/{HOST}/team/app")
    with BundleReader.open(bundle) as reader:
        content = complete_content(reader, registry, known)
        assert isinstance(content, RangeReader)
        for blob in NEW.blobs:
            part = b"".join(content.read_range(blob, 10, blob.size - 7))
            assert part == NEW.contents[blob.digest][10 : blob.size - 7]


def test_a_whole_bundle_is_pushed_as_it_is(sim: RegistrySimulator, tmp_path: Path) -> None:
    """Without a base nothing stands between a bundle and its push."""
    bundle = write_bundle(tmp_path / "whole.tar.zst", lock_of(NEW), NEW)

    with BundleReader.open(bundle) as reader:
        assert complete_content(reader, client(sim), KnownBlobs()) is reader
