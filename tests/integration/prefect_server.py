"""A Prefect server and a process worker of their own, as an operator runs them, and what tests ask of their API.

run = prefect.start(prefect.deploy(site), {"output": …})          # the worker picks it up
assert prefect.wait(run).type == "FAILED"
prefect.retry(run)                                                # what the button in the UI sends
prefect.wait(run)
prefect.task_runs(run, attempt=2, count=46)                       # as the UI lists them
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
import pytest
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State as PrefectState
from prefect.flow_engine import run_flow_sync
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from deployments.deploy_sites import deploy_site
from edgelift.site import EdgeSite
from tests.real_parts import running

POOL = "edge"
PATIENCE = 90.0  # seconds; several times what anything here needs on an idle machine
ROOT = Path(__file__).parents[2]
_FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
Found = TypeVar("Found")


@dataclass(frozen=True)
class State:
    """The state of a flow run as the API shows it."""

    type: str
    name: str
    message: str


@dataclass(frozen=True, order=True)
class TaskRun:
    """One task run as the API shows it; `state` is the state's name, `tries` how often the engine entered it."""

    name: str
    state: str
    tries: int = 1


@dataclass(frozen=True)
class Attempt:
    """What an attempt at a flow run came to; `outcome` is its result, or the error that it ended with."""

    run: str
    state: str
    outcome: Any


@dataclass(frozen=True)
class PrefectServer:
    """A running server; everything of it and of its worker lies in `folder`."""

    folder: Path
    api: str

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to work with this server, and nothing of the developer's own."""
        return {
            "HOME": str(self.folder / "home"),
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_ENABLED": "true",
            "PREFECT_LOGGING_TO_API_ENABLED": "true",
            "PREFECT_CLI_COLORS": "false",
        }

    @property
    def logs(self) -> dict[str, Path]:
        """The standard output and error of the server and of the worker, which repeats that of the runs."""
        return {name: self.folder / f"{name}.log" for name in ("server", "worker")}

    # Deployments and runs

    def deploy(self, site: EdgeSite) -> str:
        """Deploy `site` as `python -m deployments.deploy_sites` does; the deployment's id."""
        with self.as_api():
            return str(deploy_site(site, POOL))

    def start(
        self, deployment: str, parameters: Mapping[str, object], environment: Mapping[str, str] | None = None
    ) -> str:
        """Ask for a run, as the UI's "Custom run" does, with further variables in its `environment`; the run's id."""
        asked = {"parameters": parameters, "job_variables": {"env": environment} if environment else {}}
        run = self.ask("POST", f"/deployments/{deployment}/create_flow_run", asked)
        return str(run["id"])

    def retry(self, run: str) -> None:
        """Exactly what the Retry button sends."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
        answer = self.ask("POST", f"/flow_runs/{run}/set_state", {"state": state, "force": True})
        assert answer["status"] == "ACCEPT"

    def cancel(self, run: str) -> None:
        """Exactly what the Cancel button sends."""
        state = {"type": "CANCELLING", "name": "Cancelling"}
        answer = self.ask("POST", f"/flow_runs/{run}/set_state", {"state": state})
        assert answer["status"] == "ACCEPT"

    def wait(self, run: str) -> State:
        """The state that the run ends in."""
        return wait_for(lambda: self._final_state(run), f"the end of flow run {run}", self.logs["worker"])

    def flow_run(self, run: str) -> dict[str, Any]:
        """The flow run as the API shows it."""
        found: dict[str, Any] = self.ask("GET", f"/flow_runs/{run}")
        return found

    def task_runs(self, run: str, attempt: int, count: int) -> list[TaskRun]:
        """The task runs of one attempt, sorted by name, once `count` are final: the server records them later."""

        def all_of_them() -> list[TaskRun] | None:
            found = self._list_task_runs(run, attempt)
            is_final = all(each["state_type"] in _FINAL for each in found)
            return sorted(map(_task_run, found)) if is_final and len(found) >= count else None

        return wait_for(all_of_them, f"{count} task runs of {run}", self.logs["server"])

    def log_of(self, run: str, last: str = "") -> list[str]:
        """What the run has logged, as the UI shows it, once a line begins with `last`: lines come after states."""
        query = {"logs": {"flow_run_id": {"any_": [run]}}, "limit": 200, "sort": "TIMESTAMP_DESC"}

        def look() -> list[str] | None:
            lines = [str(each["message"]) for each in self.ask("POST", "/logs/filter", query)]
            return lines if any(line.startswith(last) for line in lines) else None

        return wait_for(look, f"{last!r} in the log of {run}", self.logs["server"])

    # Flows in this process, which start in no time

    def run(self, flow: Flow[Any, Any], parameters: Mapping[str, object]) -> Attempt:
        """Run `flow` here, with this server as its API."""
        with self.as_api():
            return _attempt(flow(**parameters, return_state=True))

    def run_again(self, flow: Flow[Any, Any], parameters: Mapping[str, object], first: Attempt) -> Attempt:
        """Retry the run of `first` as the UI does, and carry it out here as a worker would."""
        self.retry(first.run)
        with self.as_api(), get_client(sync_client=True) as client:
            found = client.read_flow_run(UUID(first.run))
            return _attempt(run_flow_sync(flow, found, dict(parameters), return_type="state"))

    # The server itself

    @contextmanager
    def as_api(self) -> Iterator[None]:
        """Flows and blocks used in this process go to this server."""
        # Every flow would wait a second for its heartbeat to end.
        with temporary_settings({PREFECT_API_URL: self.api, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            yield

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """An answer of the API; SQLite's "busy" (503) is asked again, as Prefect's own client does."""

        def answer() -> httpx.Response | None:
            response = httpx.request(method, f"{self.api}{path}", json=body, timeout=PATIENCE, trust_env=False)
            return None if response.status_code == httpx.codes.SERVICE_UNAVAILABLE else response

        response = wait_for(answer, path, self.logs["server"])
        assert response.is_success, response.text
        return response.json() if response.content else None

    def python(
        self, *arguments: object, patience: float = PATIENCE, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `python …` from the root of the project with this server as its API, for `patience` seconds at most."""
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
        )

    def _final_state(self, run: str) -> State | None:
        found = self.flow_run(run)["state"]
        return State(found["type"], found["name"], found["message"] or "") if found["type"] in _FINAL else None

    def _list_task_runs(self, run: str, attempt: int) -> list[dict[str, Any]]:
        query = {"task_runs": {"flow_run_id": {"any_": [run]}}, "limit": 200}
        return [each for each in self.ask("POST", "/task_runs/filter", query) if each["flow_run_run_count"] == attempt]


@contextmanager
def prefect_server_at(folder: Path, **environment: str) -> Iterator[PrefectServer]:
    """A server with an empty database, in SQLite unless its `environment` says otherwise."""
    (folder / "home").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    server = PrefectServer(folder, f"http://127.0.0.1:{port}/api")
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, server.logs["server"], {**server.environment, **environment}) as process:
        wait_for(lambda: _is_healthy(server.api), "Prefect's server", server.logs["server"], process)
        yield server


@contextmanager
def worker_of(server: PrefectServer, name: str = "worker", **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process worker of the pool `POOL`, which it makes; its output goes to NAME.log."""
    settings = {"PREFECT_WORKER_QUERY_SECONDS": "0.5", **environment}
    log = server.folder / f"{name}.log"
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"]
    with running(command, log, {**server.environment, **settings}) as process:
        wait_for(lambda: b"started!" in log.read_bytes(), "the worker", log, process)
        yield process


def wait_for(
    look: Callable[[], Found | None], what: str, log: Path, process: subprocess.Popen[bytes] | None = None
) -> Found:
    """What `look` finds, as soon as it does; the test fails with the end of `log` where it never does."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            pytest.fail(f"waited in vain for {what}; the log says:\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.1)
    return found


def _is_healthy(api: str) -> bool:
    try:
        return httpx.get(f"{api}/health", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _attempt(state: PrefectState[Any]) -> Attempt:
    outcome = state.result(raise_on_failure=False)
    return Attempt(str(state.state_details.flow_run_id), state.type.value, outcome)


def _task_run(found: Mapping[str, Any]) -> TaskRun:
    return TaskRun(found["name"], found["state_name"], found["run_count"])
