"""Charts on their way: planned, pulled, built again from the lock, pushed, and read back byte for byte."""

from collections.abc import Callable, Iterator
from pathlib import Path

import oras.provider
import pytest

from edgelift.bundle.definition import BundleDefinition, Origin, RequestedChart
from edgelift.bundle.diff import compare_locks
from edgelift.bundle.kinds import origins_of
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.summary import summarise
from edgelift.delivery.send import send_image
from edgelift.delivery.target import Target
from edgelift.delivery.validate import validate_lock
from edgelift.demo.charts import DemoChart, build_registry_charts, make_chart
from edgelift.demo.content import make_image
from edgelift.errors import ConfigurationError, IntegrityError, PlanError
from edgelift.oci.digest import Digest
from edgelift.oci.push import KnownBlobs
from edgelift.plan import plan_bundle
from edgelift.store.local import LocalStore
from tests.charts.delivery import deliver, plan, pull
from tests.cosign import attach_sbom, make_key, sign, untag
from tests.delivery.ways import registries_without_waiting
from tests.images import load_image, make_artifact
from tests.real_parts import RunningRegistry
from tests.simulators.charts import ChartRepositorySimulator
from tests.simulators.profiles.distribution import Distribution28
from tests.simulators.registry import RegistrySimulator

WEB = make_chart("web", "1.2.3")
SIGNED = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nname: web\n"
ASKED = Origin(profile="site@1.0.0", pack="web", path="pack.content.charts[0]")


@pytest.fixture
def charts() -> Iterator[ChartRepositorySimulator]:
    """A repository with a signed chart."""
    with ChartRepositorySimulator() as simulator:
        simulator.add(WEB, provenance=SIGNED)
        yield simulator


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry with a chart and an image."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        simulator.put_image(*build_registry_charts([DemoChart("app", "2.0.0+edge.1", "team")]))
        simulator.put_image(make_image("team/image"))
        yield simulator


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An empty store."""
    return LocalStore(tmp_path / "store")


def web(charts: ChartRepositorySimulator, version: str = "1.2.3") -> RequestedChart:
    """The chart of the repository, asked for by a pack."""
    return RequestedChart(repository=charts.url, name="web", version=version, origins=(ASKED,))


def app(registry: RegistrySimulator, version: str = "2.0.0+edge.1") -> RequestedChart:
    """The chart of the registry."""
    return RequestedChart(repository=f"oci://{registry.host}/team", name="app", version=version)


def test_charts_stand_in_the_lock_beside_images(
    charts: ChartRepositorySimulator, registry: RegistrySimulator, store: LocalStore
) -> None:
    """Each says what it is; one that no registry has says what it is made of. The order is that of the references."""
    planned = plan(store, web(charts), app(registry), images=(f"{registry.host}/team/image:1.0",))
    planned.raise_for_errors()

    told = {image.reference: (image.kind, image.archive) for image in planned.lock.images}
    assert told == {
        f"{charts.host}/stable/web:1.2.3": ("chart", f"{charts.url}/web-1.2.3.tgz"),
        f"{registry.host}/team/app:2.0.0_edge.1": ("chart", None),
        f"{registry.host}/team/image:1.0": (None, None),
    }
    assert list(told) == sorted(told)
    assert planned.warnings == ()
    assert BundleLock.from_json(planned.lock.to_json()) == planned.lock


def test_what_was_planned_is_not_fetched_again(charts: ChartRepositorySimulator, store: LocalStore) -> None:
    """A chart has to be read to be pinned, and its bytes stay in the store."""
    lock = plan(store, web(charts)).lock
    asked = len(charts.asked)
    pull(lock, store)

    assert len(charts.asked) == asked


def test_a_lock_gives_the_same_from_an_empty_store(
    charts: ChartRepositorySimulator, store: LocalStore, tmp_path: Path
) -> None:
    """The archive and its provenance are fetched again, and nothing else: the index may have changed."""
    lock, other = plan(store, web(charts, "^1")).lock, LocalStore(tmp_path / "other")
    del charts.requests[:], charts.entries["web"]
    pull(lock, other)

    assert sorted(charts.asked) == ["/stable/web-1.2.3.tgz", "/stable/web-1.2.3.tgz.prov"]
    (image,) = lock.images
    contents = [b"".join(other.read(each)) for each in (*image.manifests, *image.blobs)]
    assert {WEB, SIGNED} < set(contents)
    assert [Digest.of(each) for each in contents] == [each.digest for each in (*image.manifests, *image.blobs)]


CHANGES = {
    "another archive": {"/stable/web-1.2.3.tgz": make_chart("web", "1.2.3", appVersion="2")},
    "another signature": {"/stable/web-1.2.3.tgz.prov": SIGNED + b"more"},
    "no archive any more": {"/stable/web-1.2.3.tgz": b"<html></html>"},
}


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES)
def test_a_changed_archive_is_not_taken(
    charts: ChartRepositorySimulator, store: LocalStore, tmp_path: Path, changed: dict[str, bytes]
) -> None:
    """A rebuild gives the very digests or an error that says what has changed."""
    lock = plan(store, web(charts)).lock
    charts.files |= changed
    with pytest.raises(IntegrityError, match=r"web-1\.2\.3\.tgz"):
        pull(lock, LocalStore(tmp_path / "other"))


def test_every_problem_is_found_at_once(
    charts: ChartRepositorySimulator, registry: RegistrySimulator, store: LocalStore
) -> None:
    """Of images and charts, each with who asked for it."""
    planned = plan(
        store,
        web(charts, "3.x"),
        app(registry, "9.9.9"),
        RequestedChart(repository="s3://bucket", name="web", version="1.0.0"),
        RequestedChart(repository=f"oci://{registry.host}/team", name="image", version="1.0"),
        images=(f"{registry.host}/team/missing:1.0",),
    )
    with pytest.raises(PlanError) as caught:
        planned.raise_for_errors()

    assert len(caught.value.failures) == 5
    assert f"chart web 3.x of {charts.url} (asked for by {ASKED})" in str(caught.value)


def test_one_chart_asked_for_in_several_ways(charts: ChartRepositorySimulator, store: LocalStore) -> None:
    """Is there once, with everyone who asked for it."""
    other = ASKED.model_copy(update={"pack": "other"})
    asked = (web(charts), web(charts, "^1").model_copy(update={"origins": (other,)}))
    lock = plan(store, *asked).lock

    reference = f"{charts.host}/stable/web:1.2.3"
    assert [image.reference for image in lock.images] == [reference]
    assert origins_of(lock)[reference] == (ASKED, other)


def test_an_image_that_is_a_chart(registry: RegistrySimulator, store: LocalStore) -> None:
    """A chart that somebody lists among images, too, is one entry, and a chart."""
    reference = f"{registry.host}/team/app:2.0.0_edge.1"
    lock = plan(store, app(registry), images=(reference,)).lock

    assert [(image.reference, image.kind) for image in lock.images] == [(reference, "chart")]


def test_summaries_and_comparisons_say_what_is_a_chart(charts: ChartRepositorySimulator, store: LocalStore) -> None:
    """With where it is asked for."""
    lock = plan(store, web(charts)).lock
    (entry,) = summarise(lock)["images"]
    (change,) = compare_locks(BundleLock(definition=BundleDefinition(), images=()), lock).added

    assert (entry["kind"], entry["origins"]) == ("chart", [ASKED.model_dump()])
    assert (change.kind, change.origins) == ("chart", (ASKED,))


def test_a_lock_takes_archives_of_charts_only(charts: ChartRepositorySimulator, store: LocalStore) -> None:
    """An image is read from its registry, whatever a lock says; an archive has a web address."""
    text = plan(store, web(charts)).lock.to_json().decode()
    for before, after in (('"kind": "chart"', '"kind": "pack"'), (f'"archive": "{charts.url}', '"archive": "file://')):
        with pytest.raises(ConfigurationError):
            BundleLock.from_json(text.replace(before, after))


# What refers to charts and packs


(CHART,) = build_registry_charts([DemoChart("app", "2.0.0+edge.1", "team")])
PACK = make_artifact("team/spectro-packs/archive/web", "1.0.0", payload=b"the archive of a pack")


def attach_all(registry: RegistrySimulator) -> None:
    """Sign a chart and a pack, and attach an SBOM to each."""
    for artifact in (CHART, PACK):
        sbom = untag(attach_sbom(artifact.root, artifact.repository))
        registry.put_image(artifact, sbom, sign(artifact.root, make_key(), artifact.repository))


def asked_of(registry: RegistrySimulator, **fields: object) -> BundleDefinition:
    """The chart and the pack of the registry."""
    packs = [{"reference": f"{registry.host}/{PACK.repository}:{PACK.tag}"}]
    return BundleDefinition.model_validate({"charts": [app(registry)], "packs": packs, **fields})


def lock_with_referrers(registry: RegistrySimulator, store: LocalStore, **fields: object) -> BundleLock:
    """The lock of both, in which nothing is wrong."""
    with registries_without_waiting() as registries:
        planned = plan_bundle(asked_of(registry, **fields), registries, store)
    planned.raise_for_errors()
    return planned.lock


def test_signatures_of_charts_and_packs_are_found(registry: RegistrySimulator, store: LocalStore) -> None:
    """As those of images are: by cosign's tags, and by what names them as its subject."""
    attach_all(registry)
    images = lock_with_referrers(registry, store).images

    assert [(image.kind, image.is_signed, len(image.referrers)) for image in images] == [
        ("chart", True, 2),
        ("pack", True, 2),
    ]


def test_signatures_of_charts_are_left_behind_where_nobody_wants_any(
    registry: RegistrySimulator, store: LocalStore
) -> None:
    """And a chart without one is none that has to have one: only images have to be signed."""
    attach_all(registry)
    without = lock_with_referrers(registry, store, signatures=False)
    registry.put_image(*build_registry_charts([DemoChart("plain", "1.0.0", "team")]))
    plain = RequestedChart(repository=f"oci://{registry.host}/team", name="plain", version="1.0.0")
    required = lock_with_referrers(registry, store, charts=[plain], packs=None, require_signatures=True)

    assert [image.referrers for image in (*without.images, *required.images)] == [()] * 3


def test_a_chart_whose_signatures_cannot_be_told_fails_the_plan(registry: RegistrySimulator, store: LocalStore) -> None:
    """No answer is not "there is none"; the chart is named."""
    registry.deny(f"/v2/{CHART.repository}/referrers/")
    with registries_without_waiting() as registries:
        planned = plan_bundle(BundleDefinition(charts=(app(registry),)), registries, store)

    (error,) = planned.errors
    assert error.startswith("chart app 2.0.0+edge.1 ")
    assert "cannot be told" in error


def test_a_chart_of_a_repository_over_http_has_its_provenance_alone(
    charts: ChartRepositorySimulator, store: LocalStore
) -> None:
    """It is made of an archive, to which nothing can refer; nobody is asked."""
    lock = plan(store, web(charts)).lock

    assert [image.referrers for image in lock.images] == [()]
    assert not any("sha256" in path for path in charts.asked)


@pytest.mark.parametrize("with_lists", [True, False])
def test_what_refers_to_charts_and_packs_arrives(
    with_lists: bool, registry: RegistrySimulator, store: LocalStore, tmp_path: Path
) -> None:
    """It is found at a target with the referrers API, and at one without; the receipt counts it."""
    attach_all(registry)
    lock = lock_with_referrers(registry, store)
    profile = None if with_lists else Distribution28()
    with (
        RegistrySimulator(tmp_path / "target", profile=profile) as sim,
        registries_without_waiting() as registries,
    ):
        target, client = Target.parse(f"{sim.host}/edge"), registries.registry(sim.host)
        for image in lock.images:
            source = registries.source(registry.host, image.reference.partition("/")[2].rpartition(":")[0])
            for name in target.names_of(image):
                send_image(image, store, client, name, copied_from=source, known=KnownBlobs())
        receipt = validate_lock(lock, target, client)

    told = [(proof.kind, proof.verdict, proof.signed, proof.carried, proof.arrived) for proof in receipt.proofs]
    assert told == [("chart", "ok", True, 2, 2), ("pack", "ok", True, 2, 2)]


def test_charts_arrive_at_a_real_registry_byte_for_byte(
    charts: ChartRepositorySimulator,
    docker_registries: Callable[[], RunningRegistry],
    store: LocalStore,
    tmp_path: Path,
) -> None:
    """One of an HTTP repository and one of a registry, pushed, proved, and pulled back by oras."""
    source, archive = docker_registries(), make_chart("app", "2.0.0+edge.1")
    (chart,) = build_registry_charts([DemoChart("app", "2.0.0+edge.1", "team")])
    load_image(source.host, chart.repository, chart.tag, chart)
    target = Target.parse(f"{docker_registries().host}/edge")
    asked = RequestedChart(repository=f"oci://{source.host}/team", name="app", version="^2")
    lock = plan(store, web(charts), asked).lock
    pull(lock, store)
    receipt = deliver(lock, store, target)

    assert receipt.is_whole
    assert {proof.kind for proof in receipt.proofs} == {"chart"}
    places = [proof.target for proof in receipt.proofs]
    pulled = {path.name: path.read_bytes() for place in places for path in pull_with_oras(place, tmp_path / "oras")}
    assert {WEB, SIGNED, archive} <= set(pulled.values())


def pull_with_oras(place: str, folder: Path) -> list[Path]:
    """The layers of the artifact at `place`, each in a file named by its digest."""
    folder.mkdir(exist_ok=True)
    client = oras.provider.Registry(insecure=True)
    container = client.get_container(place)
    paths = []
    for layer in client.get_manifest(container)["layers"]:
        path = folder / layer["digest"].partition(":")[2]
        client.download_blob(container, layer["digest"], str(path))
        paths.append(path)
    return paths
