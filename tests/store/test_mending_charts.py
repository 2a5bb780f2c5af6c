"""Charts that no registry has come back into a store: made anew of their archives, and only if these are the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.access import open_registries
from edgelift.bundle.definition import RequestedChart
from edgelift.bundle.lock import BundleLock
from edgelift.demo.charts import make_chart
from edgelift.oci.descriptor import Descriptor
from edgelift.site import RegistryAccess
from edgelift.store.check import StoreCheck, check_store
from edgelift.store.local import LocalStore
from edgelift.store.mending import ChartMending, RegistryMending
from edgelift.store.runs import RunLocks
from tests.charts.delivery import plan, pull
from tests.cli.commands import CommandLine
from tests.simulators.charts import ChartRepositorySimulator

WEB = make_chart("web", "1.2.3")
SIGNED = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nname: web\n"
ARCHIVE = "/stable/web-1.2.3.tgz"


@pytest.fixture
def charts() -> Iterator[ChartRepositorySimulator]:
    """A repository with a signed chart."""
    with ChartRepositorySimulator() as simulator:
        simulator.add(WEB, provenance=SIGNED)
        yield simulator


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An empty store."""
    return LocalStore(tmp_path / "store")


@pytest.fixture
def lock(charts: ChartRepositorySimulator, store: LocalStore) -> BundleLock:
    """The lock of the chart, all of which is in the store under its name."""
    found = plan(store, RequestedChart(repository=charts.url, name="web", version="1.2.3")).lock
    pull(found, store)
    for image in found.images:
        store.tag({image.reference: image.descriptor})
    charts.requests.clear()
    return found


def lose_all(lock: BundleLock, store: LocalStore) -> list[Descriptor]:
    """Remove the chart's content behind the store's back; gives what it was."""
    lost = [*lock.unique_manifests(), *lock.unique_blobs()]
    for descriptor in lost:
        store.path(descriptor.digest).unlink()
    return lost


def mend(store: LocalStore, *locks: BundleLock) -> StoreCheck:
    """Check the store, mending it with what `locks` say of charts."""
    with open_registries(RegistryAccess(docker_config=False)) as connections:
        charts = ChartMending(locks, connections.source_for)
        return check_store(store, sources=[RegistryMending(connections.source, charts)])


def test_a_chart_is_made_anew(lock: BundleLock, store: LocalStore, charts: ChartRepositorySimulator) -> None:
    """Manifest, config, archive and provenance, of one archive that is fetched once; its index is not needed."""
    lost = lose_all(lock, store)
    outcome = mend(store, lock)

    assert {problem.mended_from for problem in outcome.problems} == {f"http://{charts.host}{ARCHIVE}"}
    assert (len(outcome.problems), all(map(store.exists, lost))) == (4, True)
    assert charts.asked == [ARCHIVE, f"{ARCHIVE}.prov"]


def test_an_archive_that_has_changed_mends_nothing(
    lock: BundleLock, store: LocalStore, charts: ChartRepositorySimulator
) -> None:
    """What is there now has other digests; the problem remains, and says of which archive."""
    lose_all(lock, store)
    charts.files[ARCHIVE] = make_chart("web", "1.2.3", appVersion="2")
    (problem,) = mend(store, lock).unmended

    assert "web-1.2.3.tgz is not the chart that was planned any more" in problem.failures[0]
    assert not any(path.startswith("/v2/") for path in charts.asked)


def test_runs_and_locks_say_what_charts_are_made_of(lock: BundleLock, store: LocalStore, tmp_path: Path) -> None:
    """Those of runs are in the store, others are named; without either, nobody knows where a chart is from."""
    command_line = CommandLine(tmp_path)
    lose_all(lock, store)
    command = ("store", "fsck", "--repair", "--store", store.root, "--json")
    without = command_line.run(*command)
    (command_line.folder / "site.lock.json").write_bytes(lock.to_json())
    named = command_line.run(*command, "--repair-lock", "site.lock.json")
    lose_all(lock, store)
    RunLocks(store.root).keep("run", lock)
    of_run = command_line.run(*command)

    assert [(outcome.code, outcome.document["unmended"]) for outcome in (without, named, of_run)] == [
        (3, 1),
        (0, 0),
        (0, 0),
    ]
