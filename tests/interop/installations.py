"""Prefect's server on either of the databases that it has."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from tests.integration.prefect_server import PrefectServer, prefect_server_at, wait_for
from tests.real_parts import PATIENCE, require_tool, running

Database = Literal["SQLite", "PostgreSQL"]
DATABASES: tuple[Database, ...] = ("SQLite", "PostgreSQL")


@contextmanager
def prefect_on(database: Database, folder: Path) -> Iterator[PrefectServer]:
    """A server of its own with an empty `database`."""
    with ExitStack() as parts:
        address = parts.enter_context(postgresql_server()) if database == "PostgreSQL" else None
        settings = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": address} if address else {}
        server = parts.enter_context(prefect_server_at(folder, **settings))
        assert (folder / "prefect" / "prefect.db").exists() == (database == "SQLite")
        yield server


@contextmanager
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL with an empty database, on loopback; its address, as Prefect takes it."""
    initdb, postgres = require_tool("initdb"), require_tool("postgres")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings = [f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"]
    # Not in a folder of the test: these are for nobody else, and the server refuses to be root's.
    with tempfile.TemporaryDirectory(prefix="edgelift-postgresql-") as folder:
        user = _its_user(folder)
        data, log = f"{folder}/data", Path(folder) / "log"
        options = ("--username=prefect", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
        subprocess.run([*user, initdb, f"--pgdata={data}", *options], check=True, capture_output=True, cwd=folder)
        command = [*user, postgres, "-D", data, *(part for each in settings for part in ("-c", each))]
        with running(command, log) as process:
            wait_for(lambda: b"ready to accept connections" in log.read_bytes(), "PostgreSQL", log, process)
            try:
                yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"
            finally:
                process.send_signal(signal.SIGINT)  # a kill would leave its shared memory behind
                process.wait(PATIENCE)


def _its_user(folder: str) -> list[str]:
    """What a command of PostgreSQL has to begin with, so that it is not root's; `folder` is given to that user."""
    if os.geteuid() != 0:
        return []
    shutil.chown(folder, "postgres", "postgres")
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig=INT"]
