"""What the tests of flows, blocks and deployments share: a Prefect server, a worker, and a site to synchronise."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.prefect_server import PrefectServer, prefect_server_at, worker_of
from tests.integration.sites import Site, site_in


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A real Prefect server with an empty database for the whole run (about ten seconds to start)."""
    with prefect_server_at(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.fixture(scope="session")
def worker(prefect: PrefectServer) -> Iterator[PrefectServer]:
    """The server, with a process worker that carries out what is deployed."""
    with worker_of(prefect):
        yield prefect


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Four images to move, one of them for two architectures."""
    with site_in(tmp_path, 4) as site:
        yield site
