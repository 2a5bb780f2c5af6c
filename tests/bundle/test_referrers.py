"""Signatures and SBOMs in locks and bundles: carried as content, found when served, and never more than they may be."""

from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from edgelift.bundle.container import blob_name, contents_of
from edgelift.bundle.diff import ReferrerChange, compare_locks
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.referrer import LockedReferrer
from edgelift.bundle.summary import summarise
from edgelift.bundle.verify import verify_bundle
from edgelift.bundle.writer import assemble_bundle
from edgelift.delivery.base import Base, leave_out
from edgelift.demo.content import SampleImage, make_image
from edgelift.errors import BundleError, ConfigurationError
from edgelift.oci.digest import Digest
from edgelift.oci.referrer_tags import cosign_tags, fallback_tag
from edgelift.serve.pinned import BundleContent
from edgelift.serve.registry import create_registry
from edgelift.serve.server import RunningServer
from tests.bundle.content import MemoryContent, lock_of
from tests.bundle.independent_reader import read_members
from tests.cosign import attach_sbom, make_key, sign

REFERENCE = "quay.io/team/app:1.0"
APP = make_image("team/app")
SIGNATURE, SBOM = sign(APP.root, make_key()), attach_sbom(APP.root)


@dataclass(frozen=True)
class Signed:
    """A lock of one image with a signature under a tag and an SBOM that names it, and all of their bytes."""

    lock: BundleLock
    content: MemoryContent

    @property
    def image(self) -> LockedImage:
        """The image."""
        return self.lock.images[0]


@pytest.fixture
def signed() -> Signed:
    """As it is planned."""
    content = MemoryContent()
    for image in (APP, SIGNATURE, SBOM):
        content.blobs |= dict(image.contents)
    referrers = (referrer(SIGNATURE, tag=SIGNATURE.tag), referrer(SBOM))
    return Signed(lock_of(image_of(APP, referrers)), content)


def image_of(image: SampleImage, referrers: tuple[LockedReferrer, ...] = ()) -> LockedImage:
    """The image in a lock."""
    return LockedImage(
        reference=REFERENCE,
        descriptor=image.root,
        manifests=image.manifests,
        blobs=image.blobs,
        referrers=referrers,
    )


def referrer(artifact: SampleImage, *, tag: str | None = None, subject: Digest = APP.root.digest) -> LockedReferrer:
    """What refers to the image, in a lock."""
    return LockedReferrer(
        descriptor=artifact.root, manifests=artifact.manifests, blobs=artifact.blobs, subject=subject, tag=tag
    )


# The lock


def test_a_lock_with_referrers_reads_back(signed: Signed) -> None:
    """Its bytes say all of it, and the same lock gives the same bytes."""
    again = BundleLock.from_json(signed.lock.to_json())

    assert again == signed.lock
    assert again.to_json() == signed.lock.to_json()


def test_what_refers_to_an_image_counts_with_it(signed: Signed) -> None:
    """In its size, in what is unique, and in the summary."""
    everything = (APP, SIGNATURE, SBOM)
    size = sum(each.size for image in everything for each in (*image.manifests, *image.blobs))
    summary = summarise(signed.lock)

    assert (signed.image.size, signed.lock.unique_size) == (size, size)
    assert len(signed.lock.unique_manifests()) == 3
    assert (summary["images"][0]["signed"], summary["images"][0]["referrers"]) == (True, 2)


OTHER_DIGEST = Digest.of(b"another image")
HOSTILE = {
    "a tag that is none of its subject's": referrer(SIGNATURE, tag=None).model_copy(update={"tag": "1.27"}),
    "the tag of a list": referrer(SIGNATURE).model_copy(update={"tag": fallback_tag(APP.root.digest)}),
    "the tag of another subject": referrer(SIGNATURE).model_copy(update={"tag": cosign_tags(OTHER_DIGEST)[0]}),
    "a subject that is not there": referrer(SBOM).model_copy(update={"subject": OTHER_DIGEST}),
    "no manifest of its own": referrer(SBOM).model_copy(update={"manifests": ()}),
}


@pytest.mark.parametrize("wrong", HOSTILE.values(), ids=HOSTILE)
def test_a_lock_of_a_stranger_moves_no_tag_of_others(wrong: LockedReferrer) -> None:
    """A referrer has the tags that follow from its subject, and no others: it could replace any image else."""
    image = image_of(APP).model_copy(update={"referrers": (wrong,)})
    lock = lock_of(image_of(APP)).model_copy(update={"images": (image,)})

    with pytest.raises(ConfigurationError, match="is not a bundle lock"):
        BundleLock.from_json(lock.to_json())


# The bundle


def test_a_bundle_holds_them_after_their_image(signed: Signed, tmp_path: Path) -> None:
    """Manifests after those of the image, blobs by size with the image's; what verifies it says that all is right."""
    path = tmp_path / "site.tar.zst"
    assemble_bundle(signed.lock, signed.content, path)
    manifests = [each.digest for each in contents_of(signed.lock)[:3]]

    assert manifests == [APP.root.digest, SIGNATURE.root.digest, SBOM.root.digest]
    assert verify_bundle(path).members == 4 + len(signed.lock.unique_manifests()) + len(signed.lock.unique_blobs())
    assert list(read_members(path.read_bytes()))[4:] == [blob_name(each) for each in contents_of(signed.lock)]
    with BundleReader.open(path) as bundle:
        assert bundle.lock == signed.lock
        assert all(bundle.exists(each) for each in (*SIGNATURE.blobs, *SBOM.blobs))


def test_a_bundle_in_which_it_refers_to_something_else_is_refused(signed: Signed, tmp_path: Path) -> None:
    """What the lock says is held against the manifest: an SBOM of another image is none of this one."""
    other = attach_sbom(make_image("team/other").root)
    signed.content.blobs |= dict(other.contents)
    path = tmp_path / "site.tar.zst"
    assemble_bundle(lock_of(image_of(APP, (referrer(other),))), signed.content, path)

    with pytest.raises(BundleError, match=f"the referrer {other.root.digest} of {REFERENCE} is said to refer to"):
        verify_bundle(path)


def test_a_bundle_that_is_served_is_signed(signed: Signed, tmp_path: Path) -> None:
    """The signature is found under its tag, the SBOM in the list of referrers; both can be fetched."""
    path = tmp_path / "site.tar.zst"
    assemble_bundle(signed.lock, signed.content, path)
    with (
        BundleReader.open(path) as bundle,
        RunningServer(create_registry(BundleContent(bundle))) as server,
        httpx.Client(base_url=f"{server.url}/v2/quay.io/team/app", trust_env=False) as client,
    ):
        tags = client.get("/tags/list").json()["tags"]
        found = client.get(f"/referrers/{APP.root.digest}").json()["manifests"]
        blobs = [client.get(f"/blobs/{each.digest}").content for each in (*SIGNATURE.blobs, *SBOM.blobs)]

    assert sorted(tags) == ["1.0", SIGNATURE.tag]
    assert [(each["digest"], each["artifactType"]) for each in found] == [(SBOM.root.digest, "application/spdx+json")]
    assert blobs == [image.contents[each.digest] for image in (SIGNATURE, SBOM) for each in image.blobs]


def test_a_delta_leaves_out_what_the_site_has_of_them(signed: Signed) -> None:
    """An SBOM may be large: where the base has brought it, it is not carried again."""
    later = lock_of(image_of(APP, (*signed.image.referrers,)))
    delta = leave_out(later, Base(signed.lock, signed.lock.images))

    assert {each.digest for each in SBOM.blobs} <= delta.left_out
    assert SBOM.root in contents_of(delta)


def test_a_signature_that_came_is_told_of_two_locks(signed: Signed) -> None:
    """The image is as before; what refers to it is not."""
    before = lock_of(image_of(APP, (referrer(SBOM),)))

    found = compare_locks(before, signed.lock)

    assert (found.added, found.moved, found.unchanged) == ((), (), 1)
    assert found.referrers == (ReferrerChange(REFERENCE, 1, 0),)
    assert found.arriving.manifests == 1
