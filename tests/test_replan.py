"""Planning once more, and on a budget: what is known is asked for with one HEAD, what is spent ends the plan."""

from pathlib import Path

import pytest

from edgelift.bundle.definition import Architecture, BundleDefinition, RequestedImage
from edgelift.demo.content import SampleImage, make_image
from edgelift.errors import IncompleteError, PlanError
from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.registries import Registries
from edgelift.plan import Plan, plan_bundle
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.images import make_artifact, make_image_set
from tests.oci.clocks import Hands
from tests.simulators.profiles.hosted import Hub
from tests.simulators.registry import RegistrySimulator
from tests.simulators.token_server import TokenServer

BOTH = make_image("team/both", architectures=("amd64", "arm64"), attested=True)
PLAIN = make_image("team/plain", architectures=("arm64",))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An empty store."""
    return LocalStore(tmp_path / "store")


def plan(
    host: str,
    store: LocalStore,
    *images: SampleImage,
    architecture: Architecture | None = None,
    by_digest: bool = False,
    signatures: bool = False,
) -> Plan:
    """The plan for `images` with clients of its own, as a run has them; what refers to them is asked for elsewhere."""
    names = [
        f"{host}/{each.repository}@{each.root.digest}" if by_digest else f"{host}/{each.repository}:{each.tag}"
        for each in images
    ]
    asked = [RequestedImage(reference=name) for name in names]
    fields = {"images": asked, "architecture": architecture, "signatures": signatures}
    definition = BundleDefinition.model_validate(fields)
    with Registries(TransportSettings(), Credentials(), clock=Hands().clock) as registries:
        return plan_bundle(definition, registries, store)


def asked(sim: RegistrySimulator) -> list[str]:
    """Every request but those that let us in, sorted."""
    is_login = {"/v2/", "/token"}
    return sorted(f"{each.method} {each.path}" for each in sim.requests if each.path not in is_login)


# With nothing to do


@pytest.mark.parametrize("by_digest", [False, True], ids=["by tag", "by digest"])
@pytest.mark.parametrize("architecture", [None, "arm64"])
def test_a_second_plan_asks_one_head_for_each_reference(
    architecture: Architecture | None, by_digest: bool, tmp_path: Path, store: LocalStore
) -> None:
    """Images and indexes, reduced or not: what the first plan has read is not read again, and the lock is the same."""
    artifact = make_artifact("team/chart", "1.0")
    with RegistrySimulator(tmp_path / "registry", tokens=TokenServer(anonymous=True)) as sim:
        sim.put_image(BOTH, PLAIN, artifact)
        images = (BOTH, PLAIN, artifact)
        first = plan(sim.host, store, *images, architecture=architecture, by_digest=by_digest)
        sim.forget_requests()
        again = plan(sim.host, store, *images, architecture=architecture, by_digest=by_digest)

        selectors = {each.repository: each.root.digest if by_digest else each.tag for each in images}
        assert asked(sim) == sorted(f"HEAD /v2/{name}/manifests/{each}" for name, each in selectors.items())
        assert sim.count("GET", "^/v2/$") == 2  # without a token, then with one
    assert (first.errors, again.lock.to_json()) == ((), first.lock.to_json())


def test_a_first_plan_asks_no_head(tmp_path: Path, store: LocalStore) -> None:
    """Where nothing is known the manifest itself is asked for at once."""
    with RegistrySimulator(tmp_path / "registry") as sim:
        sim.put_image(BOTH, PLAIN)
        plan(sim.host, store, BOTH, PLAIN)

        assert sim.count("HEAD", "/manifests/") == 0


def test_a_tag_that_has_moved_is_read(tmp_path: Path, store: LocalStore) -> None:
    """The registry's word decides what a tag is, not what the store has of it."""
    with RegistrySimulator(tmp_path / "registry") as sim:
        sim.put_image(BOTH)
        plan(sim.host, store, BOTH)
        moved = make_image("team/both", base="debian")
        sim.put_image(moved)
        sim.forget_requests()
        lock = plan(sim.host, store, BOTH).lock

        assert [image.descriptor for image in lock.images] == [moved.root]
        assert asked(sim) == ["GET /v2/team/both/manifests/1.0", "HEAD /v2/team/both/manifests/1.0"]


def test_a_tag_that_moves_back_needs_its_head_alone(tmp_path: Path, store: LocalStore) -> None:
    """What is in the store is known by digest, whichever name it was read by."""
    other = make_image("team/both", tag="2.0", base="debian")
    with RegistrySimulator(tmp_path / "registry") as sim:
        sim.put_image(BOTH, other)
        plan(sim.host, store, BOTH, other)
        sim.move_tag("team/both", "1.0", other.root.digest)
        sim.forget_requests()
        lock = plan(sim.host, store, BOTH).lock

        assert [image.descriptor for image in lock.images] == [other.root]
        assert asked(sim) == ["HEAD /v2/team/both/manifests/1.0"]


USELESS_HEADS = {
    "no digest": {"headers": {"docker-content-digest": ""}},
    "no digest at all": {"headers": {"docker-content-digest": "hunter2"}},
    "no type": {"headers": {"content-type": "text/html"}},
    "a wrong size": {"headers": {"content-length": "7"}},
    "another digest": {"headers": {"docker-content-digest": f"sha256:{'0' * 64}"}},
}


@pytest.mark.parametrize("case", USELESS_HEADS.values(), ids=USELESS_HEADS)
def test_a_head_that_tells_too_little_is_followed_by_a_get(
    case: dict[str, dict[str, str]], tmp_path: Path, store: LocalStore
) -> None:
    """Old registries leave headers out, and others get them wrong: the bytes of the manifest decide."""
    with RegistrySimulator(tmp_path / "registry") as sim:
        sim.put_image(PLAIN)
        first = plan(sim.host, store, PLAIN)
        sim.set_headers(case["headers"], "HEAD", "/manifests/")
        sim.forget_requests()
        again = plan(sim.host, store, PLAIN)

        assert asked(sim) == ["GET /v2/team/plain/manifests/1.0", "HEAD /v2/team/plain/manifests/1.0"]
    assert (again.errors, again.lock) == ((), first.lock)


@pytest.mark.parametrize("status", [403, 404, 405, 500, 503])
def test_a_head_that_fails_is_followed_by_a_get(status: int, tmp_path: Path, store: LocalStore) -> None:
    """Some proxies know no HEAD: that is no reason to fail, nor to insist on it."""
    with RegistrySimulator(tmp_path / "registry") as sim:
        sim.put_image(PLAIN)
        first = plan(sim.host, store, PLAIN)
        sim.fail("HEAD", "/manifests/", status=status, times=None)
        sim.forget_requests()
        again = plan(sim.host, store, PLAIN)

        assert asked(sim) == ["GET /v2/team/plain/manifests/1.0", "HEAD /v2/team/plain/manifests/1.0"]
    assert again.lock == first.lock


def test_a_tag_that_is_gone_is_told_as_before(tmp_path: Path, store: LocalStore) -> None:
    """That the store has an image does not hide that its registry has it no more."""
    with RegistrySimulator(tmp_path / "registry") as sim:
        sim.put_image(PLAIN)
        plan(sim.host, store, PLAIN)
        sim.fail(None, "/manifests/1.0", status=404, code="MANIFEST_UNKNOWN", times=None)
        errors = plan(sim.host, store, PLAIN).errors

    assert len(errors) == 1
    assert "cannot read team/plain:1.0: 404 MANIFEST_UNKNOWN" in errors[0]


def test_a_wrong_password_is_not_tried_again(tmp_path: Path, store: LocalStore) -> None:
    """A HEAD that is refused is not followed by a request that would be refused as well: accounts lock."""
    with RegistrySimulator(tmp_path / "registry") as sim:
        sim.put_image(PLAIN)
        plan(sim.host, store, PLAIN)
        sim.fail(None, "/manifests/", status=401, times=None)
        sim.forget_requests()
        errors = plan(sim.host, store, PLAIN).errors

        assert sim.count("GET", "/manifests/") == 0
    assert "401" in errors[0]


def test_a_damaged_copy_is_read_anew(tmp_path: Path, store: LocalStore) -> None:
    """The registry names the digest, the store has other bytes under it: they are put aside, and fetched."""
    with RegistrySimulator(tmp_path / "registry") as sim:
        sim.put_image(PLAIN)
        first = plan(sim.host, store, PLAIN)
        path = store.path(PLAIN.root.digest)
        path.chmod(0o644)
        path.write_bytes(bytes(PLAIN.root.size))

        assert plan(sim.host, store, PLAIN).lock == first.lock
        assert path.read_bytes() == PLAIN.contents[PLAIN.root.digest]


def test_a_damaged_memory_costs_a_larger_request(tmp_path: Path, store: LocalStore) -> None:
    """What is remembered is a hint: nothing depends on it, and it mends itself."""
    with RegistrySimulator(tmp_path / "registry") as sim:
        sim.put_image(PLAIN)
        first = plan(sim.host, store, PLAIN)
        (hint,) = (store.root / "resolved").iterdir()
        hint.write_bytes(b'{"mediaType":')
        sim.forget_requests()
        again = plan(sim.host, store, PLAIN)
        seen = [each.method for each in sim.requests if "/manifests/" in each.path]
        plan(sim.host, store, PLAIN)

        assert (again.lock, seen, asked(sim)[-1]) == (first.lock, ["GET"], "HEAD /v2/team/plain/manifests/1.0")


def test_foreign_layers_are_looked_for_wherever_they_lie(tmp_path: Path, store: LocalStore) -> None:
    """Whether a layer that may not be distributed is carried depends on its registry, not on what the store has."""
    foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar"
    raw = PLAIN.contents[PLAIN.root.digest].replace(PLAIN.blobs[-1].media_type.encode(), foreign.encode())
    blob = PLAIN.blobs[-1]
    root = Descriptor.model_validate({"mediaType": PLAIN.root.media_type, "digest": Digest.of(raw), "size": len(raw)})
    image = SampleImage("team/windows", "1.0", root, (root,), PLAIN.blobs, {**PLAIN.contents, root.digest: raw})
    with RegistrySimulator(tmp_path / "registry") as sim:
        sim.put_image(image)
        plan(sim.host, store, image)
        store.write(blob, image.contents[blob.digest])
        sim.forget_requests()
        plan(sim.host, store, image)

        blob_path = f"HEAD /v2/team/windows/blobs/{blob.digest}"
        assert asked(sim) == [blob_path, "HEAD /v2/team/windows/manifests/1.0"]


# With a budget


IMAGES = make_image_set(12, 0)


def hub(tmp_path: Path, pulls: int, **options: int) -> tuple[RegistrySimulator, Hub]:
    """A registry that counts pulls as Docker Hub does."""
    profile = Hub(pulls=pulls, **options)
    sim = RegistrySimulator(tmp_path / "registry", profile=profile)
    sim.put_image(*IMAGES)
    return sim, profile


def test_the_budget_is_reported(tmp_path: Path, store: LocalStore) -> None:
    """What remains after the plan is told, with the window and with whom the registry counts."""
    sim, _ = hub(tmp_path, 100)
    with sim:
        found = plan(sim.host, store, *IMAGES)

    assert found.budgets == (f"{sim.host}: 88 of 100 pulls remain for the next 6 h, counted for 192.0.2.1",)
    assert (found.errors, found.postponed) == ((), ())


def test_a_registry_that_counts_nothing_is_not_reported(tmp_path: Path, store: LocalStore) -> None:
    """Most registries have no such limit."""
    with RegistrySimulator(tmp_path / "registry") as sim:
        sim.put_image(PLAIN)

        assert plan(sim.host, store, PLAIN).budgets == ()


@pytest.mark.parametrize("pulls", [1, 5, 11])
def test_a_budget_that_is_too_small_ends_the_plan_when_it_is_spent(
    pulls: int, tmp_path: Path, store: LocalStore
) -> None:
    """No manifest is asked for once none is left; what was read stays, and the message says when and how to go on."""
    sim, profile = hub(tmp_path, pulls)
    with sim:
        found = plan(sim.host, store, *IMAGES)
        refused = sim.count("GET", "/manifests/", 429)
    with pytest.raises(IncompleteError) as caught:
        found.raise_for_errors()

    assert (len(found.lock.images), profile.left, found.errors) == (pulls, 0, ())
    assert refused <= max(0, 8 - pulls)  # of the eight that were on their way before anything was known
    left = 12 - pulls
    message = str(caught.value)
    wanted = "1 manifest" if left == 1 else f"{left} manifests"
    assert f"{left} of 12 images need {wanted} or more of {sim.host}, but {sim.host}: 0 of {pulls}" in message
    assert all(words in message for words in ("run the same again", "UTC at the latest", "log in"))
    assert caught.value.exit_code == 3


def test_a_plan_that_ran_out_goes_on_where_it_stopped(tmp_path: Path, store: LocalStore) -> None:
    """Window after window the same command comes closer: what it has read does not count again."""
    sim, profile = hub(tmp_path, 5)
    planned = []
    with sim:
        for _ in range(3):
            planned.append(len(plan(sim.host, store, *IMAGES).lock.images))
            profile.left = 5
        sim.forget_requests()
        last = plan(sim.host, store, *IMAGES)

        assert sim.count("GET", "/manifests/") == 0
    assert (planned, len(last.lock.images), last.postponed) == ([5, 10, 12], 12, ())


def test_an_empty_budget_is_no_matter_where_nothing_is_to_be_read(tmp_path: Path, store: LocalStore) -> None:
    """HEAD is not counted: a run with nothing to do works at any time."""
    sim, profile = hub(tmp_path, 12)
    with sim:
        first = plan(sim.host, store, *IMAGES)
        assert profile.left == 0
        again = plan(sim.host, store, *IMAGES)

    assert (again.errors, again.postponed, again.lock) == ((), (), first.lock)


def test_a_long_retry_after_ends_the_plan_of_that_registry_alone(tmp_path: Path, store: LocalStore) -> None:
    """A registry that wants to be left alone for hours is; the images of others are planned."""
    sim, _ = hub(tmp_path, 0, retry_after=7200)
    with sim, RegistrySimulator(tmp_path / "other") as other:
        other.put_image(PLAIN)
        names = [f"{sim.host}/{each.repository}:1.0" for each in IMAGES] + [f"{other.host}/team/plain:1.0"]
        definition = BundleDefinition(name="a", images=tuple(RequestedImage(reference=name) for name in names))
        with Registries(TransportSettings(), Credentials(), clock=Hands().clock) as registries:
            found = plan_bundle(definition, registries, store)

    assert [image.reference for image in found.lock.images] == [f"{other.host}/team/plain:1.0"]
    assert len(found.postponed) == 1
    assert found.postponed[0].startswith(f"12 of 12 images need 12 manifests or more of {sim.host}, but {sim.host}: ")
    assert "rate limited until" in found.postponed[0]


def test_problems_come_before_patience(tmp_path: Path, store: LocalStore) -> None:
    """Where something has to be mended first, that is said, and what is postponed besides."""
    sim, _ = hub(tmp_path, 3)
    with sim, RegistrySimulator(tmp_path / "other") as other:
        missing = f"{other.host}/team/none:1.0"
        names = [missing, *(f"{sim.host}/{each.repository}:1.0" for each in IMAGES)]
        definition = BundleDefinition(name="a", images=tuple(RequestedImage(reference=name) for name in names))
        with Registries(TransportSettings(), Credentials(), clock=Hands().clock) as registries:
            found = plan_bundle(definition, registries, store)
    with pytest.raises(PlanError) as caught:
        found.raise_for_errors()

    assert [failure.partition(": ")[0] for failure in caught.value.failures[:1]] == [missing]
    assert "pulls remain" in caught.value.failures[-1]
