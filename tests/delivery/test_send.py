"""Signatures and SBOMs arrive with their image, are found at any registry, and are missed where they are not."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from edgelift.bundle.reader import BundleReader
from edgelift.bundle.writer import assemble_bundle
from edgelift.delivery.preflight import check_delivery
from edgelift.demo.content import make_image
from edgelift.errors import RefusedError, RegistryError
from edgelift.oci.attach import attach
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_INDEX, parse_manifest
from edgelift.oci.referrer_tags import fallback_tag
from edgelift.oci.registry import Registry
from tests.cosign import REPOSITORY, attach_sbom, make_key, sign, sign_as_referrer, untag
from tests.delivery.ways import Way, registries_without_waiting
from tests.real_parts import RunningRegistry
from tests.simulators.profiles.distribution import Distribution28
from tests.simulators.registry import RegistrySimulator

KEY = make_key()
APP = make_image(REPOSITORY, architectures=("amd64", "arm64"))
SIGNATURE = sign(APP.root, KEY)
SBOM = untag(attach_sbom(APP.manifests[0]))
SBOM_SIGNATURE = sign(SBOM.root, KEY)
BUNDLE = untag(sign_as_referrer(APP.root, KEY))
HOME = f"edge/quay.io/{REPOSITORY}"


@pytest.fixture
def way(tmp_path: Path) -> Iterator[Way]:
    """An index that is signed in both ways, with an SBOM on one architecture, which is signed as well."""
    with RegistrySimulator(tmp_path / "source") as source, registries_without_waiting() as registries:
        source.put_image(APP, SIGNATURE, SBOM, SBOM_SIGNATURE, BUNDLE)
        yield Way.to(f"{source.host}/{REPOSITORY}:1.0", registries, tmp_path / "store")


@pytest.fixture(params=["with lists", "without lists", "docker-registry"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty registry: one that lists referrers, one that is like Distribution 2.8, and the real one."""
    if request.param == "docker-registry":
        make: Callable[[], RunningRegistry] = request.getfixturevalue("docker_registries")
        yield make().host
        return
    profile = Distribution28() if request.param == "without lists" else None
    with RegistrySimulator(tmp_path / "target", profile=profile) as sim:
        yield sim.host


def listed(registry: Registry, subject: Digest) -> set[Digest]:
    """What is found at the target from `subject`."""
    return {each.digest for each in registry.list_referrers(HOME, subject) or ()}


# They arrive, and are found


@pytest.mark.parametrize("means", ["store", "bundle", "direct"])
def test_signatures_and_referrers_arrive_and_are_found(means: str, host: str, way: Way, tmp_path: Path) -> None:
    """At a registry with the referrers API and at one without, from a store, from a bundle, and copied directly."""
    bundle = tmp_path / "site.tar.zst"
    if means == "bundle":
        assemble_bundle(way.lock, way.store, bundle)
        with BundleReader.open(bundle) as reader:
            way.send(host, reader)
    else:
        way.send(host, direct=means == "direct")

    registry, proof = way.registries.registry(host), way.prove(host)
    assert registry.read_manifest(HOME, SIGNATURE.tag).descriptor.digest == SIGNATURE.root.digest
    assert registry.read_manifest(HOME, SBOM_SIGNATURE.tag).descriptor.digest == SBOM_SIGNATURE.root.digest
    assert listed(registry, APP.root.digest) == {BUNDLE.root.digest}
    assert listed(registry, APP.manifests[0].digest) == {SBOM.root.digest}
    assert (proof.verdict, proof.signed, proof.carried, proof.arrived) == ("ok", True, 4, 4)


def test_a_second_push_changes_nothing(host: str, way: Way) -> None:
    """The lists at the target stay as they are, each entry in them once."""
    way.send(host)
    with registries_without_waiting() as registries:  # they know nothing of what was pushed before
        again = replace(way, registries=registries)
        again.send(host)
        raw = [registries.registry(host).describe(HOME, fallback_tag(each.digest)) for each in APP.manifests]

        assert [len(listed(registries.registry(host), each.digest)) for each in APP.manifests] == [1, 0, 1]
        assert again.prove(host).arrived == 4
    assert raw.count(None) in (1, 3)  # none of them where the registry has lists of its own


def test_a_registry_with_lists_gets_no_tag_of_a_list(tmp_path: Path, way: Way) -> None:
    """It says when it takes a manifest that it has noted what that refers to; nothing more is asked."""
    with RegistrySimulator(tmp_path / "target") as sim:
        way.send(sim.host)

        assert set(sim.content.tags(HOME) or ()) == {"1.0", SIGNATURE.tag, SBOM_SIGNATURE.tag}
        assert sim.count("GET", "/referrers/") == 0


def test_the_receipt_does_not_call_them_extras(host: str, way: Way) -> None:
    """The tags under which they are found belong to the delivery."""
    way.send(host)

    assert way.validate(host).extras.tags == ()


def test_they_are_sent_under_every_name(tmp_path: Path) -> None:
    """An image that gets two names in two repositories is found signed in both."""
    official = make_image("library/nginx")
    signature = sign(official.root, KEY, official.repository)
    with (
        RegistrySimulator(tmp_path / "source") as source,
        RegistrySimulator(tmp_path / "target") as sim,
        registries_without_waiting() as registries,
    ):
        source.put_image(official, signature)
        way = Way.to(f"{source.host}/{official.repository}:1.0", registries, tmp_path / "store")
        hub = way.lock.images[0].model_copy(update={"reference": f"docker.io/{official.repository}:1.0"})
        replace(way, lock=way.lock.model_copy(update={"images": (hub,)})).send(sim.host, aliases=True)

        for repository in ("edge/docker.io/library/nginx", "edge/docker.io/nginx"):
            assert set(sim.content.tags(repository) or ()) == {"1.0", signature.tag}


def test_a_list_that_stands_keeps_what_is_in_it(tmp_path: Path, way: Way) -> None:
    """What the site itself has attached there stays, and so does whatever else the index says."""
    with RegistrySimulator(tmp_path / "target", profile=Distribution28()) as sim:
        registry = way.registries.registry(sim.host)
        way.send(sim.host)
        tag = fallback_tag(APP.root.digest)
        own = {"mediaType": OCI_INDEX, "digest": str(APP.root.digest), "size": APP.root.size}
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [own], "annotations": {"site": "7"}}
        registry.write_manifest(HOME, tag, json.dumps(index).encode(), OCI_INDEX)
        attach(registry, HOME, APP.root.digest, BUNDLE.root.digest)
        document = json.loads(registry.read_manifest(HOME, tag).raw)

    assert [entry["digest"] for entry in document["manifests"]] == [APP.root.digest, BUNDLE.root.digest]
    assert document["annotations"] == {"site": "7"}
    assert document["manifests"][1]["artifactType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"


def test_a_list_of_what_is_gone_is_mended(tmp_path: Path, way: Way) -> None:
    """No registry takes an index again that lists what was deleted since; the rest and the new entry stay."""
    with RegistrySimulator(tmp_path / "target", profile=Distribution28()) as sim:
        way.send(sim.host)
        registry, subject = way.registries.registry(sim.host), APP.root.digest
        document = json.loads(registry.read_manifest(HOME, fallback_tag(subject)).raw)
        document["manifests"].insert(0, {"mediaType": OCI_INDEX, "digest": Digest.of(b"gone"), "size": 4})
        stale = parse_manifest(json.dumps(document).encode(), OCI_INDEX)
        one = untag(attach_sbom(APP.root, text="one more"))
        sim.put_image(replace(one, repository=HOME))
        sim.content.write_manifest(HOME, stale, fallback_tag(subject))
        attach(registry, HOME, subject, one.root.digest)

        assert listed(registry, subject) == {BUNDLE.root.digest, one.root.digest}


def test_a_tag_that_is_no_list_is_left_alone(tmp_path: Path, way: Way) -> None:
    """Some name images like that: it is not replaced by a list, and the push says what to do."""
    with RegistrySimulator(tmp_path / "target", profile=Distribution28()) as sim:
        way.send(sim.host)
        registry = way.registries.registry(sim.host)
        tag = fallback_tag(APP.manifests[1].digest)
        sim.content.point_tag(HOME, tag, APP.manifests[0].digest)

        with pytest.raises(RefusedError, match="is no list of referrers"):
            attach(registry, HOME, APP.manifests[1].digest, BUNDLE.root.digest)


def test_two_pushes_to_one_list_lose_nothing(tmp_path: Path, way: Way) -> None:
    """What refers to one image may be sent by several tasks at once: in the end all of it is on the list."""
    several = [untag(attach_sbom(APP.root, text=str(number))) for number in range(6)]
    with RegistrySimulator(tmp_path / "target", profile=Distribution28()) as sim:
        way.send(sim.host)
        registry = way.registries.registry(sim.host)
        sim.put_image(*(replace(each, repository=HOME) for each in several))
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda each: attach(registry, HOME, APP.root.digest, each.root.digest), several))

        assert listed(registry, APP.root.digest) == {each.root.digest for each in (*several, BUNDLE)}


def test_an_entry_that_another_client_overwrites_is_put_back(tmp_path: Path, way: Way) -> None:
    """The list is read again after it was written: another writer at the same moment may have undone it."""
    with RegistrySimulator(tmp_path / "target", profile=Distribution28()) as sim:
        way.send(sim.host)
        registry = way.registries.registry(sim.host)
        one = untag(attach_sbom(APP.root, text="one more"))
        sim.put_image(replace(one, repository=HOME))
        tag = fallback_tag(APP.root.digest)
        sim.reply("PUT", f"/manifests/{tag}$", status=201)  # taken, and overwritten before anybody looks
        attach(registry, HOME, APP.root.digest, one.root.digest)

        assert listed(registry, APP.root.digest) == {BUNDLE.root.digest, one.root.digest}
        assert sim.count("PUT", f"/manifests/{tag}$") == 3


def test_a_list_that_never_keeps_an_entry_is_an_error(tmp_path: Path, way: Way) -> None:
    """After a few attempts it says so, and that it may be run again."""
    with RegistrySimulator(tmp_path / "target", profile=Distribution28()) as sim:
        sim.reply("PUT", "/manifests/sha256-[0-9a-f]*$", status=201, times=None)

        with pytest.raises(RegistryError, match="loses the referrers") as failure:
            way.send(sim.host)
    assert failure.value.retryable


# They are missed


@pytest.mark.parametrize(
    ("lose", "reason"),
    [
        (SIGNATURE.tag, f"the signature {SIGNATURE.tag}: "),
        (SBOM_SIGNATURE.tag, f"the signature {SBOM_SIGNATURE.tag}: "),
        (fallback_tag(APP.root.digest), f"the signature {BUNDLE.root.digest}: "),
        (fallback_tag(APP.manifests[0].digest), f"the referrer {SBOM.root.digest}: "),
    ],
    ids=["signature", "signature of the SBOM", "signature in a bundle", "SBOM"],
)
def test_one_that_is_not_found_makes_the_image_incomplete(lose: str, reason: str, tmp_path: Path, way: Way) -> None:
    """Its bytes may all be there: who looks for it does not find it, and the receipt says which."""
    with RegistrySimulator(tmp_path / "target", profile=Distribution28()) as sim:
        way.send(sim.host)
        sim.content.delete_tag(HOME, lose)
        proof, receipt = way.prove(sim.host), way.validate(sim.host)

        assert (proof.verdict, proof.carried, proof.arrived) == ("missing", 4, 3)
        assert proof.reason.startswith(reason)
        assert (receipt.is_whole, receipt.broken) == (False, {proof.reference})
        way.send(sim.host, force=True)
        assert way.prove(sim.host).arrived == 4


def test_a_signature_that_stands_for_another_is_told(tmp_path: Path, way: Way) -> None:
    """What stands under its tag is not what was carried."""
    with RegistrySimulator(tmp_path / "target") as sim:
        way.send(sim.host)
        sim.content.point_tag(HOME, SIGNATURE.tag, SBOM_SIGNATURE.root.digest)
        proof = way.prove(sim.host)

    assert (proof.verdict, proof.arrived) == ("differs", 3)
    assert "stands with another digest" in proof.reason


def test_a_blob_of_a_signature_that_is_gone_is_told(tmp_path: Path, way: Way) -> None:
    """A tag that stands is no proof: what the signature is of has to be there, too."""
    with RegistrySimulator(tmp_path / "target") as sim:
        way.send(sim.host)
        sim.content.delete_blob(HOME, SIGNATURE.blobs[1].digest)

        assert (way.prove(sim.host).verdict, way.prove(sim.host).arrived) == ("missing", 3)


def test_a_list_that_cannot_be_asked_for_is_not_checkable(tmp_path: Path, way: Way) -> None:
    """That is neither good nor missing."""
    with RegistrySimulator(tmp_path / "target") as sim:
        way.send(sim.host)
        sim.deny("/referrers/")

        assert way.prove(sim.host).verdict == "not-checkable"


# Tags that stand


def test_a_signature_that_stands_otherwise_is_a_conflict(tmp_path: Path, way: Way) -> None:
    """It is found before anything is sent; --on-conflict decides, as for the image itself."""
    with RegistrySimulator(tmp_path / "target") as sim:
        older = replace(sign(APP.root, make_key(name="before")), repository=HOME)
        sim.put_image(replace(APP, repository=HOME), older)
        registry, target = way.registries.registry(sim.host), way.target(sim.host)
        preflight = check_delivery(way.lock, target, registry, "fail")

        assert any(f"{HOME}:{SIGNATURE.tag} stands with" in error for error in preflight.errors)
        with pytest.raises(RefusedError, match="on-conflict"):
            way.send(sim.host)
        way.send(sim.host, on_conflict="replace")
        assert way.prove(sim.host).verdict == "ok"


def test_where_another_image_is_kept_nothing_refers_to_ours(tmp_path: Path, way: Way) -> None:
    """With `keep` the image is not sent, and so neither are its signatures."""
    with RegistrySimulator(tmp_path / "target") as sim:
        sim.put_image(make_image(HOME, seed="another"))
        way.send(sim.host, on_conflict="keep")

        assert set(sim.content.tags(HOME) or ()) == {"1.0"}
