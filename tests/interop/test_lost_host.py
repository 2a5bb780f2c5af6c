"""A host that dies amid a run: found by its heartbeats, and taken over by a worker elsewhere. Takes three minutes."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from blocks.results import ResultStorage
from deployments.automations.lost_run import MISSED, automations
from edgelift.demo.content import SampleLayer, make_image
from tests.integration.prefect_server import PrefectServer, prefect_server_at, wait_for, worker_of
from tests.integration.sites import Site
from tests.real_parts import RunningS3
from tests.simulators.registry import RegistrySimulator

HEARTBEAT = 30  # seconds; the least that Prefect takes
SIZE = 2 * 2**20  # bytes of each image, none of which has anything in common with another
PATIENCE = 300.0  # seconds


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrefectServer]:
    """A server of its own, with the automations for runs that are lost."""
    with prefect_server_at(tmp_path / "prefect") as server:
        with (
            server.as_api(),
            temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: HEARTBEAT}),
            get_client(sync_client=True) as client,
        ):
            for automation in automations():
                client.create_automation(automation)
        yield server


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Twelve images behind a slow line: all of them take about ten seconds."""
    images = [make_image(f"sample/image-{number:02}", layers=(SampleLayer("tar", SIZE),)) for number in range(12)]
    with RegistrySimulator(tmp_path / "source") as source, RegistrySimulator(tmp_path / "target") as target:
        source.put_image(*images)
        source.drip(piece=32 * 1024, pause=0.1, times=None)
        yield Site(tmp_path, source, target, images)


@contextmanager
def host(server: PrefectServer, name: str, results: str) -> Iterator[int]:
    """A worker with a home of its own; its process id."""
    settings = {
        "PREFECT_HOME": str(server.folder / name),
        "PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK": results,
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT),
    }
    with worker_of(server, name, **settings) as process:
        yield process.pid


def kill_host(worker: int) -> None:
    """Kill the worker and all that it has started, at once and beyond recall."""
    doomed = [worker]
    for process in doomed:
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            doomed.extend(map(int, children.read_text().split()))
    for process in doomed:
        os.kill(process, signal.SIGKILL)


def given_away(site: Site) -> int:
    """The bytes of blobs that the source has sent so far."""
    return sum(each.sent for each in site.source.requests if "/blobs/" in each.path)


def save_results(server: PrefectServer, s3_server: RunningS3) -> str:
    """The block of a bucket that keeps results for all workers."""
    bucket = s3_server.make_bucket("results-of-lost-runs")
    block = ResultStorage(
        bucket=bucket, endpoint=s3_server.endpoint, access_key=s3_server.access_key, secret_key=s3_server.secret_key
    )
    with server.as_api():
        block.save("shared")
    return "result-storage/shared"


@pytest.mark.timeout(600)
def test_a_run_whose_host_has_died_is_finished_by_another(
    server: PrefectServer, site: Site, s3_server: RunningS3, record_property: Callable[[str, object], None]
) -> None:
    """With the store and the results in common, hardly a byte is fetched twice; the first lock is replayed."""
    results = save_results(server, s3_server)
    whole = sum(blob.size for image in site.images for blob in image.blobs)
    with host(server, "host-1", results) as worker:
        run = server.start(server.deploy(site.settings()), site.places)
        wait_for(lambda: given_away(site) > whole / 2, "half of the bytes", server.folder / "host-1.log")
        kill_host(worker)
    died, before = time.monotonic(), given_away(site)
    pulled = {path.rpartition("/")[2] for path in site.fetched_blobs}

    with host(server, "host-2", results):
        found = wait_for_state(server, run, "Crashed", "AwaitingRetry", "Pending", "Running", "Retrying")
        noticed = time.monotonic() - died
        site.source.heal()
        wait_for_state(server, run, "Completed")

    again = given_away(site) - whole
    figures = {"noticed after, s": round(noticed), "bytes fetched again": again, "of": whole, "sent before": before}
    for name, value in figures.items():
        record_property(name, value)
    print(figures)  # noqa: T201 - the figures are what this test is run for
    assert (found != "Running", site.receipt["whole"], server.flow_run(run)["run_count"]) == (True, True, 2)
    assert any("lost: no heartbeat" in message for message in messages_of(server, run))
    assert any(line.startswith("replaying the lock") for line in server.log_of(run))
    assert pulled
    assert again <= whole * 0.05
    assert noticed < MISSED * HEARTBEAT + 60


def wait_for_state(server: PrefectServer, run: str, *names: str) -> str:
    """The name of the state of the second attempt, once it is one of `names`."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = server.flow_run(run)
        name = str(found["state"]["name"])
        if name in names and (found["run_count"] > 1 or name not in ("Running", "Completed")):
            return name
        assert time.monotonic() < deadline, (name, (server.folder / "host-2.log").read_text()[-4000:])
        time.sleep(0.5)


def messages_of(server: PrefectServer, run: str) -> list[str]:
    """The messages of all states that the run was in."""
    states = server.ask("GET", f"/flow_run_states/?flow_run_id={run}")
    return [str(state["message"]) for state in states]
