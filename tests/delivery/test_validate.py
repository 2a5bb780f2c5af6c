"""Validation: what a registry really serves against a lock; nothing is taken for granted, nothing is changed."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.delivery.receipt import DeliveryReceipt, Proof, Verdict
from edgelift.delivery.target import Target
from edgelift.delivery.validate import validate_lock
from edgelift.demo.content import SampleImage, SampleLayer, make_image
from edgelift.errors import IncompleteError, MalformedReferenceError
from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.registry import Registry
from edgelift.transport import TransportSettings
from tests.images import load_image, rename_image
from tests.oci.clocks import Hands
from tests.real_parts import RunningRegistry
from tests.simulators.registry import RegistrySimulator

LAYERS = (SampleLayer("tar", 300_000), SampleLayer("empty"), SampleLayer("gzip"))
APP = make_image("app", architectures=("amd64", "arm64"), layers=LAYERS)
OTHER = make_image("app", seed="another")
FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
HOME = "edge/quay.io/app"  # where quay.io/app goes
LARGE = max(APP.blobs, key=lambda blob: blob.size)
EMPTY = next(blob for blob in APP.blobs if blob.size == 0)


@dataclass
class Site:
    """A registry that holds the image, and the lock that says so."""

    root: Path
    sim: RegistrySimulator

    def blob_file(self, blob: Descriptor) -> Path:
        """The file of `blob` in the registry's folder."""
        return self.root / "blobs" / blob.digest.algorithm / blob.digest.hex

    def validate(self, *references: str, deep: bool = False, base: str = "edge") -> DeliveryReceipt:
        """The receipt for the image under these references."""
        return validate(self.sim.host, lock_of(*(references or ("quay.io/app:1.0",))), deep=deep, base=base)

    def prove(self, *, deep: bool = False) -> tuple[Verdict, str]:
        """Verdict and reason for the one image."""
        proof = self.validate(deep=deep).proofs[0]
        return proof.verdict, proof.reason


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A registry with the image where it belongs."""
    with RegistrySimulator(tmp_path / "registry") as sim:
        sim.put_image(rename_image(APP, HOME, "1.0"))
        yield Site(tmp_path / "registry", sim)


def lock_of(*references: str, image: SampleImage = APP) -> BundleLock:
    """A lock of `image` under these references."""
    images = tuple(
        LockedImage(reference=each, descriptor=image.root, manifests=image.manifests, blobs=image.blobs)
        for each in references
    )
    asked = tuple(RequestedImage(reference=each) for each in references)
    return BundleLock(definition=BundleDefinition(name="site", images=asked), images=images)


def validate(
    host: str,
    lock: BundleLock,
    *,
    deep: bool = False,
    base: str = "edge",
    selector: str | None = None,
    on_proof: Callable[[Proof], None] | None = None,
) -> DeliveryReceipt:
    """The receipt of a client that does not wait between attempts."""
    registry = Registry(host, TransportSettings(), Credentials(), clock=Hands().clock)
    target = Target.parse(f"{host}/{base}" if base else host)
    return validate_lock(lock, target, registry, deep=deep, selector=selector, on_proof=on_proof)


# Good


@pytest.mark.parametrize("deep", [False, True], ids=["asking", "reading back"])
def test_what_is_all_there_is_ok(deep: bool, site: Site) -> None:
    """Every manifest and blob, the empty one too, is asked for; read back, every byte is counted."""
    receipt = site.validate(deep=deep)
    proof = receipt.proofs[0]

    assert (proof.verdict, proof.reason, proof.found) == ("ok", "", APP.root.digest)
    assert proof.checked == 1 + len(APP.manifests) + len(APP.blobs)
    everything = sum(each.size for each in (*APP.manifests, *APP.blobs))
    assert proof.bytes_read == (everything if deep else 0)
    assert (receipt.is_whole, receipt.extras.not_checkable) == (True, ())


def test_only_what_is_selected_is_looked_at(site: Site) -> None:
    """The receipt says that it is of a selection, and of which lock; what else that names is no extra at the target."""
    site.sim.put_image(rename_image(OTHER, HOME, "2.0"), rename_image(OTHER, "edge/quay.io/other", "1.0"))
    asked = ("quay.io/app:1.0", "quay.io/app:2.0", "quay.io/other:1.0", "quay.io/missing:1.0")
    lock = lock_of(*asked)
    said = (lock.definition.images[0].model_copy(update={"annotations": {"tier": "web"}}), *lock.definition.images[1:])
    lock = lock.model_copy(update={"definition": lock.definition.model_copy(update={"images": said})})
    receipt = validate(site.sim.host, lock, selector=" tier=web")

    assert [(proof.reference, proof.verdict) for proof in receipt.proofs] == [("quay.io/app:1.0", "ok")]
    assert (receipt.selection, receipt.lock, receipt.is_whole) == ("tier=web", lock.digest, True)
    assert (receipt.extras.tags, receipt.extras.repositories) == ((), ())


def test_a_real_registry_is_proved(docker_registry: RunningRegistry) -> None:
    """Against Distribution, every blob read back."""
    load_image(docker_registry.host, HOME, "1.0", APP)
    receipt = validate(docker_registry.host, lock_of("quay.io/app:1.0"), deep=True)

    assert (receipt.counts["ok"], receipt.is_whole, receipt.extras.not_checkable) == (1, True, ())


def test_validation_changes_nothing(site: Site) -> None:
    """Whatever it finds, it only reads."""
    site.validate("quay.io/app:1.0", "quay.io/app:2.0", deep=True)

    assert {each.method for each in site.sim.requests} == {"GET", "HEAD"}


def test_an_image_by_digest_alone_is_found_by_its_keep_tag(site: Site) -> None:
    """A reference without a tag has been given one that its digest names."""
    site.sim.put_image(rename_image(APP, HOME, f"edgelift-{APP.root.digest.hex[:16]}"))
    receipt = site.validate(f"quay.io/app@{APP.root.digest}")

    assert receipt.is_whole
    assert receipt.proofs[0].target.endswith(f"{HOME}:edgelift-{APP.root.digest.hex[:16]}")


def test_a_layer_left_to_the_hosts_is_told(site: Site) -> None:
    """What the lock names as coming from elsewhere is no reason to fail, but the receipt says so."""
    layer = Descriptor(media_type=FOREIGN, digest=Digest.of(b"windows"), size=7)
    document = json.loads(OTHER.contents[OTHER.root.digest])
    document["layers"].append(layer.model_dump(mode="json", by_alias=True, exclude_none=True))
    raw = json.dumps(document).encode()
    root = OTHER.root.model_copy(update={"digest": Digest.of(raw), "size": len(raw)})
    contents = {**OTHER.contents, root.digest: raw}
    windows = replace(OTHER, repository=HOME, tag="w", root=root, manifests=(root,), contents=contents)
    site.sim.put_image(windows)
    lock = lock_of("quay.io/app:w", image=windows)
    lock = lock.model_copy(update={"images": (lock.images[0].model_copy(update={"external": (layer,)}),)})
    proof = validate(site.sim.host, lock).proofs[0]

    assert proof.verdict == "ok"
    assert proof.reason == "external layers, which may not be distributed, are left to the hosts: 1"


# Missing


def test_a_tag_that_is_not_there_is_missing(site: Site) -> None:
    """The registry's own words are the reason."""
    proof = site.validate("quay.io/app:2.0").proofs[0]

    assert (proof.verdict, proof.found) == ("missing", None)
    assert "404" in proof.reason


@pytest.mark.parametrize("deep", [False, True], ids=["asking", "reading back"])
@pytest.mark.parametrize("blob", [LARGE, EMPTY], ids=["the largest", "the empty one"])
def test_a_missing_blob_is_found_under_a_standing_manifest(blob: Descriptor, deep: bool, site: Site) -> None:
    """A registry that serves the manifest, and has lost a layer, is not whole."""
    site.sim.fail(None, f"{HOME}/blobs/{blob.digest}", status=404, code="BLOB_UNKNOWN", times=None)

    assert site.prove(deep=deep) == ("missing", f"blob {blob.digest} is missing")


@pytest.mark.parametrize("deep", [False, True], ids=["asking", "reading back"])
def test_a_missing_manifest_of_a_platform_is_found(deep: bool, site: Site) -> None:
    """An index alone is not the image."""
    child = APP.manifests[0]
    site.sim.fail(None, f"{HOME}/manifests/{child.digest}", status=404, code="MANIFEST_UNKNOWN", times=None)
    verdict, reason = site.prove(deep=deep)

    assert verdict == "missing"
    assert child.digest in reason


def test_all_that_is_missing_is_counted(site: Site) -> None:
    """One reason is shown, the others are counted."""
    site.sim.fail("HEAD", "/blobs/", status=404, code="BLOB_UNKNOWN", times=None)
    verdict, reason = site.prove()

    assert (verdict, reason.partition(" is missing ")[2]) == ("missing", f"(and {len(APP.blobs) - 1} more)")


# Different


def test_another_image_under_the_tag_differs(site: Site) -> None:
    """Both digests are in the proof."""
    site.sim.put_image(rename_image(OTHER, HOME, "1.0"))
    proof = site.validate().proofs[0]

    assert (proof.verdict, proof.expected, proof.found) == ("differs", APP.root.digest, OTHER.root.digest)
    assert proof.reason == "the tag stands with another digest"


def test_a_blob_of_another_size_differs(site: Site) -> None:
    """A short blob is noticed without reading it."""
    site.blob_file(LARGE).write_bytes(b"short")

    assert site.prove() == ("differs", f"blob {LARGE.digest} has 5 bytes, not {LARGE.size:,}")


def test_wrong_bytes_are_found_by_reading_them(site: Site) -> None:
    """A blob of the right size with one wrong bit passes when asked for, and not when read back."""
    content = bytearray(site.blob_file(LARGE).read_bytes())
    content[1000] ^= 1
    site.blob_file(LARGE).write_bytes(content)

    assert site.prove() == ("ok", "")
    assert site.prove(deep=True) == ("differs", f"blob {LARGE.digest} holds wrong bytes")


def test_a_manifest_with_wrong_bytes_differs(site: Site) -> None:
    """A manifest is hashed, not believed."""
    site.sim.flip(f"/manifests/{APP.manifests[0].digest}", at_byte=3, times=None)
    verdict, reason = site.prove(deep=True)

    assert verdict == "differs"
    assert APP.manifests[0].digest in reason


def test_the_gravest_finding_is_the_verdict(site: Site) -> None:
    """What is missing counts more than what differs, and what differs more than what could not be asked for."""
    by_size = sorted(APP.blobs, key=lambda blob: blob.size)
    site.blob_file(by_size[-1]).write_bytes(b"short")
    site.sim.fail("HEAD", by_size[-2].digest, status=404, code="BLOB_UNKNOWN", times=None)
    verdict, reason = site.prove()

    assert (verdict, reason) == ("missing", f"blob {by_size[-2].digest} is missing (and 1 more)")


# Not checkable


DENIALS = {
    "everything": "",
    "the tag": "/manifests/1.0",
    "a blob": f"/blobs/{LARGE.digest}",
}


@pytest.mark.parametrize("path", DENIALS.values(), ids=DENIALS)
def test_what_is_denied_is_not_checkable(path: str, site: Site) -> None:
    """What may not be looked at is not known: it is neither missing nor good."""
    site.sim.deny(path)
    verdict, reason = site.prove()

    assert verdict == "not-checkable"
    assert "403" in reason


def test_a_registry_that_fails_is_asked_no_further(site: Site) -> None:
    """A blob that cannot be asked for ends the questions for that image: the others would wait as long."""
    site.sim.fail("HEAD", "/blobs/", status=500, times=None)
    verdict, reason = site.prove()

    assert (verdict, "500" in reason) == ("not-checkable", True)
    assert len({each.path for each in site.sim.requests if "/blobs/" in each.path}) == 1


def test_a_registry_that_is_gone_is_not_checkable() -> None:
    """Every reference of an unreachable registry is reported, not only the first; nothing is raised."""
    receipt = validate("127.0.0.1:1", lock_of("quay.io/app:1.0", "quay.io/app:2.0"))

    assert receipt.counts == {"ok": 0, "differs": 0, "missing": 0, "not-checkable": 2}
    assert all("connection refused" in proof.reason for proof in receipt.proofs)


def test_a_cut_while_reading_back_is_continued(site: Site) -> None:
    """A reset in the middle of a blob is no verdict: the reading goes on where it stopped."""
    site.sim.cut("GET", LARGE.digest, after_bytes=100_000, times=2)

    assert site.prove(deep=True) == ("ok", "")
    ranges = [
        each.headers.get("range") for each in site.sim.requests if each.method == "GET" and LARGE.digest in each.path
    ]
    assert ranges == [None, "bytes=100000-", "bytes=200000-"]


def test_a_reference_without_a_name_at_the_target_is_an_error(site: Site) -> None:
    """What cannot have been pushed cannot be validated: the settings are wrong, and that is said."""
    with pytest.raises(MalformedReferenceError, match="mapping rule"):
        site.validate("quay.io/" + "/".join(["part" * 10] * 5) + ":1", base="/".join(["base" * 10] * 2))


# Several


def test_each_reference_has_its_own_verdict(site: Site) -> None:
    """One proof for each, in the order of the lock, told as they come."""
    site.sim.put_image(rename_image(OTHER, HOME, "old"))
    told: list[Proof] = []
    lock = lock_of("quay.io/app:1.0", "quay.io/app:old", "quay.io/none:1.0")
    receipt = validate(site.sim.host, lock, on_proof=told.append)

    assert [(each.reference, each.verdict) for each in receipt.proofs] == [
        ("quay.io/app:1.0", "ok"),
        ("quay.io/app:old", "differs"),
        ("quay.io/none:1.0", "missing"),
    ]
    assert tuple(told) == receipt.proofs
    assert receipt.counts == {"ok": 1, "differs": 1, "missing": 1, "not-checkable": 0}


def test_a_receipt_that_is_not_whole_names_what_is_not(site: Site) -> None:
    """The error names every reference that is not proved, with its verdict."""
    with pytest.raises(IncompleteError) as caught:
        site.validate("quay.io/app:1.0", "quay.io/none:1.0").raise_unless_whole()

    assert "1 of 2 references are not proved" in caught.value.message
    assert [failure.partition(",")[0] for failure in caught.value.failures] == [
        f"{site.sim.host}/edge/quay.io/none:1.0: missing"
    ]


# Extras


def test_what_is_there_besides_is_listed(site: Site) -> None:
    """Tags in our repositories, and repositories below the base; what lies outside is nobody's business."""
    site.sim.put_image(rename_image(OTHER, HOME, "old"), rename_image(OTHER, "edge/stray", "1.0"))
    site.sim.put_image(rename_image(OTHER, "another-team/app", "1.0"))
    receipt = site.validate()

    assert (receipt.extras.tags, receipt.extras.repositories) == ((f"{HOME}:old",), ("edge/stray",))
    assert receipt.is_whole


def test_without_a_base_every_repository_is_listed(site: Site) -> None:
    """Where the target is the whole registry, so are the extras."""
    site.sim.put_image(rename_image(APP, "quay.io/app", "1.0"))
    receipt = site.validate(base="")

    assert receipt.extras.repositories == (HOME,)


LISTS = {
    "the catalog": ("/v2/_catalog", "repositories: "),
    "the tags": ("/tags/list", f"tags of {HOME}: "),
}


@pytest.mark.parametrize(("path", "said"), LISTS.values(), ids=LISTS)
def test_a_denied_list_is_reported_and_not_judged(path: str, said: str, site: Site) -> None:
    """Only references decide: a registry that lists nothing can be whole all the same."""
    site.sim.deny(path)
    receipt = site.validate()

    assert len(receipt.extras.not_checkable) == 1
    assert receipt.extras.not_checkable[0].startswith(said)
    assert receipt.is_whole


# The receipt


def test_the_receipt_is_json_for_scripts(site: Site) -> None:
    """Counts and the verdict on the whole are in the document; so is what was validated, and how."""
    lock = lock_of("quay.io/app:1.0", "quay.io/none:1.0")
    document = json.loads(validate(site.sim.host, lock, deep=True).to_json())

    assert document["whole"] is False
    assert document["counts"] == {"ok": 1, "differs": 0, "missing": 1, "not-checkable": 0}
    assert (document["registry"], document["bundle"]) == (f"{site.sim.host}/edge", "site")
    assert (document["lock"], document["deep"]) == (lock.digest, True)
    assert document["proofs"][0]["verdict"] == "ok"
    assert "found" not in document["proofs"][1]
    assert document["checked_at"].endswith("+00:00")
