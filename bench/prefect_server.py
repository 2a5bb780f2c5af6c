"""Prefect as the whole command meets it: a server that runs already, and none at all (the embedded one starts then)."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.registries import dying_with_us

_PATIENCE = 120  # seconds; several times what a first start needs, which makes the database


@dataclass(frozen=True)
class Server:
    """A server that runs: the number of its `process`, and the settings that lead to it."""

    process: int
    settings: Mapping[str, str]


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """A server with its database in `folder`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    api = f"http://127.0.0.1:{port}/api"
    settings = _settings(folder) | {"PREFECT_API_URL": api}
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [*dying_with_us(), *command],
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_healthy(api, process, log)
        yield Server(process.pid, settings)
    finally:
        process.kill()  # its database is thrown away with it
        process.wait()


def embedded_server(folder: Path) -> Mapping[str, str]:
    """The settings with which each command starts a server of its own, over a database that is there already."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = _settings(folder)
    command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
    subprocess.run(command, env={**os.environ, **settings}, check=True, capture_output=True)  # noqa: S603 - our own
    return settings


def _settings(folder: Path) -> dict[str, str]:
    return {"PREFECT_HOME": str(folder), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


def _wait_until_healthy(api: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not _is_healthy(api):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Prefect's server does not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


def _is_healthy(api: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{api}/health", timeout=2) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's "OK"
    except (urllib.error.URLError, OSError):
        return False
