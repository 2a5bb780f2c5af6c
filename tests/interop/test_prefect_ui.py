"""The Retry button of Prefect's own UI in a real browser; takes screenshots where EDGELIFT_PICTURES names a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.prefect_server import PrefectServer, prefect_server_at, wait_for, worker_of
from tests.integration.sites import Site, content_requests, site_in
from tests.interop.tools import find_tool

if TYPE_CHECKING:
    from playwright.sync_api import Page

WHOLE = {"ok": 20, "differs": 0, "missing": 0, "not-checkable": 0}
PATIENCE = 60_000  # milliseconds


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[PrefectServer]:
    """A server and a process worker of their own: what is in the pictures is what this test has made."""
    with prefect_server_at(tmp_path / "prefect") as server, worker_of(server):
        yield server


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Twenty small images."""
    with site_in(tmp_path, 20, multi_arch=5) as site:
        yield site


@contextmanager
def browser_page() -> "Iterator[Page]":
    """A page of a browser without a window; the test fails with how to install what is missing."""
    chromium = find_tool("chromium", "Debian package chromium")
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not among the project's own dependencies
    except ImportError:
        pytest.fail("playwright is not installed: pip install playwright (its own browsers are not needed)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(PATIENCE)
        yield page
        browser.close()


def take_picture(page: "Page", name: str) -> None:
    """Keep what the page shows, where somebody wants it."""
    if folder := os.environ.get("EDGELIFT_PICTURES"):
        page.wait_for_timeout(6000)  # the graph moves into its place
        page.screenshot(path=Path(folder) / f"{name}.png")


def test_the_retry_button_repeats_only_what_failed(worker: PrefectServer, site: Site) -> None:
    """Three of twenty pulls fail; a click and a confirmation later these three are pulled, and all is delivered."""
    failing = [site.images[number] for number in (3, 7, 11)]
    for image in failing:
        site.source.deny(f"/{image.repository}/blobs/")
    deployment = worker.deploy(site.settings())
    run = worker.start(deployment, site.places)
    assert worker.wait(run).type == "FAILED"
    site.source.heal()
    site.forget_requests()

    with browser_page() as page:
        base = f"{worker.api.removesuffix('/api')}/v2"
        page.goto(f"{base}/runs/flow-run/{run}")
        page.get_by_role("button", name="Open menu").click()
        page.get_by_role("menuitem", name="Retry").click()
        take_picture(page, "retry")
        page.get_by_role("alertdialog").get_by_role("button", name="Retry").click()
        wait_for(lambda: worker.flow_run(run)["run_count"] > 1, "the second attempt", worker.logs["worker"])
        second = worker.wait(run)
        page.goto(f"{base}/runs/flow-run/{run}")
        take_picture(page, "run")
        page.goto(f"{base}/runs/flow-run/{run}?tab=Artifacts")
        take_picture(page, "artifacts")
        page.goto(f"{base}/deployments/deployment/{deployment}/run")
        take_picture(page, "form")

    assert (second.type, worker.flow_run(run)["run_count"]) == ("COMPLETED", 2)
    assert content_requests(site.source, "GET", "HEAD") == {image.repository for image in failing}
    assert (site.receipt["counts"], site.receipt["whole"]) == (WHOLE, True)
    assert [site.delivered(image) for image in site.images] == [image.root.digest for image in site.images]
