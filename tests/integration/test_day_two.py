"""Day two at an air-gapped site: sixty images stand there, three of them change, and only what is new travels.

The registries are real ones, and what they were asked is read from their own logs.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgelift.bundle.lock import BundleLock
from edgelift.demo.content import SampleImage, SampleLayer, make_image
from edgelift.errors import PlanError
from edgelift.site import ContentSource, RegistryAccess, SigningSettings, TargetSettings
from flows.build_bundle import build_bundle
from flows.push_bundle import push_bundle
from flows.rebuild_bundle import rebuild_bundle
from tests.images import load_image
from tests.integration.prefect_server import Attempt, PrefectServer
from tests.keys import KeyFiles
from tests.real_parts import RunningRegistry, docker_registry_server

IMAGES, CHANGED = 60, 3
LARGE = 3 * 2**20  # bytes; of a layer that changes, so that what a bundle needs for itself can be told from content
SMALL = 2_000
MOST = 1.02  # of the changed blobs' bytes, which is all that a delta may have
ACCESS = RegistryAccess(docker_config=False)


def image(number: int, version: int) -> SampleImage:
    """One of the images: a layer that all have, one that no version changes, and one of its own for each version."""
    layers = (
        SampleLayer("gzip", SMALL, seed="in every image"),
        SampleLayer("gzip", SMALL, seed=f"of {number}"),
        SampleLayer("gzip", LARGE if number < CHANGED else SMALL, seed=f"of {number} in {version}"),
    )
    return make_image(f"team/app-{number:02}", tag=f"v{version}", layers=layers)


BEFORE = [image(number, 1) for number in range(IMAGES)]
AFTER = [image(number, 2 if number < CHANGED else 1) for number in range(IMAGES)]


@dataclass(frozen=True)
class Job:
    """Flows from one registry, in one folder."""

    prefect: PrefectServer
    source: RunningRegistry
    folder: Path

    def build(self, name: str, images: Sequence[SampleImage], **parameters: Any) -> Attempt:
        """Build `images` as `name` into a folder of that name, with a store of its own."""
        references = tuple(f"{self.source.host}/{each.repository}:{each.tag}" for each in images)
        places = {"output": str(self.folder / name), "store": str(self.folder / f"{name}-store")}
        source = ContentSource(images=references)
        given = {"name": name, "source": source, "access": ACCESS, **places, **parameters}
        return self.prefect.run(build_bundle, given)

    def push(self, bundle: str, target: RunningRegistry, **parameters: Any) -> Attempt:
        """Push what was built into the folder `bundle`."""
        given = {
            "bundle": str(self.bundle(bundle)),
            "target": TargetSettings(registry=f"{target.host}/edge"),
            "output": str(self.folder / "delivery"),
            "access": ACCESS,
            **parameters,
        }
        return self.prefect.run(push_bundle, given)

    def bundle(self, folder: str) -> Path:
        """The bundle that was built there."""
        return self.folder / folder / f"{folder}.tar.zst"

    def lock(self, folder: str) -> BundleLock:
        """Its lock."""
        return BundleLock.from_json((self.folder / folder / f"{folder}.lock.json").read_bytes())

    def receipt(self, name: str) -> Path:
        """The receipt of the delivery of `name`."""
        return self.folder / "delivery" / f"{name}.receipt.json"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry that has both versions of everything."""
    with docker_registry_server(tmp_path_factory.mktemp("source")) as registry:
        for each in {(each.repository, each.tag): each for each in (*BEFORE, *AFTER)}.values():
            load_image(registry.host, each.repository, each.tag, each)
        yield registry


@pytest.fixture
def job(prefect: PrefectServer, source: RunningRegistry, tmp_path: Path) -> Job:
    """An empty folder, and flows that read from that registry."""
    return Job(prefect, source, tmp_path)


@pytest.mark.timeout(600)
def test_only_what_changed_travels(job: Job, docker_registries: Callable[[], RunningRegistry]) -> None:
    """Small, whole on the site that has the base by its receipt, refused by an empty one before anything is sent."""
    site, empty = docker_registries(), docker_registries()
    job.build("first", BEFORE)
    first = job.push("first", site)
    assert first.state == "COMPLETED", first.outcome
    (job.folder / "delivery" / "first.lock.json").write_bytes(job.lock("first").to_json())  # it comes with the receipt
    asked = len(requests_of(site))

    built = job.build("second", AFTER, base=str(job.receipt("first")))
    pushed = job.push("second", site)
    refused = job.push("second", empty)

    changed = sum(blob.size for blob in job.lock("second").unique_blobs() if is_new(blob.digest))
    size = job.bundle("second").stat().st_size
    assert (built.state, pushed.state) == ("COMPLETED", "COMPLETED"), pushed.outcome
    assert size <= MOST * changed, f"{size:,} bytes for {changed:,} that changed"
    assert built.outcome.transfer.moved_bytes == changed

    receipt = json.loads(job.receipt("second").read_bytes())
    assert (receipt["counts"]["ok"], receipt["whole"]) == (IMAGES, True)
    sent = [each for each in requests_of(site)[asked:] if each["method"] == "PUT" and "/blobs/" in each["uri"]]
    assert len(sent) == len({blob.digest for each in AFTER for blob in each.blobs if is_new(blob.digest)})

    assert isinstance(refused.outcome, PlanError)
    (failure,) = refused.outcome.failures
    assert f"delta of first (lock {job.lock('first').digest})" in failure
    assert [each["method"] for each in requests_of(empty) if each["method"] not in ("GET", "HEAD")] == []


@pytest.mark.timeout(600)
def test_a_signed_delta_of_a_delta(job: Job, docker_registries: Callable[[], RunningRegistry]) -> None:
    """Three days, signed, each on top of the one before; the last is built again from its lock and a bundle here."""
    site, keys = docker_registries(), KeyFiles.write(job.folder, "site")
    signing = SigningSettings(file=str(keys.private))
    days = [BEFORE[:2], [*AFTER[:1], BEFORE[1]], [*AFTER[:2], AFTER[5]]]
    bases: list[str | None] = [None, str(job.folder / "day-0" / "day-0.lock.json"), str(job.bundle("day-1"))]
    for number, (images, base) in enumerate(zip(days, bases, strict=True)):
        built = job.build(f"day-{number}", images, base=base, signing=signing)
        pushed = job.push(f"day-{number}", site, public_key=str(keys.public))
        assert (built.state, pushed.state) == ("COMPLETED", "COMPLETED"), (built.outcome, pushed.outcome)

    lock = job.lock("day-2")
    assert lock.base is not None
    assert lock.base.lock == job.lock("day-1").digest
    again = job.prefect.run(
        rebuild_bundle,
        {
            "name": "day-2",
            "lock_file": str(job.folder / "day-2" / "day-2.lock.json"),
            "output": str(job.folder / "again"),
            "store": str(job.folder / "again-store"),
            "access": ACCESS,
            "signing": signing,
            "public_key": str(keys.public),
            "existing_bundles": (str(job.folder / "day-2"),),
        },
    )
    assert again.state == "COMPLETED", again.outcome
    assert (job.folder / "again" / "day-2.tar.zst").read_bytes() == job.bundle("day-2").read_bytes()
    assert (again.outcome.transfer.moved, again.outcome.transfer.taken_bytes) == (
        0,
        sum(blob.size for blob in lock.unique_blobs() if blob.digest not in lock.left_out),
    )


@pytest.mark.timeout(600)
def test_blobs_come_from_bundles_that_are_here(job: Job) -> None:
    """What a bundle on the disk holds is not asked of the registry, and the result says how much came from where."""
    job.build("old", BEFORE[:3])
    asked = len(requests_of(job.source))

    built = job.build("new", AFTER[:3], existing_bundles=(str(job.bundle("old")),))

    shared = {blob.digest: blob.size for blob in job.lock("old").unique_blobs()}
    blobs = {blob.digest: blob.size for blob in job.lock("new").unique_blobs()}
    fetched = [each for each in requests_of(job.source)[asked:] if "/blobs/" in each["uri"] and each["method"] == "GET"]
    assert built.state == "COMPLETED", built.outcome
    assert built.outcome.transfer.taken_bytes == sum(blobs[digest] for digest in blobs.keys() & shared.keys())
    assert built.outcome.transfer.moved_bytes == sum(blobs[digest] for digest in blobs.keys() - shared.keys())
    assert {each["uri"].rpartition("/")[2] for each in fetched} == blobs.keys() - shared.keys()


def is_new(digest: str) -> bool:
    """Whether only the later version has the blob."""
    return digest not in {blob.digest for each in BEFORE for blob in each.blobs}


def requests_of(registry: RunningRegistry) -> list[dict[str, str]]:
    """Every request that the registry has answered, by its own log."""
    found = []
    for line in registry.log.read_text().splitlines():
        entry = json.loads(line) if line.startswith("{") else {}
        if entry.get("msg", "").startswith("response completed"):  # or "… with error"
            found.append({"method": entry["http.request.method"], "uri": entry["http.request.uri"]})
    return found
