"""Planning: references become digests, every problem is found at once, and no blob moves."""

import json
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgelift.bundle.definition import Architecture, BundleDefinition, Origin, RequestedImage
from edgelift.bundle.lock import LockedImage
from edgelift.demo.content import SampleImage, SampleLayer, make_image
from edgelift.errors import ConfigurationError, IntegrityError, NotFoundError, PlanError, RefusedError
from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor, Platform
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_INDEX, OCI_MANIFEST, parse_manifest
from edgelift.oci.pull import pull_content
from edgelift.oci.reference import ImageReference
from edgelift.oci.registries import Registries
from edgelift.oci.registry import Registry
from edgelift.pin import MAX_DEPTH, pin_image
from edgelift.plan import Plan, plan_bundle
from edgelift.serve.directory import DirectoryContent
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.images import make_artifact, make_image_set
from tests.oci.clocks import Hands
from tests.simulators.registry import RegistrySimulator

BOTH = make_image("team/both", architectures=("amd64", "arm64"), attested=True)
PLAIN = make_image("team/plain", architectures=("arm64",))
FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar"


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry with an image for two architectures and one for arm64 alone."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        simulator.put_image(BOTH, PLAIN)
        yield simulator


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An empty store."""
    return LocalStore(tmp_path / "store")


@pytest.fixture
def raw(sim: RegistrySimulator) -> "RawContent":
    """A way to put any manifest into the registry."""
    return RawContent(sim)


class RawContent:
    """Puts documents into the registry as they are, whatever a push would say to them."""

    def __init__(self, sim: RegistrySimulator) -> None:
        self._content: DirectoryContent = sim.content

    def put_blob(self, repository: str, content: bytes, media_type: str) -> Descriptor:
        """A blob."""
        digest = Digest.of(content)
        session = self._content.begin_upload(repository)
        self._content.append_upload(repository, session, 0, content)
        self._content.commit_upload(repository, session, digest)
        return Descriptor(media_type=media_type, digest=digest, size=len(content))

    def put_manifest(self, repository: str, tag: str | None, document: dict[str, object]) -> Descriptor:
        """A manifest or an index; tagged where there is a `tag`."""
        raw = json.dumps(document).encode()
        manifest = parse_manifest(raw, str(document["mediaType"]))
        self._content.write_manifest(repository, manifest, tag)
        return manifest.descriptor

    def put_index(self, repository: str, tag: str | None, *children: Descriptor) -> Descriptor:
        """An index of `children`, which need not be there."""
        manifests = [plain(child) for child in children]
        return self.put_manifest(repository, tag, {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})

    def put_layers(self, repository: str, tag: str, config: bytes, *layers: Descriptor) -> Descriptor:
        """An image manifest over `layers`, which need not be there."""
        described = self.put_blob(repository, config, "application/vnd.oci.image.config.v1+json")
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": plain(described)}
        return self.put_manifest(repository, tag, document | {"layers": [plain(layer) for layer in layers]})


def plain(descriptor: Descriptor) -> dict[str, object]:
    """The descriptor as it stands in documents."""
    return descriptor.model_dump(mode="json", by_alias=True, exclude_none=True)


def pin(sim: RegistrySimulator, store: LocalStore, name: str, architecture: Architecture | None = None) -> LockedImage:
    """Pin `name`, which is without its registry."""
    registry = Registry(sim.host, TransportSettings(), Credentials(), clock=Hands().clock)
    return pin_image(ImageReference.parse(f"{sim.host}/{name}"), architecture, registry, store)


def plan(
    store: LocalStore, *images: RequestedImage, settings: TransportSettings | None = None, **fields: object
) -> Plan:
    """The plan for `images`."""
    definition = BundleDefinition.model_validate({"images": images, **fields})
    with Registries(settings or TransportSettings(), Credentials()) as registries:
        return plan_bundle(definition, registries, store)


def requested(sim: RegistrySimulator, *images: SampleImage) -> list[RequestedImage]:
    """The images, asked for by their own names."""
    return [RequestedImage(reference=f"{sim.host}/{each.repository}:{each.tag}") for each in images]


# What is pinned


def test_an_index_is_kept_whole(sim: RegistrySimulator, store: LocalStore) -> None:
    """Without an architecture the index is what is bundled, with all its manifests, attestations too, and all blobs."""
    locked = pin(sim, store, "team/both:1.0")

    assert locked.reference == f"{sim.host}/team/both:1.0"
    assert (locked.descriptor, locked.index) == (BOTH.root, None)
    assert set(locked.manifests) == {each.plain() for each in BOTH.manifests}
    assert {each.digest for each in locked.blobs} == {each.digest for each in BOTH.blobs}
    assert len(locked.manifests) == 4


def test_children_stand_before_their_index(sim: RegistrySimulator, store: LocalStore) -> None:
    """The last manifest is the one that is tagged; nothing stands before what it names."""
    locked = pin(sim, store, "team/both:1.0")
    position = {each.digest: place for place, each in enumerate(locked.manifests)}
    names = parse_manifest(BOTH.contents[BOTH.root.digest], OCI_INDEX).children

    assert locked.manifests[-1] == locked.descriptor
    assert all(position[child.digest] < position[BOTH.root.digest] for child in names)


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_an_architecture_picks_its_manifest(
    architecture: Architecture, sim: RegistrySimulator, store: LocalStore
) -> None:
    """With an architecture its manifest stands for the index, whose digest is recorded."""
    locked = pin(sim, store, "team/both:1.0", architecture)
    config = json.loads(BOTH.contents[next(b for b in locked.blobs if "config" in b.media_type).digest])

    assert (locked.index, len(locked.manifests)) == (BOTH.root.digest, 1)
    assert (locked.descriptor.media_type, config["architecture"]) == (OCI_MANIFEST, architecture)


def test_an_index_pinned_by_digest_stays_whole(sim: RegistrySimulator, store: LocalStore) -> None:
    """`name@sha256:<index>` asks for exactly that index, whatever the architecture."""
    locked = pin(sim, store, f"team/both@{BOTH.root.digest}", "amd64")

    assert (locked.descriptor, locked.index, len(locked.manifests)) == (BOTH.root, None, 4)


def test_an_image_for_the_architecture_is_taken_as_it_is(sim: RegistrySimulator, store: LocalStore) -> None:
    """An image that was never an index needs none."""
    locked = pin(sim, store, "team/plain:1.0", "arm64")

    assert (locked.descriptor, locked.index) == (PLAIN.root, None)


@pytest.mark.parametrize("selector", [":1.0", f"@{PLAIN.root.digest}"], ids=["by tag", "by digest"])
def test_an_image_for_another_architecture_is_refused(selector: str, sim: RegistrySimulator, store: LocalStore) -> None:
    """The error says which platform the image is for, and the ways on."""
    with pytest.raises(NotFoundError) as caught:
        pin(sim, store, f"team/plain{selector}", "amd64")

    assert "is not there for linux/amd64; it is for linux/arm64" in caught.value.message
    assert "without --arch" in str(caught.value.hint)


def test_an_index_without_the_architecture_lists_what_it_offers(
    sim: RegistrySimulator, store: LocalStore, raw: RawContent
) -> None:
    """Attestations are no offer."""
    child = next(each for each in parse_manifest(BOTH.contents[BOTH.root.digest], OCI_INDEX).children)
    attestation = child.model_copy(update={"platform": Platform(os="unknown", architecture="unknown")})
    raw.put_index("team/both", "amd64-only", child, attestation)
    with pytest.raises(NotFoundError, match=r"is not there for linux/arm64; it is for linux/amd64\n"):
        pin(sim, store, "team/both:amd64-only", "arm64")


def test_an_index_that_names_no_platform_is_told_of(sim: RegistrySimulator, store: LocalStore, raw: RawContent) -> None:
    """An index without platforms cannot be reduced."""
    raw.put_index("team/plain", "bare", PLAIN.root)
    with pytest.raises(NotFoundError, match="it names no platform at all"):
        pin(sim, store, "team/plain:bare", "arm64")


def test_hostile_platforms_are_shown_harmlessly(sim: RegistrySimulator, store: LocalStore, raw: RawContent) -> None:
    """What an index says of itself gets neither control characters nor pages into a message."""
    nasty = Platform(os="linux\x1b[2J\n", architecture="a" * 5000)
    raw.put_index("team/plain", "nasty", PLAIN.root.model_copy(update={"platform": nasty}))
    with pytest.raises(NotFoundError) as caught:
        pin(sim, store, "team/plain:nasty", "arm64")

    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300


def test_artifacts_have_no_architecture(sim: RegistrySimulator, store: LocalStore) -> None:
    """A chart or a signature is carried whatever architecture is asked for."""
    artifact = make_artifact("team/chart", "1.0")
    sim.put_image(artifact)

    assert pin(sim, store, "team/chart:1.0", "amd64").descriptor == artifact.root


CONFIGS = {
    "no JSON": b"\xff\xfe",
    "a list": b"[]",
    "without an architecture": b"{}",
    "numbers for names": b'{"os": 1, "architecture": 2}',
    "nested without end": b"[" * 200_000,
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_config_that_names_no_platform_forbids_nothing(
    config: bytes, sim: RegistrySimulator, store: LocalStore, raw: RawContent
) -> None:
    """Where a config says nothing of its platform the image is carried as it is."""
    image = raw.put_layers("team/odd", "1.0", config)

    assert pin(sim, store, "team/odd:1.0", "amd64").descriptor == image


def test_a_nested_index_is_kept_whole(sim: RegistrySimulator, store: LocalStore, raw: RawContent) -> None:
    """An index in an index is walked like any other; a manifest that both name is there once."""
    child = parse_manifest(BOTH.contents[BOTH.root.digest], OCI_INDEX).children[0]
    outer = raw.put_index("team/both", "nested", BOTH.root, child)
    locked = pin(sim, store, "team/both:nested")

    assert [each.digest for each in locked.manifests[-2:]] == [BOTH.root.digest, outer.digest]
    assert len(locked.manifests) == len(BOTH.manifests) + 1


def test_indexes_nested_too_deep_are_refused(sim: RegistrySimulator, store: LocalStore, raw: RawContent) -> None:
    """Indexes in indexes end somewhere."""
    described = PLAIN.root
    for _ in range(MAX_DEPTH + 1):
        described = raw.put_index("team/plain", "deep", described)
    with pytest.raises(RefusedError, match="too deep"):
        pin(sim, store, "team/plain:deep")


@pytest.mark.timeout(30)
def test_shared_indexes_are_walked_once(sim: RegistrySimulator, store: LocalStore, raw: RawContent) -> None:
    """An index that names another four times, and so on fifteen times over, is no bomb."""
    described, count = PLAIN.root, MAX_DEPTH - 1
    for _ in range(count):
        described = raw.put_index("team/plain", "bomb", *[described] * 4)

    assert len(pin(sim, store, "team/plain:bomb").manifests) == count + 1
    assert sim.count("GET", "/manifests/") == count + 1


def test_an_index_with_a_missing_child_is_refused(sim: RegistrySimulator, store: LocalStore, raw: RawContent) -> None:
    """The message names the manifest that is missing, and the way around it."""
    missing = Descriptor(media_type=OCI_MANIFEST, digest=Digest.of(b"never pushed"), size=12)
    raw.put_index("team/plain", "sparse", PLAIN.root, missing)
    with pytest.raises(NotFoundError, match=missing.digest) as caught:
        pin(sim, store, "team/plain:sparse")

    assert "its index names a manifest that is not there" in caught.value.message
    assert "--arch" in str(caught.value.hint)


def test_an_index_that_gives_a_wrong_size_is_refused(
    sim: RegistrySimulator, store: LocalStore, raw: RawContent
) -> None:
    """Sizes in the lock are true, or there is no lock."""
    raw.put_index("team/plain", "wrong", PLAIN.root.model_copy(update={"size": PLAIN.root.size + 1}))
    with pytest.raises(IntegrityError, match=PLAIN.root.digest):
        pin(sim, store, "team/plain:wrong")


def test_a_blob_of_two_sizes_is_refused(sim: RegistrySimulator, store: LocalStore, raw: RawContent) -> None:
    """Two layers with one digest and two sizes cannot both be right."""
    layer = raw.put_blob("team/odd", b"layer", "application/vnd.oci.image.layer.v1.tar")
    raw.put_layers("team/odd", "1.0", b"{}", layer, layer.model_copy(update={"size": 6}))
    with pytest.raises(IntegrityError, match="two sizes"):
        pin(sim, store, "team/odd:1.0")


# Layers that may not be distributed


def test_a_foreign_layer_that_is_elsewhere_is_refused(
    sim: RegistrySimulator, store: LocalStore, raw: RawContent
) -> None:
    """A layer that its registry does not hold cannot be bundled: the plan says so, not the pull."""
    layer = Descriptor(media_type=FOREIGN, digest=Digest.of(b"windows"), size=7)
    raw.put_layers("team/windows", "1.0", b"{}", layer)
    with pytest.raises(RefusedError, match="may not be distributed"):
        pin(sim, store, "team/windows:1.0")


def test_a_foreign_layer_that_is_there_is_carried(sim: RegistrySimulator, store: LocalStore, raw: RawContent) -> None:
    """A registry that holds the layer all the same gives it."""
    layer = raw.put_blob("team/windows", b"windows", FOREIGN)
    raw.put_layers("team/windows", "1.0", b"{}", layer)

    assert layer in pin(sim, store, "team/windows:1.0").blobs


def test_a_foreign_layer_may_be_left_to_the_hosts(sim: RegistrySimulator, store: LocalStore, raw: RawContent) -> None:
    """Where that is allowed the image is pinned without the layer, the lock names it, and the plan says so."""
    layer = Descriptor(media_type=FOREIGN, digest=Digest.of(b"windows"), size=7)
    own = raw.put_blob("team/windows", b"own layer", "application/vnd.oci.image.layer.v1.tar")
    raw.put_layers("team/windows", "1.0", b"{}", own, layer)
    reference = f"{sim.host}/team/windows:1.0"
    definition = BundleDefinition(images=(RequestedImage(reference=reference),), allow_external_layers=True)

    with Registries(TransportSettings(), Credentials()) as registries:
        outcome = plan_bundle(definition, registries, store)

    (image,) = outcome.lock.images
    assert image.external == (layer,)
    assert [blob.size for blob in image.blobs] == [2, 9]
    assert [f"{reference}: " in warning and "(1, 7 B)" in warning for warning in outcome.warnings] == [True]


# What moves


def test_no_blob_moves(sim: RegistrySimulator, store: LocalStore) -> None:
    """Each manifest is asked for once, and nothing else is."""
    pin(sim, store, "team/both:1.0")

    assert {each.method for each in sim.requests} == {"GET"}
    assert sim.count("GET", "/manifests/") == len(BOTH.manifests)
    assert sim.count(path="/blobs/") == 0


def test_a_pull_asks_for_no_manifest_again(sim: RegistrySimulator, store: LocalStore) -> None:
    """The manifests that the plan has read are in the store: each request counts against a budget."""
    locked = pin(sim, store, "team/both:1.0")
    sim.forget_requests()
    pull_content(Registry(sim.host, TransportSettings(), Credentials()), "team/both", locked.content, store)

    assert (sim.count(path="/manifests/"), sim.count("GET", "/blobs/")) == (0, len(BOTH.blobs))


def test_a_second_plan_asks_for_tags_only(sim: RegistrySimulator, store: LocalStore) -> None:
    """What the store has is not asked for again, also where several images share a manifest."""
    pin(sim, store, "team/both:1.0")
    sim.forget_requests()
    again = pin(sim, store, "team/both:1.0")

    assert [each.path for each in sim.requests] == ["/v2/team/both/manifests/1.0"]
    assert len(again.manifests) == len(BOTH.manifests)


def test_a_damaged_manifest_in_the_store_is_fetched_anew(sim: RegistrySimulator, store: LocalStore) -> None:
    """What an earlier plan kept is not believed blindly, and mended without a word from the operator."""
    first = pin(sim, store, "team/both:1.0")
    path = store.path(first.manifests[0].digest)
    damaged = bytearray(path.read_bytes())
    damaged[10] ^= 1
    path.chmod(0o644)
    path.write_bytes(damaged)

    assert pin(sim, store, "team/both:1.0") == first
    assert Digest.of(path.read_bytes()) == first.manifests[0].digest


def test_a_tag_that_moves_changes_nothing_that_is_planned(sim: RegistrySimulator, store: LocalStore) -> None:
    """What the one request for the tag gave is what is locked and pulled, wherever the tag goes next."""
    other = make_image("team/both", tag="2.0")
    sim.put_image(other)
    sim.move_tag("team/both", "1.0", other.root.digest, after_requests=1)

    locked = pin(sim, store, "team/both:1.0")
    pull_content(Registry(sim.host, TransportSettings(), Credentials()), "team/both", locked.content, store)

    assert locked.descriptor == BOTH.root
    assert b"".join(store.read(locked.descriptor)) == BOTH.contents[BOTH.root.digest]
    assert sim.count("GET", "/manifests/1.0") == 1


# Whole definitions


def test_the_same_content_gives_the_same_bytes(sim: RegistrySimulator, tmp_path: Path) -> None:
    """Twice planned, with empty and with full stores, the lock is the same to the byte."""
    images = make_image_set(8, 3)
    sim.put_image(*images)
    asked = requested(sim, *images)
    locks = [plan(LocalStore(tmp_path / where), *asked).lock.to_json() for where in ("one", "two", "one")]

    assert (locks[0], len(set(locks))) == (locks[1], 1)


def test_images_keep_the_order_of_the_definition(sim: RegistrySimulator, store: LocalStore) -> None:
    """However the answers come in, the lock has the order of what was asked for."""
    images = make_image_set(8, 3)
    sim.put_image(*images)
    asked = requested(sim, *images)
    random.Random(3).shuffle(asked)
    sim.stall("GET", f"{asked[0].reference.rpartition('/')[2].partition(':')[0]}/", after_bytes=None, seconds=0.2)

    assert [each.reference for each in plan(store, *asked).lock.images] == [each.reference for each in asked]


def test_all_problems_are_found_at_once(sim: RegistrySimulator, store: LocalStore) -> None:
    """Missing, denied and unreachable images are all listed, each with who asks for it; the others are pinned."""
    sim.deny("team/secret")
    names = {
        f"{sim.host}/team/both:1.0": "edge-infra",
        f"{sim.host}/team/both:9.9": "wrong-tag",
        f"{sim.host}/team/nothing:1.0": "wrong-name",
        f"{sim.host}/team/secret:1.0": "no-right",
        "127.0.0.1:1/team/app:1.0": "no-registry",
        "registry.invalid/team/app:1.0": "no-name",
    }
    asked = [
        RequestedImage(reference=name, origins=(Origin(profile=profile, pack="app", path="images[0]"),))
        for name, profile in names.items()
    ]
    found = plan(store, *asked)

    assert [each.reference for each in found.lock.images] == [f"{sim.host}/team/both:1.0"]
    expected = list(names.items())[1:]
    assert len(found.errors) == len(expected)
    for error, (name, profile) in zip(found.errors, expected, strict=True):
        assert error.startswith(f"{name} (asked for by {profile} > app > images[0]): ")
        assert "\n  → " in error


def test_the_problems_end_in_one_error(sim: RegistrySimulator, store: LocalStore) -> None:
    """A plan with problems is none; a plan without raises nothing."""
    asked = requested(sim, BOTH, make_image("team/none"), make_image("team/neither"))
    with pytest.raises(PlanError, match="2 problems stand in the way; nothing was moved") as caught:
        plan(store, *asked).raise_for_errors()

    assert [failure.partition(":1.0")[0] for failure in caught.value.failures] == [
        f"{sim.host}/team/none",
        f"{sim.host}/team/neither",
    ]
    plan(store, asked[0]).raise_for_errors()


def test_a_registry_that_is_not_there_is_asked_once(store: LocalStore) -> None:
    """However many images of a registry are asked for, its absence is found once, and told for each."""
    asked = [RequestedImage(reference=f"127.0.0.1:1/team/app-{number}:1.0") for number in range(40)]
    begun = time.monotonic()
    errors = plan(store, *asked).errors

    assert [error.partition(": ")[0] for error in errors] == [image.reference for image in asked]
    assert all("connection refused" in error for error in errors)
    assert time.monotonic() - begun < 15


def test_whoever_asks_is_counted(sim: RegistrySimulator, store: LocalStore) -> None:
    """An image that many ask for names the first, and how many there are besides."""
    origins = tuple(Origin(profile=f"p{number}", pack="app", path="images[0]") for number in range(3))
    found = plan(store, RequestedImage(reference=f"{sim.host}/team/none:1.0", origins=origins))

    assert "(asked for by p0 > app > images[0] and 2 more)" in found.errors[0]


def test_a_missing_image_says_where_to_look(sim: RegistrySimulator, store: LocalStore) -> None:
    """The registry's own words, and the next step."""
    error = plan(store, *requested(sim, make_image("team/none"))).errors[0]

    assert "404" in error
    assert "check repository and tag" in error


def test_unusable_settings_are_no_problem_of_an_image(
    sim: RegistrySimulator, store: LocalStore, tmp_path: Path
) -> None:
    """A certificate file that holds no certificate is told once, as what it is."""
    nonsense = tmp_path / "ca.pem"
    nonsense.write_text("nonsense")
    with pytest.raises(ConfigurationError, match=r"ca\.pem holds no certificate"):
        plan(store, *requested(sim, BOTH, PLAIN), settings=TransportSettings(ca_cert=nonsense))


def test_reduced_images_are_warned_of(sim: RegistrySimulator, store: LocalStore) -> None:
    """Who reduces indexes is told what becomes of their signatures."""
    warnings = plan(store, *requested(sim, BOTH, PLAIN), architecture="arm64").warnings

    assert len(warnings) == 1
    assert warnings[0].startswith("1 of 2 images were reduced to arm64: signatures on their indexes will not verify")


def test_images_share_what_they_share(sim: RegistrySimulator, store: LocalStore) -> None:
    """A base in two images counts once in the lock's totals."""
    base = SampleLayer("tar", 50_000, seed="base")
    one, two = (make_image(f"team/{name}", layers=(base, SampleLayer())) for name in ("one", "two"))
    sim.put_image(one, two, replace(one, repository="team/again"))
    lock = plan(store, *requested(sim, one, two, replace(one, repository="team/again"))).lock

    blobs = {blob.digest: blob.size for image in (one, two) for blob in image.blobs}
    assert lock.unique_size == sum(blobs.values()) + one.root.size + two.root.size
