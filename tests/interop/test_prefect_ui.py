"""Retry and Cancel of Prefect's own UI in a real browser, on either of its databases.

Where EDGELIFT_PICTURES names a folder, screenshots are kept in it.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edgelift.site import EdgeSite
from edgelift.timetable import Schedule
from tests.integration.prefect_server import PrefectServer, wait_for, worker_of
from tests.integration.sites import NAME, Site, content_requests, site_in
from tests.integration.test_cancelling import MANIFEST, arrived
from tests.interop.browser import browser_page, choose, confirm, show_run, take_picture, ui_of
from tests.interop.installations import DATABASES, prefect_on
from tests.interop.processes import descendants, is_gone
from tests.simulators.registry import RegistrySimulator

WHOLE = {"ok": 20, "differs": 0, "missing": 0, "not-checkable": 0}
SOON = 10.0  # seconds in which a cancelled run has to have ended
MARGIN = timedelta(seconds=20)  # in which a site has to be deployed before its schedule starts a run

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(params=DATABASES)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PrefectServer]:
    """A server of its own: what is in the pictures is what this test has made."""
    with prefect_on(request.param, tmp_path / "prefect") as server:
        yield server


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Twenty small images."""
    with site_in(tmp_path, 20, multi_arch=5) as site:
        yield site


# Retry


def test_the_retry_button_repeats_only_what_failed(server: PrefectServer, site: Site) -> None:
    """Of a run that its schedule has started: three of twenty pulls failed, and these three are pulled again."""
    failing = [site.images[number] for number in (3, 7, 11)]
    for image in failing:
        site.source.deny(f"/{image.repository}/blobs/")

    with worker_of(server), browser_page() as page:
        deployment = server.deploy(scheduled(site.settings()))
        run = run_of_the_schedule(server, deployment)
        first = server.wait(run)
        site.source.heal()
        site.forget_requests()
        show_run(page, server, run)
        choose(page, "Retry")
        take_picture(page, "retry")
        confirm(page, "Retry")
        wait_for(lambda: server.flow_run(run)["run_count"] > 1, "the second attempt", server.logs["worker"])
        second = server.wait(run)
        show_run(page, server, run)
        take_picture(page, "run")
        show_run(page, server, run, "?tab=Artifacts")
        take_picture(page, "artifacts")
        page.goto(f"{ui_of(server)}/deployments/deployment/{deployment}/run")
        take_picture(page, "form")

    found, receipt = server.flow_run(run), receipt_of(server)
    assert found["auto_scheduled"]
    assert (first.type, second.type, found["run_count"]) == ("FAILED", "COMPLETED", 2)
    assert content_requests(site.source, "GET", "HEAD") == {image.repository for image in failing}
    assert (receipt["counts"], receipt["whole"]) == (WHOLE, True)
    assert [site.delivered(image) for image in site.images] == [image.root.digest for image in site.images]


def scheduled(settings: EdgeSite) -> EdgeSite:
    """The site with a schedule that starts one run soon, and the next in a year."""
    moment = datetime.now(UTC) + MARGIN + timedelta(minutes=1)
    schedule = Schedule(cron=f"{moment.minute} {moment.hour} {moment.day} {moment.month} *")
    return settings.model_copy(update={"schedule": schedule})


def run_of_the_schedule(server: PrefectServer, deployment: str) -> str:
    """The run that the schedule of a deployment has made, once a worker has taken it."""
    query = {"deployments": {"id": {"any_": [deployment]}}}

    def made() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = server.ask("POST", "/flow_runs/filter", query)
        return found

    wait_for(made, "a run of the schedule", server.logs["server"])
    wait_for(lambda: made()[0]["state_type"] != "SCHEDULED", "its beginning", server.logs["worker"])
    (run,) = made()
    return str(run["id"])


def receipt_of(server: PrefectServer) -> dict[str, Any]:
    """What a run with nothing but defaults leaves in the home of the worker."""
    path = server.folder / "home" / "edgelift" / "sites" / f"{NAME}.receipt.json"
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


# Cancel

SLOW: dict[str, Callable[[RegistrySimulator], None]] = {
    "trickling": lambda source: source.drip(piece=2000, pause=0.5, times=None),
    "silent": lambda source: source.stall(after_bytes=3 * MANIFEST, times=None),
}


@pytest.mark.parametrize("make_slow", SLOW.values(), ids=SLOW)
def test_a_click_on_cancel_ends_a_run_soon(
    server: PrefectServer,
    site: Site,
    make_slow: Callable[[RegistrySimulator], None],
    record_property: Callable[[str, object], None],
) -> None:
    """Downloads that would take minutes, or for ever: the run and its process end, and a new run goes on from there."""
    make_slow(site.source)
    with worker_of(server) as worker, browser_page() as page:
        deployment = server.deploy(site.settings())
        run = server.start(deployment, site.places)
        wait_for(lambda: max(arrived(site).values(), default=0) > MANIFEST, "part of a blob", server.logs["worker"])
        processes = descendants(worker.pid)
        show_run(page, server, run)
        choose(page, "Cancel")
        confirm(page, "Cancel Flow Run")
        figures = seconds_until(
            {
                "Cancelled in the API": lambda: server.flow_run(run)["state"]["name"] == "Cancelled",
                "its process gone": lambda: all(map(is_gone, processes)),
            },
            server,
        )
        kept = arrived(site)
        site.source.heal()
        site.forget_requests()
        again = server.wait(server.start(deployment, site.places))

    for name, value in figures.items():
        record_property(name, value)
    print(figures)  # noqa: T201 - the figures are what this test is run for
    assert processes
    assert max(figures.values()) < SOON
    assert max(kept.values()) > MANIFEST
    assert (again.type, site.receipt["whole"]) == ("COMPLETED", True)
    asked = {each.path.rpartition("/")[2]: each.headers.get("range") for each in site.source.requests}
    assert {name: asked[f"sha256:{name}"] for name in kept} == {name: f"bytes={size}-" for name, size in kept.items()}


def seconds_until(events: Mapping[str, Callable[[], bool]], server: PrefectServer) -> dict[str, float]:
    """How many seconds from now each of `events` is seen for the first time."""
    began, seen = time.monotonic(), dict[str, float]()

    def look() -> bool:
        happened = [name for name, has_happened in events.items() if name not in seen and has_happened()]
        seen.update(dict.fromkeys(happened, round(time.monotonic() - began, 1)))
        return len(seen) == len(events)

    wait_for(look, f"all of {list(events)}", server.logs["worker"])
    return seen
