"""Prefect's API for the command line: the server configured, the one `edgelift up` started, or an embedded one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from edgelift.access import cache_folder
from edgelift.cli.console import show_run_log, tell
from edgelift.cli.starting import allow_plugins
from edgelift.documents import write_document
from edgelift.errors import ConfigurationError

START_LIMIT = 60.0  # seconds; migrations of a fresh database take 15


@contextmanager
def running_api(*, quiet: bool) -> Iterator[None]:
    """An environment in which a flow can run: telemetry off, the engine's own log silent, the API found or started."""
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "90")
    api = os.environ.get("PREFECT_API_URL") or _started_api()
    if api is not None:
        os.environ["PREFECT_API_URL"] = api
    embedded = "starting Prefect's embedded API (7-15 s; `edgelift up` keeps one running) …"
    place = embedded if api is None else f"using Prefect at {_answering(api)}"
    if not quiet:
        tell(place)
    import prefect.main  # noqa: F401, PLC0415 - sets up Prefect's logging, which ours hangs on to

    allow_plugins()  # here, as most of Prefect is loaded now, and its server, if one is needed, is not started yet
    show_run_log(quiet=quiet)
    with _no_heartbeats():
        yield


def _no_heartbeats() -> AbstractContextManager[object]:
    """Settings in which a run sends no heartbeats.

    They find runs of deployments whose host is lost. One that was begun by hand nobody can begin again, and Prefect
    waits up to a second at its end until they stop.
    """
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings  # noqa: PLC0415 - Prefect is slow

    return temporary_settings(updates={PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})


def start_server(host: str, port: int, *, stop: bool = False) -> str:
    """Start a Prefect server that outlives this command, or `stop` it; says what was done."""
    running = _read_note()
    if stop:
        return _stop(running)
    if _started_api() is not None and running is not None:
        return f"Prefect is up already: {running['ui']}"
    log = cache_folder() / "prefect-server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", host, "--port", str(port)]
    allow_plugins()
    environment = os.environ | {"PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    with log.open("ab") as output:
        server = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    ui = f"http://{host}:{port}"
    _await_health(f"{ui}/api", server, log)
    write_document(_note_path(), json.dumps({"pid": server.pid, "api": f"{ui}/api", "ui": ui}).encode())
    return f"Prefect is up: {ui} (log: {log}; stop it with `edgelift up --stop`)"


def _stop(running: dict[str, Any] | None) -> str:
    if running is None:
        return "no Prefect server of ours is running"
    _note_path().unlink(missing_ok=True)
    if not _is_server(running["pid"]):
        return "the Prefect server had stopped already"
    with suppress(ProcessLookupError):
        os.kill(running["pid"], signal.SIGTERM)
    return "the Prefect server is stopping"


def _is_server(pid: int) -> bool:
    """Whether a Prefect server has that number: it may be another program's by now."""
    try:
        return {b"prefect", b"server"} <= set(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"))
    except OSError:
        return not Path("/proc").is_dir()  # on a system without it the note has to be believed


def _started_api() -> str | None:
    running = _read_note()
    return running["api"] if running is not None and _is_healthy(running["api"]) else None


def _await_health(api: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT
    while not _is_healthy(api):
        if server.poll() is not None or time.monotonic() > deadline:
            server.terminate()
            raise ConfigurationError(
                f"Prefect's server did not start at {api}",
                hint=f"its log is {log}; the port may be taken, choose another with --port",
            )
        time.sleep(0.25)


def _answering(api: str) -> str:
    """The address of the API, for people; raises `ConfigurationError` where nothing answers there."""
    try:
        httpx.get(f"{api}/health", timeout=10)
    except (httpx.HTTPError, httpx.InvalidURL):
        raise ConfigurationError(
            "no Prefect server answers at the address in PREFECT_API_URL",
            hint="start that server, or unset PREFECT_API_URL: an embedded one is started then",
        ) from None
    return str(httpx.URL(api).copy_with(userinfo=b""))


def _is_healthy(api: str) -> bool:
    try:
        return httpx.get(f"{api}/health", timeout=2, trust_env=False).is_success
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def _read_note() -> dict[str, Any] | None:
    try:
        note = json.loads(_note_path().read_bytes())
        is_ours = [type(note[key]) for key in ("pid", "api", "ui")] == [int, str, str]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return note if is_ours and note["pid"] > 1 else None  # 0 and -1 stand for whole groups of processes


def _note_path() -> Path:
    return cache_folder() / "prefect-server.json"
