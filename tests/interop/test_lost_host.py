"""A host that dies amid a run: found by its heartbeats, and taken over by a worker elsewhere.

Once with a store in a folder that both have, once with nothing in common but S3. Takes three minutes each.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from blocks import BlobStore
from blocks.results import ResultStorage
from deployments.automations.lost_run import MISSED, automations
from edgelift.demo.content import SampleLayer, make_image
from tests.integration.prefect_server import PrefectServer, prefect_server_at, wait_for, worker_of
from tests.integration.sites import NAME, Site
from tests.interop.processes import kill_all
from tests.real_parts import RunningS3
from tests.simulators.registry import RegistrySimulator

HEARTBEAT = 30  # seconds; the least that Prefect takes
IMAGES = 12
MIB = 2**20
PATIENCE = 300.0  # seconds


@dataclass(frozen=True)
class Work:
    """Images of so many bytes, with nothing in common, sent in pieces of so many, with so many seconds in between."""

    size: int
    piece: int
    pause: float


# In S3 each of four pulls loses the 8 MiB that are in no piece yet, and as many again where a piece is on its way:
# that is little of large images only.
WORK = {"folder": Work(2 * MIB, 32 * 1024, 0.1), "S3": Work(128 * MIB, 256 * 1024, 0.03)}
AGAIN = 0.05  # of all bytes may be fetched twice


@pytest.fixture(params=WORK)
def kind(request: pytest.FixtureRequest) -> str:
    """Which store."""
    return str(request.param)


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
def site(tmp_path: Path, kind: str) -> Iterator[Site]:
    """Twelve images behind a slow line."""
    work = WORK[kind]
    layers = (SampleLayer("tar", work.size),)
    images = [make_image(f"sample/image-{number:02}", layers=layers) for number in range(IMAGES)]
    with RegistrySimulator(tmp_path / "source") as source, RegistrySimulator(tmp_path / "target") as target:
        source.put_image(*images)
        source.drip(piece=work.piece, pause=work.pause, times=None)
        yield Site(tmp_path, source, target, images)


@pytest.fixture
def places(kind: str, site: Site, server: PrefectServer, s3_server: RunningS3) -> dict[str, str]:
    """The parameters of the run: a store that both hosts reach, and what they write where they have it in common."""
    save_block(server, s3_server, ResultStorage, f"results-{kind.lower()}")
    if kind == "folder":
        return site.places
    save_block(server, s3_server, BlobStore, "store-s3")
    return {"store": "block:shared"}  # and the bundle lies in the home of each


def save_block(
    server: PrefectServer, s3_server: RunningS3, block: type[ResultStorage] | type[BlobStore], bucket: str
) -> None:
    """Save the block `shared` for a new bucket."""
    place = {"bucket": s3_server.make_bucket(f"lost-runs-{bucket}"), "endpoint": s3_server.endpoint}
    with server.as_api():
        block(**place, access_key=s3_server.access_key, secret_key=s3_server.secret_key).save("shared")


@contextmanager
def host(server: PrefectServer, name: str) -> Iterator[int]:
    """A worker with a home of its own; its process id."""
    home = server.folder / name
    settings = {
        "HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK": "result-storage/shared",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT),
    }
    home.mkdir()
    with worker_of(server, name, **settings) as process:
        yield process.pid


def given_away(site: Site) -> int:
    """The bytes of blobs that the source has sent so far."""
    return sum(each.sent for each in site.source.requests if "/blobs/" in each.path)


@pytest.mark.timeout(600)
def test_a_run_whose_host_has_died_is_finished_by_another(
    kind: str,
    server: PrefectServer,
    site: Site,
    places: dict[str, str],
    record_property: Callable[[str, object], None],
) -> None:
    """With the store and the results in common, little is fetched twice; the first lock is replayed."""
    whole = sum(blob.size for image in site.images for blob in image.blobs)
    with host(server, "host-1") as worker:
        run = server.start(server.deploy(site.settings()), places)
        wait_for(lambda: given_away(site) > whole / 2, "half of the bytes", server.folder / "host-1.log")
        kill_all(worker)
    died, before = time.monotonic(), given_away(site)
    pulled = {path.rpartition("/")[2] for path in site.fetched_blobs}

    with host(server, "host-2"):
        found = wait_for_state(server, run, "Crashed", "AwaitingRetry", "Pending", "Running", "Retrying")
        noticed = time.monotonic() - died
        site.source.heal()
        wait_for_state(server, run, "Completed")

    again = given_away(site) - whole
    figures = {"noticed after, s": round(noticed), "bytes fetched again": again, "of": whole, "sent before": before}
    for name, value in figures.items():
        record_property(name, value)
    print(kind, figures)  # noqa: T201 - the figures are what this test is run for
    receipt = receipt_of(server, site, kind)
    assert (found != "Running", receipt["whole"], server.flow_run(run)["run_count"]) == (True, True, 2)
    assert any("lost: no heartbeat" in message for message in messages_of(server, run))
    assert any(line.startswith("replaying the lock") for line in server.log_of(run))
    assert pulled
    assert again <= AGAIN * whole
    assert noticed < MISSED * HEARTBEAT + 60


def receipt_of(server: PrefectServer, site: Site, kind: str) -> dict[str, Any]:
    """What the second host has written: where both do, or in its own home."""
    if kind == "folder":
        return site.receipt
    path = server.folder / "host-2" / "edgelift" / "sites" / f"{NAME}.receipt.json"
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def wait_for_state(server: PrefectServer, run: str, *names: str) -> str:
    """The name of the state of the second attempt, once it is one of `names`."""
    deadline, name = time.monotonic() + PATIENCE, "unknown"
    while True:
        with suppress(httpx.ReadTimeout):  # a server that is busy with what a worker tells it
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
