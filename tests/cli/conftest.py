"""What the tests of the command line share."""

from pathlib import Path

import pytest

from tests.cli.commands import CommandLine


@pytest.fixture
def command_line(tmp_path: Path) -> CommandLine:
    """The command line in an empty folder, without a Prefect server."""
    return CommandLine(tmp_path)


@pytest.fixture(scope="session")
def api(prefect_api: None) -> str:
    """The address of a Prefect server, which spares each command the start of its own."""
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415 - the environment of the tests comes first

    return str(PREFECT_API_URL.value())
