"""Prefect's own UI in a real browser, and pictures of it where EDGELIFT_PICTURES names a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.prefect_server import PrefectServer
from tests.interop.tools import find_tool

if TYPE_CHECKING:
    from playwright.sync_api import Page

PATIENCE = 60_000  # milliseconds
MOMENT = 3_000  # milliseconds between two looks at a page that may still be drawn
LOOKS = 15


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


def show_run(page: "Page", server: PrefectServer, run: str, query: str = "") -> None:
    """Go to the page of a flow run."""
    page.goto(f"{ui_of(server)}/runs/flow-run/{run}{query}")


def ui_of(server: PrefectServer) -> str:
    """The address of the UI."""
    return f"{server.api.removesuffix('/api')}/v2"


def choose(page: "Page", item: str) -> None:
    """Take an item of the menu of the page; what it asks then is not answered yet."""
    page.get_by_role("button", name="Open menu").click()
    page.get_by_role("menuitem", name=item, exact=True).click()


def confirm(page: "Page", answer: str) -> None:
    """Click on the button that carries out what was chosen."""
    page.get_by_role("alertdialog").get_by_role("button", name=answer, exact=True).click()


def take_picture(page: "Page", name: str) -> None:
    """Keep what the page shows, where somebody wants it: once it has come to rest, which a graph does step by step."""
    if folder := os.environ.get("EDGELIFT_PICTURES"):
        page.wait_for_timeout(MOMENT)
        before, shown = b"", page.screenshot()
        for _ in range(LOOKS):
            if shown == before:
                break
            page.wait_for_timeout(MOMENT)
            before, shown = shown, page.screenshot()
        (Path(folder) / f"{name}.png").write_bytes(shown)
