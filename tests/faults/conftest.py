"""What the tests of the fault matrix share: a registry that fails on demand, a store, and the table of figures."""

import os
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.faults.children import Children
from tests.faults.silence import SILENCES, Met
from tests.faults.table import FaultTable, Notes
from tests.simulators.registry import RegistrySimulator

Silences = dict[str, Future[Met]]
_LAST = "test_f05_silence_is_noticed_with_the_defaults"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the test that waits a minute behind the others of this folder: its minute passes while they run."""
    here = [item for item in items if item.path.parent == Path(__file__).parent]
    last = [item for item in here if item.name == _LAST]
    if last:
        order = [item for item in here if item not in last] + last
        places = [place for place, item in enumerate(items) if item in here]
        for place, item in zip(places, order, strict=True):
            items[place] = item


@pytest.fixture(scope="session", autouse=True)
def silences(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Silences]:
    """Pulls that meet every kind of silence with the default time-outs, begun with the first test of this folder."""
    is_wanted = any(item.name == _LAST for item in request.session.items)
    with ThreadPoolExecutor(len(SILENCES)) as pool:
        yield {
            what: pool.submit(meet, tmp_path_factory.mktemp("silence"), TransportSettings())
            for what, meet in SILENCES.items()
            if is_wanted
        }


@pytest.fixture(scope="session")
def fault_table() -> Iterator[FaultTable]:
    """All figures of this run; written where `EDGELIFT_FAULT_TABLE` says, if it does."""
    table = FaultTable()
    yield table
    if path := os.environ.get("EDGELIFT_FAULT_TABLE"):
        table.write(Path(path))


@pytest.fixture
def note(fault_table: FaultTable, request: pytest.FixtureRequest) -> Iterator[Notes]:
    """Takes the figures of one test; a test that ends without any shows up as such."""
    found = re.match(r"test_f(\d+)_", request.node.name)
    assert found, "a test of the matrix is named after its row"
    before = len(fault_table.lines)
    notes = Notes(fault_table, int(found[1]))
    yield notes
    if len(fault_table.lines) == before:
        notes(f"`{request.node.name}`", "**not shown in this run: the test was skipped or failed**")


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """An empty registry that fails on demand."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        yield simulator


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An empty store."""
    return LocalStore(tmp_path / "store")


@pytest.fixture(scope="session")
def children() -> Iterator[Children]:
    """A process that has everything loaded, and forks one that works for each job."""
    with Children() as parent:
        yield parent


@pytest.fixture(scope="session")
def api(prefect_api: None) -> str:
    """The address of a Prefect server."""
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415 - the environment of the tests comes first

    return str(PREFECT_API_URL.value())
