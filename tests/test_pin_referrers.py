"""What refers to images is found at the source, or the plan fails: no answer is never taken for "there is none"."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.bundle.referrer import LockedReferrer
from edgelift.demo.content import SampleImage, make_image
from edgelift.oci.credentials import Credentials
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_INDEX, parse_manifest
from edgelift.oci.mirrors import Mirrors
from edgelift.oci.referrer_tags import cosign_tags, fallback_tag
from edgelift.oci.referrers import MAX_LISTED
from edgelift.oci.registries import Registries
from edgelift.plan import Plan, plan_bundle
from edgelift.serve.access import Login
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.cosign import REPOSITORY, attach_sbom, make_key, sign, sign_as_referrer, untag
from tests.images import make_artifact, rename_image
from tests.oci.clocks import Hands
from tests.simulators.profiles.distribution import Distribution28
from tests.simulators.profiles.hosted import Quay
from tests.simulators.registry import RegistrySimulator

APP = make_image(REPOSITORY)
BOTH = make_image(REPOSITORY, tag="2.0", architectures=("amd64", "arm64"))
KEY = make_key()
SBOM = untag(attach_sbom(APP.root))


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry that lists referrers, with an image that nobody has signed."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        simulator.put_image(APP)
        yield simulator


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An empty store."""
    return LocalStore(tmp_path / "store")


def plan(
    sim: RegistrySimulator,
    store: LocalStore,
    *images: SampleImage,
    mirrors: Mirrors | None = None,
    credentials: Credentials | None = None,
    **fields: object,
) -> Plan:
    """The plan for `images`, or for the one that is there; nobody waits between attempts."""
    asked = [RequestedImage(reference=f"{sim.host}/{each.repository}:{each.tag}") for each in images or (APP,)]
    definition = BundleDefinition.model_validate({"images": asked, **fields})
    registries = Registries(
        TransportSettings(), credentials or Credentials(), mirrors=mirrors or Mirrors(), clock=Hands().clock
    )
    with registries:
        return plan_bundle(definition, registries, store)


def locked(sim: RegistrySimulator, store: LocalStore, *images: SampleImage, **fields: object) -> LockedImage:
    """The first image of a plan in which nothing is wrong."""
    found = plan(sim, store, *images, **fields)
    assert found.errors == ()
    return found.lock.images[0]


def told(referrers: tuple[LockedReferrer, ...]) -> set[tuple[Digest, str | None, Digest]]:
    """What refers to what, and how it is found."""
    return {(each.subject, each.tag, each.descriptor.digest) for each in referrers}


def put_fallback(sim: RegistrySimulator, subject: Digest, *referrers: SampleImage) -> None:
    """Keep the list of what refers to `subject` as clients do it for registries without lists."""
    entries = [
        parse_manifest(each.contents[each.root.digest], each.root.media_type).listed.model_dump(
            mode="json", by_alias=True, exclude_none=True
        )
        for each in referrers
    ]
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    sim.content.write_manifest(REPOSITORY, parse_manifest(raw, OCI_INDEX), fallback_tag(subject))


# What is found


def test_a_signature_under_its_tag_is_found(sim: RegistrySimulator, store: LocalStore) -> None:
    """As cosign has put them since its first release: nothing in the manifest says what it is about."""
    signature = sign(APP.root, KEY)
    sim.put_image(signature)

    image = locked(sim, store)

    assert told(image.referrers) == {(APP.root.digest, signature.tag, signature.root.digest)}
    assert image.is_signed
    assert {each.digest for each in image.all_blobs} == {each.digest for each in (*APP.blobs, *signature.blobs)}


def test_what_names_the_image_as_its_subject_is_found(sim: RegistrySimulator, store: LocalStore) -> None:
    """As newer tools do it; the lock says of which type it is."""
    bundle = untag(sign_as_referrer(APP.root, KEY))
    sim.put_image(SBOM, bundle)

    image = locked(sim, store)

    expected = {(APP.root.digest, None, each.root.digest) for each in (SBOM, bundle)}
    assert told(image.referrers) == expected
    assert {each.descriptor.artifact_type for each in image.referrers} == {
        "application/spdx+json",
        "application/vnd.dev.sigstore.bundle.v0.3+json",
    }
    assert image.is_signed


@pytest.mark.parametrize("with_lists", [True, False])
def test_a_list_under_a_tag_counts(with_lists: bool, tmp_path: Path, store: LocalStore) -> None:
    """Where the registry keeps no lists, and also where it does: it may not have done so when that was pushed."""
    profile = None if with_lists else Distribution28()
    with RegistrySimulator(tmp_path / "registry", profile=profile) as sim:
        sim.put_image(APP, SBOM)
        put_fallback(sim, APP.root.digest, SBOM)
        if with_lists:
            empty = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
            sim.reply("GET", "/referrers/", headers={"Content-Type": OCI_INDEX}, body=empty, times=None)
        image = locked(sim, store)

    assert told(image.referrers) == {(APP.root.digest, None, SBOM.root.digest)}


def test_each_architecture_may_have_its_own(sim: RegistrySimulator, store: LocalStore) -> None:
    """`cosign sign --recursive` signs the index and each manifest in it: all of them are looked at."""
    signatures = [sign(each, KEY) for each in BOTH.manifests]
    sim.put_image(BOTH, *signatures)

    image = locked(sim, store, BOTH)

    assert told(image.referrers) == {
        (each.digest, signature.tag, signature.root.digest)
        for each, signature in zip(BOTH.manifests, signatures, strict=True)
    }


def test_what_refers_to_referrers_is_found(sim: RegistrySimulator, store: LocalStore) -> None:
    """An SBOM that is signed travels with its signature, which stands after it in the lock."""
    signature = sign(SBOM.root, KEY)
    sim.put_image(SBOM, signature)

    first, second = locked(sim, store).referrers

    assert (first.subject, first.descriptor.digest) == (APP.root.digest, SBOM.root.digest)
    assert (second.subject, second.tag) == (SBOM.root.digest, signature.tag)


def test_what_is_listed_but_refers_to_something_else_is_none(sim: RegistrySimulator, store: LocalStore) -> None:
    """Some tools give images a tag that looks like that of a list, and an index of platforms lists no referrers."""
    sim.put_image(BOTH, rename_image(BOTH, REPOSITORY, fallback_tag(APP.root.digest)))

    assert locked(sim, store).referrers == ()


def test_a_lock_does_not_depend_on_the_order_of_a_list(tmp_path: Path, store: LocalStore) -> None:
    """The same referrers give the same lock, whatever the registry lists first."""
    listed = [untag(attach_sbom(APP.root, text=str(number))) for number in range(4)]
    locks = []
    for number, order in enumerate((listed, listed[::-1])):
        with RegistrySimulator(tmp_path / f"{number}", profile=Distribution28()) as sim:
            sim.put_image(APP, *order)
            put_fallback(sim, APP.root.digest, *order)
            locks.append([each.descriptor.digest for each in locked(sim, store).referrers])

    assert locks[0] == locks[1]


def test_a_long_list_comes_in_pages(sim: RegistrySimulator, store: LocalStore) -> None:
    """Every page is read; the last one has no link to a next."""
    sim.put_image(SBOM)
    second = untag(attach_sbom(APP.root, text="another"))
    sim.put_image(second)
    pages = [
        json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": OCI_INDEX,
                "manifests": [each.root.model_dump(mode="json", by_alias=True, exclude_none=True)],
            }
        ).encode()
        for each in (SBOM, second)
    ]
    path = f"/v2/{REPOSITORY}/referrers/{APP.root.digest}"
    link = {"Content-Type": OCI_INDEX, "Link": f'<{path}?page=2>; rel="next"'}
    sim.reply("GET", f"{path}$", headers=link, body=pages[0])
    sim.reply("GET", f"{path}.page=2$", headers={"Content-Type": OCI_INDEX}, body=pages[1])

    assert len(locked(sim, store).referrers) == 2


def test_they_can_be_left_out(sim: RegistrySimulator, store: LocalStore) -> None:
    """Then nobody is asked, and the lock is what it was before signatures were carried."""
    sim.put_image(sign(APP.root, KEY))
    sim.forget_requests()

    image = locked(sim, store, signatures=False)

    assert (image.referrers, sim.count("GET", "/referrers/"), sim.count("HEAD")) == ((), 0, 0)


# What is asked


def test_a_second_plan_asks_five_requests_for_each_digest(sim: RegistrySimulator, store: LocalStore) -> None:
    """One for the image, three for the tags of cosign, one for the list and one for the tag of a list; no manifest."""
    locked(sim, store)
    sim.forget_requests()
    locked(sim, store)

    digest = APP.root.digest
    tags = [APP.tag, *cosign_tags(digest), fallback_tag(digest)]
    asked = sorted(f"{each.method} {each.path}" for each in sim.requests if each.path != "/v2/")
    heads = [f"HEAD /v2/{REPOSITORY}/manifests/{tag}" for tag in tags]
    assert asked == sorted([*heads, f"GET /v2/{REPOSITORY}/referrers/{digest}"])


def test_a_registry_without_lists_is_asked_for_one_once(tmp_path: Path, store: LocalStore) -> None:
    """That it has none is remembered for all its images and their parts."""
    with RegistrySimulator(tmp_path / "registry", profile=Distribution28()) as sim:
        sim.put_image(BOTH, APP, SBOM)
        settings = TransportSettings()
        with Registries(settings, Credentials(), clock=Hands().clock) as registries:
            registry = registries.registry(sim.host)
            for digest in (APP.root.digest, BOTH.root.digest, SBOM.root.digest):
                assert registry.list_referrers(REPOSITORY, digest) is None

        assert sim.count("GET", "/referrers/") == 1


def test_quay_says_with_400_that_there_is_none(tmp_path: Path, store: LocalStore) -> None:
    """That is no word on any other digest: the next image's list is asked for, and had."""
    login = Login("robot", "a made-up password")
    other = make_image(REPOSITORY, tag="other")
    with RegistrySimulator(tmp_path / "registry", profile=Quay(login)) as sim:
        sim.put_image(APP, other, untag(attach_sbom(other.root)))
        credentials = Credentials.of([(sim.host, login.username, login.password)])
        found = plan(sim, store, APP, other, credentials=credentials)

    assert found.errors == ()
    assert [len(image.referrers) for image in found.lock.images] == [0, 1]


# What cannot be told


FAILURES = {
    "the list, 500": ("GET", "/referrers/", 500),
    "the list, 403": ("GET", "/referrers/", 403),
    "the list, 401": ("GET", "/referrers/", 401),
    "a tag of cosign, 500": ("HEAD", r"\.sig$", 500),
    "a tag of cosign, 401": ("HEAD", r"\.att$", 401),
    "the tag of a list, 502": ("HEAD", "/manifests/sha256-[0-9a-f]*$", 502),
}


@pytest.mark.parametrize(("method", "path", "status"), FAILURES.values(), ids=FAILURES)
def test_a_failure_fails_the_plan_and_names_the_image(
    method: str, path: str, status: int, sim: RegistrySimulator, store: LocalStore
) -> None:
    """The image may well be signed: carried without, it would be refused where it is to run."""
    sim.fail(method, path, status=status, times=None)

    (error,) = plan(sim, store).errors

    assert error.startswith(f"{sim.host}/{REPOSITORY}:1.0: what refers to {APP.root.digest[:19]}… cannot be told: ")
    assert str(status) in error


def test_a_connection_that_is_cut_fails_the_plan(sim: RegistrySimulator, store: LocalStore) -> None:
    """As often as it is tried again; the image is named."""
    sim.lose_response("GET", "/referrers/", times=None)

    (error,) = plan(sim, store).errors

    assert f"{sim.host}/{REPOSITORY}:1.0: what refers to" in error
    assert "cannot list the referrers" in error


def test_a_failure_that_passes_is_none(sim: RegistrySimulator, store: LocalStore) -> None:
    """Requests are repeated before anything is called a failure."""
    sim.put_image(sign(APP.root, KEY))
    sim.fail("HEAD", r"\.sig$", status=503, times=2)
    sim.fail("GET", "/referrers/", status=500)

    assert locked(sim, store).is_signed


@pytest.mark.parametrize(("lists_tags", "is_told"), [(True, True), (False, False)])
def test_a_hidden_tag_is_told_by_the_list_of_tags(
    lists_tags: bool, is_told: bool, sim: RegistrySimulator, store: LocalStore
) -> None:
    """Some registries say 403 of tags that do not exist: the list of tags decides, and without one nobody knows."""
    sim.fail("HEAD", r"/manifests/sha256-", status=403, times=None)
    if not lists_tags:
        sim.fail("GET", "/tags/list", status=403, times=None)

    assert (plan(sim, store).errors == ()) == is_told


def test_a_signature_that_may_not_be_read_fails_the_plan(sim: RegistrySimulator, store: LocalStore) -> None:
    """It is listed among the tags, so the 403 does not mean that there is none."""
    sim.put_image(sign(APP.root, KEY))
    sim.fail("HEAD", r"\.sig$", status=403, times=None)

    (error,) = plan(sim, store).errors

    assert ".sig: 403" in error


def test_a_referrer_that_is_listed_and_not_there_fails_the_plan(tmp_path: Path, store: LocalStore) -> None:
    """The next step is named: have it pushed again, or do without."""
    with RegistrySimulator(tmp_path / "registry", profile=Distribution28()) as sim:
        sim.put_image(APP)
        put_fallback(sim, APP.root.digest, SBOM)
        (error,) = plan(sim, store).errors

    assert "listed that is not there" in error
    assert "--no-signatures" in error


def test_a_registry_that_gives_no_more_for_now_postpones(sim: RegistrySimulator, store: LocalStore) -> None:
    """A limit is nothing that is wrong with the image."""
    sim.fail("GET", "/referrers/", status=429, retry_after=86_400, times=None)

    found = plan(sim, store)

    assert (found.errors, len(found.postponed)) == ((), 1)


# Hostile registries


def test_a_list_without_end_is_refused(sim: RegistrySimulator, store: LocalStore) -> None:
    """As soon as it is longer than any true one, and before any of it is fetched."""
    one = SBOM.root.model_dump(mode="json", by_alias=True, exclude_none=True)
    entries = [one | {"digest": Digest.of(str(number).encode())} for number in range(MAX_LISTED + 1)]
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    sim.reply("GET", "/referrers/", headers={"Content-Type": OCI_INDEX}, body=body, times=None)
    sim.forget_requests()

    (error,) = plan(sim, store).errors

    assert "more than 1,000" in error
    assert sim.count("GET", "/manifests/sha256:") == 0


def test_a_chain_without_end_is_refused(sim: RegistrySimulator, store: LocalStore) -> None:
    """An SBOM of an SBOM of an SBOM …: no one needs so many in a row."""
    subject = APP.root
    for number in range(9):
        link = untag(attach_sbom(subject, text=str(number)))
        sim.put_image(link)
        subject = link.root

    (error,) = plan(sim, store).errors

    assert "refer to each other in a row" in error


def test_a_list_that_goes_on_elsewhere_is_refused(sim: RegistrySimulator, store: LocalStore) -> None:
    """The next page is asked for at the registry itself, and at no other address that it names."""
    entry = SBOM.root.model_dump(mode="json", by_alias=True, exclude_none=True)
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    headers = {"Content-Type": OCI_INDEX, "Link": '<http://169.254.169.254/next>; rel="next"'}
    sim.reply("GET", "/referrers/", headers=headers, body=body, times=None)

    (error,) = plan(sim, store).errors

    assert "169.254.169.254" in error


# Mirrors


def test_a_mirror_without_them_is_passed_over(sim: RegistrySimulator, tmp_path: Path, store: LocalStore) -> None:
    """They are had from the original; for the image itself the mirror stays the first that is asked."""
    sim.put_image(sign(APP.root, KEY), SBOM)
    with RegistrySimulator(tmp_path / "mirror") as mirror:
        mirror.put_image(APP)
        image = locked(sim, store, mirrors=Mirrors.parse([f"{sim.host}={mirror.host}"], []))

    assert len(image.referrers) == 2
    assert image.is_signed


# Signatures that are required


def test_images_without_a_signature_are_refused_each_by_name(sim: RegistrySimulator, store: LocalStore) -> None:
    """All of them at once; those that are signed are not named."""
    other, third = (make_image(f"team/{name}") for name in ("other", "third"))
    sim.put_image(sign(APP.root, KEY), other, third)

    errors = plan(sim, store, APP, other, third, require_signatures=True).errors

    assert [error.partition(": no signature of")[0] for error in errors] == [
        f"{sim.host}/team/other:1.0",
        f"{sim.host}/team/third:1.0",
    ]


@pytest.mark.parametrize("signs_all", [False, True])
def test_one_architecture_has_to_be_signed_itself(signs_all: bool, sim: RegistrySimulator, store: LocalStore) -> None:
    """The signature of the index says nothing that could be checked once the index is gone."""
    sim.put_image(BOTH, *(sign(each, KEY) for each in (BOTH.manifests if signs_all else (BOTH.root,))))

    found = plan(sim, store, BOTH, architecture="amd64", require_signatures=True)

    assert (found.errors == ()) == signs_all
    assert signs_all or "build without --arch" in found.errors[0]


def test_an_sbom_is_no_signature(sim: RegistrySimulator, store: LocalStore) -> None:
    """Nor is an attestation, in whatever form: who signs it need not have signed the image."""
    attestation = untag(sign_as_referrer(APP.root, KEY, states="https://slsa.dev/provenance/v1"))
    sim.put_image(SBOM, attestation, make_artifact(REPOSITORY, f"sha256-{APP.root.digest.hex}.att"))

    found = plan(sim, store, require_signatures=True)

    assert len(found.errors) == 1
    assert len(plan(sim, store).lock.images[0].referrers) == 3


def test_a_lock_of_images_without_referrers_is_what_it_was(sim: RegistrySimulator, store: LocalStore) -> None:
    """It has no word on them: its bytes, and so the bundle's, do not change."""
    lock = plan(sim, store).lock

    assert b"referrers" not in lock.to_json()
    assert b"signatures" not in lock.to_json()
    assert BundleLock.from_json(lock.to_json()) == lock
