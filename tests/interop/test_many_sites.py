"""Two hundred site files, deployed twice: how long it takes on either of Prefect's databases."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.prefect_server import POOL, PrefectServer
from tests.interop.installations import DATABASES, prefect_on

SITES = 200
SITE = """
name: site-{number:03}
description: Site {number:03} of many.
source: {{profiles: [edge-infra@1.0.0, apps], project: Default, palette: palette}}
target: {{registry: "site-{number:03}.example:5000/spectro-images"}}
access: {{registries: [source, site-{number:03}]}}
schedule: {{cron: {minute} 2 * * *, timezone: Europe/Berlin}}
"""


@pytest.fixture(params=DATABASES)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PrefectServer]:
    """A server of its own, with the work pool of the deployments."""
    with prefect_on(request.param, tmp_path / "prefect") as server:
        server.ask("POST", "/work_pools/", {"name": POOL, "type": "process"})
        yield server


@pytest.mark.timeout(600)
def test_many_sites_are_deployed_and_left_alone(
    server: PrefectServer, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Each is written the first time, and none the second time."""
    folder = tmp_path / "sites"
    folder.mkdir()
    for number in range(SITES):
        (folder / f"{number:03}.yaml").write_text(SITE.format(number=number, minute=number % 60))

    for verb in ("created", "unchanged"):
        began = time.monotonic()
        done = server.python("-m", "deployments.deploy_sites", folder, patience=500)
        seconds = round(time.monotonic() - began, 1)
        record_property(verb, seconds)
        print(verb, seconds, "s")  # noqa: T201 - the figures are what this test is run for
        assert done.stdout.splitlines()[-1:] == [f"{SITES} sites: {SITES} {verb}"], done.stderr
