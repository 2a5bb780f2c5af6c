"""The environment of all tests, and the real parts as fixtures."""

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

# What is started in the background of a shell ignores SIGINT, and so would all that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Prefect reads these once, at its first import: no database, no result and no call home leaves the test run.
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="edgelift-tests-")
atexit.register(shutil.rmtree, os.environ["PREFECT_HOME"], ignore_errors=True)
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["PREFECT_LOGGING_TO_API_ENABLED"] = "false"
os.environ.setdefault("PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_ENABLED", "false")
for name in ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_PROFILE"):
    os.environ.pop(name, None)
# Nothing a developer has set up may reach the tests, nor a test it.
for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "AWS_PROFILE"):
    os.environ.pop(name, None)
    os.environ.pop(name.lower(), None)

import pytest  # noqa: E402 - after the environment

from tests.real_parts import (  # noqa: E402 - after the environment
    PACKAGES,
    RunningRegistry,
    RunningS3,
    docker_registry_server,
    missing_parts,
    s3_server_at,
    secured_registry_server,
)


@pytest.fixture
def docker_registries(tmp_path: Path) -> Iterator[Callable[[], RunningRegistry]]:
    """Makes fresh, empty registries over plain HTTP, one a call."""
    with ExitStack() as servers:
        count = 0

        def start() -> RunningRegistry:
            nonlocal count
            count += 1
            return servers.enter_context(docker_registry_server(tmp_path / f"docker-registry-{count}"))

        yield start


@pytest.fixture
def docker_registry(docker_registries: Callable[[], RunningRegistry]) -> RunningRegistry:
    """A fresh, empty registry over plain HTTP."""
    return docker_registries()


@pytest.fixture
def secured_registry(tmp_path: Path) -> Iterator[RunningRegistry]:
    """A fresh, empty registry over TLS with a login."""
    with secured_registry_server(tmp_path / "secured-registry") as registry:
        yield registry


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningS3]:
    """A SeaweedFS for the whole run; make a bucket of your own in it."""
    with s3_server_at(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def prefect_api() -> Iterator[None]:
    """A Prefect server with an empty database for the whole run (about ten seconds to start)."""
    from prefect.settings import (  # noqa: PLC0415 - two seconds that only the flow tests pay
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )
    from prefect.testing.utilities import prefect_test_harness  # noqa: PLC0415 - as above

    quiet = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})  # each flow would wait a second for it
    with prefect_test_harness(server_startup_timeout=120), quiet:
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which real parts were not there, so that a green run is not taken for more than it is."""
    if missing_parts:
        wanted = ", ".join(f"{name} ({PACKAGES.get(name, 'unknown package')})" for name in sorted(missing_parts))
        terminalreporter.write_line(f"real parts not found, their tests were skipped: {wanted}", yellow=True)
