"""Many sites at once, and one site again and again: fleets, audits, refreshed bundles."""

import json
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from blocks import BundleArchive
from edgelift.bundle.lock import BundleLock
from edgelift.demo.content import SampleImage, make_image
from edgelift.errors import ConfigurationError, IncompleteError
from edgelift.fleet.summary import FleetSummary
from edgelift.refresh import find_last
from edgelift.site import (
    ArchiveSettings,
    ContentSource,
    EdgeSite,
    RegistryAccess,
    SigningSettings,
    TargetSettings,
)
from flows.audit_site import audit_site
from flows.refresh_bundle import refresh_bundle
from flows.sync_fleet import sync_fleet
from tests.archive.buckets import Bucket
from tests.images import load_image, make_image_set
from tests.integration.prefect_server import Attempt, PrefectServer
from tests.integration.sites import NAME, Site, site_in, sync
from tests.integration.test_day_two import requests_of
from tests.keys import KeyFiles, openssl_accepts
from tests.real_parts import RunningRegistry, RunningS3

ACCESS = RegistryAccess(docker_config=False)


@dataclass(frozen=True)
class Fleet:
    """Sites whose registries are folders of one registry; all that is written lies below `folder`."""

    prefect: PrefectServer
    folder: Path
    source: str
    target: str

    def site(self, name: str, images: Sequence[SampleImage], **settings: Any) -> EdgeSite:
        """A site that needs `images`."""
        references = tuple(f"{self.source}/{image.repository}:{image.tag}" for image in images)
        target = TargetSettings(registry=f"{self.target}/{name}")
        return EdgeSite(name=name, source=ContentSource(images=references), target=target, access=ACCESS, **settings)

    def sync(self, sites: Sequence[EdgeSite], first: Attempt | None = None, **settings: Any) -> Attempt:
        """Synchronise them; after a `first` attempt, retry that."""
        places = {"output": str(self.folder / "output"), "store": str(self.folder / "store")}
        parameters = {"sites": tuple(sites), **places, **settings}
        if first is None:
            return self.prefect.run(sync_fleet, parameters)
        return self.prefect.run_again(sync_fleet, parameters, first)

    @property
    def summary(self) -> FleetSummary:
        """What came of them."""
        return FleetSummary.from_json((self.folder / "output" / "fleet.json").read_bytes(), "fleet.json")

    @property
    def states(self) -> dict[str, str]:
        """The state of each site."""
        return {each.site: each.state for each in self.summary.sites}

    def receipt(self, name: str) -> dict[str, Any]:
        """The receipt of a site."""
        found: dict[str, Any] = json.loads((self.folder / "output" / f"{name}.receipt.json").read_bytes())
        return found

    def written(self, pattern: str) -> list[str]:
        """The files in the output folder that are called like that."""
        return sorted(path.name for path in (self.folder / "output").glob(pattern))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Site]:
    """A source with three images, and a target that can fail."""
    with site_in(tmp_path, 3, multi_arch=0) as site:
        yield site


@pytest.fixture
def fleet(prefect: PrefectServer, place: Site) -> Fleet:
    """Sites between those two."""
    return Fleet(prefect, place.folder, place.source.host, place.target.host)


def sent(place: Site) -> set[str]:
    """The sites that something was sent to."""
    writes = (each for each in place.target.requests if each.method in {"PUT", "POST", "PATCH"})
    return {each.path.split("/")[2] for each in writes}


def ends(fleet: Fleet, attempt: Attempt, number: int, count: int) -> Counter[tuple[str, str]]:
    """How many task runs of each verb of an attempt at a fleet ended in which state, once there are `count` of them."""
    runs = fleet.prefect.task_runs(attempt.run, number, count)
    return Counter((run.name.partition(" ")[0], run.state) for run in runs)


def test_twenty_sites_that_share_two_locks_take_two_builds(
    prefect: PrefectServer, docker_registry: RunningRegistry, tmp_path: Path
) -> None:
    """Each lock is planned, pulled and assembled once, each blob fetched once; every site has a receipt of its own."""
    images = make_image_set(4, multi_arch=1)
    for image in images:
        load_image(docker_registry.host, image.repository, image.tag, image)
    fleet = Fleet(prefect, tmp_path, docker_registry.host, docker_registry.host)
    names = [f"site-{number:02}" for number in range(20)]
    sites = [fleet.site(name, images[:2] if number % 2 else images[2:]) for number, name in enumerate(names)]
    before = len(requests_of(docker_registry))

    attempt = fleet.sync(sites, canaries=("site-03",), parallel=8)

    assert attempt.state == "COMPLETED", attempt.outcome
    assert (attempt.outcome.builds, attempt.outcome.sites) == (2, 20)
    assert len(fleet.written("fleet-*.tar.zst")) == 2
    tasks = ends(fleet, attempt, 1, 1 + 2 * 3 + 2 * 3 + 20 + 1)
    assert {verb: count for (verb, _), count in tasks.items()} == {
        "gather": 1,
        "resolve": 2,
        "log": 2,
        "plan": 2,
        "pull": 4,
        "assemble": 2,
        "deliver": 20,
        "summarise": 1,
    }
    fetched = [
        each["uri"]
        for each in requests_of(docker_registry)[before:]
        if each["method"] == "GET" and each["uri"].startswith("/v2/sample/") and "/blobs/" in each["uri"]
    ]
    assert len({uri.rpartition("/")[2] for uri in fetched}) == len(fetched)
    receipts = [fleet.receipt(name) for name in names]
    assert [each["whole"] for each in receipts] == [True] * 20
    assert [each["registry"] for each in receipts] == [site.target.registry for site in sites]
    assert len({each["lock"] for each in receipts}) == 2
    for each in receipts[:2]:
        lock = BundleLock.from_json((tmp_path / "output" / f"{each['bundle']}.lock.json").read_bytes())
        assert lock.digest == each["lock"]
    assert len(fleet.written("*.site-settings.yaml")) == 20
    assert [each.site for each in fleet.summary.sites if each.canary] == ["site-03"]


def test_a_canary_that_fails_stops_the_rest(fleet: Fleet, place: Site) -> None:
    """Nothing reaches any other site; once it is mended, a retry of the run goes on with all of them."""
    sites = [fleet.site(name, place.images, canary=name == "first") for name in ("third", "second", "first")]
    place.target.deny(f"/first/.*{place.images[0].repository}/manifests/", "PUT")

    failed = fleet.sync(sites)

    assert failed.state == "FAILED"
    assert isinstance(failed.outcome, IncompleteError)
    assert fleet.states == {"first": "failed", "second": "not begun", "third": "not begun"}
    assert fleet.summary.stopped == "the canary first is not whole"
    canary = fleet.summary.sites[2]
    assert (canary.ok, canary.images, canary.moved_bytes > 0) == (2, 3, True)
    assert "403" in canary.why
    assert sent(place) == {"first"}
    page = (fleet.folder / "output" / "fleet.report.html").read_text()
    places = [page.index(text) for text in ("What went wrong", "403", "<h2>3 sites", "<h2>What was built once")]
    assert places == sorted(places)
    assert ("not begun" in page, "2 of 3 are ok" in page) == (True, True)

    place.target.heal()
    retried = fleet.sync(sites, failed)
    assert retried.state == "COMPLETED", retried.outcome
    assert set(fleet.states.values()) == {"whole"}
    assert "What went wrong" not in (fleet.folder / "output" / "fleet.report.html").read_text()


def test_a_retry_leaves_alone_what_is_whole(fleet: Fleet, place: Site) -> None:
    """One failed, and one of the others has lost a tag since: both get it, the third is only looked at.

    One of them is a direct copy, which shares the lock with the bundle of the others.
    """
    sites = [fleet.site(name, place.images, direct=name == "one") for name in ("one", "two", "three")]
    place.target.deny("/two/.*/manifests/", "PUT")
    first = fleet.sync(sites, stop_on_failure_rate=1.0)
    assert (first.state, fleet.states) == ("FAILED", {"one": "whole", "two": "failed", "three": "whole"})
    assert (fleet.summary.builds, len(fleet.written("*.lock.json"))) == (2, 1)

    place.target.heal()
    lost = place.images[1]
    repository = f"three/{place.source.host.replace(':', '_')}/{lost.repository}"
    (place.folder / "target" / "repositories" / repository / "_tags" / lost.tag).unlink()
    place.forget_requests()
    second = fleet.sync(sites, first, stop_on_failure_rate=1.0)

    assert second.state == "COMPLETED", second.outcome
    assert set(fleet.states.values()) == {"whole"}
    assert sent(place) == {"two", "three"}
    tasks = ends(fleet, second, 2, 1 + 3 + 3 + 1 + 1 + 4 + 2 + 1)
    assert (tasks["deliver", "Cached"], tasks["deliver", "Completed"]) == (2, 2)
    assert tasks["validate", "Completed"] == 2
    assert tasks["pull", "Cached"] == 3


def test_what_cannot_be_planned_fails_its_own_sites(fleet: Fleet, place: Site) -> None:
    """The others are delivered all the same, and the table says why, and what to do."""
    strange = make_image("team/nowhere")
    sites = [fleet.site("good", place.images[:1]), fleet.site("bad", [strange])]

    attempt = fleet.sync(sites, stop_on_failure_rate=0.0)

    good, bad = fleet.summary.sites
    assert (attempt.state, good.state, bad.state) == ("FAILED", "whole", "failed")
    assert "team/nowhere" in bad.why
    assert bad.lock is None
    assert fleet.summary.stopped is None


@pytest.fixture
def bucket(prefect: PrefectServer, s3_server: RunningS3) -> Bucket:
    """A bucket, with the block `fleet` for archives in it."""
    bucket = Bucket(s3_server, s3_server.make_bucket(f"fleet-{uuid.uuid4().hex[:12]}"))
    with prefect.as_api():
        BundleArchive(
            bucket=bucket.name,
            **s3_server.access,
        ).save("fleet", overwrite=True)
    return bucket


def test_a_fleet_signs_cuts_and_archives_what_it_builds(fleet: Fleet, place: Site, bucket: Bucket) -> None:
    """Keys, parts and archives are those of each site; a wrong key, or an archive that refuses, fails who names it."""
    keys, stranger = KeyFiles.write(place.folder, "site"), KeyFiles.write(place.folder, "stranger")
    signs = {"signing": SigningSettings(file=str(keys.private)), "public_key": str(keys.public)}
    sites = [
        fleet.site("parted", place.images, part_size=2**20, archive=ArchiveSettings(block="fleet"), **signs),
        fleet.site("signed", place.images, archive=ArchiveSettings(block="fleet"), **signs),
        fleet.site("cheated", place.images, **{**signs, "public_key": str(stranger.public)}),
        fleet.site("shelved", place.images, archive=ArchiveSettings(artifact=f"{place.target.host}/bundles")),
        fleet.site("plain", place.images),
    ]
    place.target.deny("/v2/bundles/")

    attempt = fleet.sync(sites)

    assert attempt.state == "FAILED"
    assert fleet.states == {
        **dict.fromkeys(("parted", "signed", "plain"), "whole"),
        **dict.fromkeys(("cheated", "shelved"), "failed"),
    }
    assert (fleet.summary.builds, [each.sites for each in fleet.summary.shared]) == (
        3,
        [("parted",), ("signed",), ("shelved", "plain")],
    )
    why = {each.site: each.why for each in fleet.summary.sites}
    assert "is not the public half of the key that signs this one" in why["cheated"]
    assert "bundles" in why["shelved"]
    assert sent(place).isdisjoint({"cheated", "shelved"})
    parted, signed = (fleet.receipt(name)["bundle"] for name in ("parted", "signed"))
    assert fleet.written(f"{parted}.tar.zst.part*")[0] == f"{parted}.tar.zst.part-0001"
    assert openssl_accepts(fleet.folder / "output" / f"{signed}.tar.zst", keys.public)
    kept = bucket.state()[0]
    assert {f"{signed}.tar.zst", f"{signed}.tar.zst.sig", f"{signed}.lock.json.sig"} <= set(kept)
    assert any(key.endswith(f"{parted}.tar.zst.parts.json") for key in kept)
    audited = fleet.prefect.run(audit_site, {"site": sites[0], "output": str(fleet.folder / "output")})
    assert audited.state == "COMPLETED", audited.outcome


# Audits


def audit(prefect: PrefectServer, site: Site) -> Attempt:
    """Audit `site` in this process."""
    return prefect.run(audit_site, {"site": site.settings(), **site.places})


def drift_of(site: Site) -> list[tuple[str, str]]:
    """What the last audit has found."""
    found = json.loads((site.folder / "output" / f"{NAME}.drift.json").read_bytes())
    return [(each["change"], each["since"]) for each in found["changes"]]


def test_an_audit_tells_what_has_changed_since_the_delivery(prefect: PrefectServer, site: Site) -> None:
    """A lost tag, a lost layer, and the tag again; the receipt of the delivery stays as it is."""
    unknown = audit(prefect, site)
    assert isinstance(unknown.outcome, ConfigurationError)
    assert "there is no receipt" in unknown.outcome.message
    assert sync(prefect, site).state == "COMPLETED"
    delivered = (site.folder / "output" / f"{NAME}.receipt.json").read_bytes()
    assert (audit(prefect, site).state, drift_of(site)) == ("COMPLETED", [])

    tag = site.folder / "target" / "repositories" / site.repository(site.images[2]) / "_tags" / site.images[2].tag
    stood = tag.read_bytes()
    tag.unlink()
    own = next(blob for blob in site.images[3].blobs if not any(blob in each.blobs for each in site.images[:3]))
    site.lose_blob(own.digest)
    site.forget_requests()
    lost = audit(prefect, site)
    assert isinstance(lost.outcome, IncompleteError)
    assert sorted(drift_of(site)) == [("broken", "this audit"), ("missing", "this audit")]
    assert {each.method for each in site.target.requests} <= {"GET", "HEAD"}

    tag.write_bytes(stood)
    again = audit(prefect, site)
    assert again.state == "FAILED"
    assert sorted(drift_of(site)) == [("broken", "an earlier audit"), ("well again", "this audit")]
    assert (site.folder / "output" / f"{NAME}.receipt.json").read_bytes() == delivered
    assert json.loads((site.folder / "output" / f"{NAME}.audit.json").read_bytes())["whole"] is False
    page = (site.folder / "output" / f"{NAME}.audit.report.html").read_text()
    assert page.index("What went wrong") < page.index("What has changed since the delivery") < page.index("well again")


# Refreshed bundles


def refresh(prefect: PrefectServer, site: Site, first: Attempt | None = None, **settings: Any) -> Attempt:
    """Refresh the bundle of `site`; after a `first` attempt, retry that."""
    parameters = {"name": NAME, "source": site.settings().source, "access": ACCESS, **site.places, **settings}
    if first is None:
        return prefect.run(refresh_bundle, parameters)
    return prefect.run_again(refresh_bundle, parameters, first)


def report_of(site: Site) -> str:
    """The report of the last run."""
    return (site.folder / "output" / f"{NAME}.report.html").read_text()


def test_a_refresh_builds_a_delta_of_what_has_moved(prefect: PrefectServer, site: Site) -> None:
    """The first build is whole; where nothing has moved no blob is asked for; each delta goes on top of the last."""
    first = refresh(prefect, site)
    assert (first.state, Path(first.outcome.bundle.path).name) == ("COMPLETED", f"{NAME}.tar.zst")
    site.forget_requests()
    idle = refresh(prefect, site)
    assert (idle.state, idle.outcome.bundle, idle.outcome.moved_bytes) == ("COMPLETED", None, 0)
    assert {each.method for each in site.source.requests if "/manifests/" in each.path} == {"HEAD"}
    assert site.fetched_blobs == []
    assert "nothing has moved" in report_of(site)

    moved, base = site.images[1], BundleLock.from_json((site.folder / "output" / f"{NAME}.lock.json").read_bytes())
    for version in ("a", "b"):
        newer = make_image(moved.repository, tag=version, seed=version)
        site.source.put_image(newer)
        site.source.move_tag(moved.repository, moved.tag, newer.root.digest)
        site.forget_requests()
        built = refresh(prefect, site)

        lock = BundleLock.from_json(Path(built.outcome.bundle.lock_path).read_bytes())
        assert (built.state, len(built.outcome.moves)) == ("COMPLETED", 1), built.outcome
        assert built.outcome.moves[0].startswith(f"image {site.reference(moved)}: ")
        assert lock.base is not None
        assert lock.base.lock == base.digest
        assert 0 < built.outcome.moved_bytes <= sum(blob.size for blob in newer.blobs)
        base = lock
        assert ("What has moved" in report_of(site), site.reference(moved) in report_of(site)) == (True, True)
    assert refresh(prefect, site).outcome.bundle is None


def test_a_refresh_that_failed_is_not_taken_for_done(prefect: PrefectServer, site: Site) -> None:
    """Its delta stands, and its archive does not have it: the retry archives it, and only then it is the last one."""
    assert refresh(prefect, site).state == "COMPLETED"
    moved = site.images[1]
    newer = make_image(moved.repository, tag="newer", seed="newer")
    site.source.put_image(newer)
    site.source.move_tag(moved.repository, moved.tag, newer.root.digest)
    archive = {"archive": {"artifact": f"{site.target.host}/bundles"}}
    site.target.deny("/v2/bundles/")
    first = refresh(prefect, site, **archive)
    last = find_last(site.folder / "output", NAME)

    site.target.heal()
    second = refresh(prefect, site, first, **archive)

    assert (first.state, second.state) == ("FAILED", "COMPLETED"), second.outcome
    assert last == site.folder / "output" / f"{NAME}.lock.json"
    assert second.outcome.bundle.archived is not None
    assert find_last(site.folder / "output", NAME) == Path(second.outcome.bundle.lock_path)
