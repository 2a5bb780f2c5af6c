"""Distribution registries (`docker-registry`) on loopback, each a process with a storage of its own."""

import http.client
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_PATIENCE = 30  # seconds; many times what a start needs
_ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


@contextmanager
def serving(storage: Path, folder: Path) -> Iterator[str]:
    """A registry over `storage`, with its settings and log in `folder`; gives its host."""
    folder.mkdir(parents=True, exist_ok=True)
    settings, log = folder / "registry.yml", folder / "registry.log"
    settings.write_text(json.dumps(_settings(storage)))  # JSON is YAML, too
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - a fixed command
            [*dying_with_us(), "docker-registry", "serve", str(settings)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield f"127.0.0.1:{_port(process, log)}"
    finally:
        process.kill()  # what it holds is thrown away with it, or was never written to
        process.wait()


def wrong_tags(host: str, expected: Mapping[str, str]) -> list[str]:
    """The names (REPOSITORY:TAG) of `expected` that do not stand for their digest at `host`."""
    connection = http.client.HTTPConnection(host, timeout=_PATIENCE)
    try:
        return [name for name, digest in expected.items() if _digest_of(connection, name) != digest]
    finally:
        connection.close()


def dying_with_us() -> list[str]:
    """What to put before a command so that it ends when this process is killed."""
    found = shutil.which("setpriv")
    return [found, "--pdeathsig", "KILL"] if found else []


def _settings(storage: Path) -> dict[str, object]:
    """Distribution's own defaults, without a log line for each request."""
    return {
        "version": 0.1,
        "log": {"accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(storage)},
            "cache": {"blobdescriptor": "inmemory"},
            "delete": {"enabled": True},
        },
        "http": {"addr": "127.0.0.1:0", "secret": "only for this benchmark"},
    }


def _port(process: subprocess.Popen[bytes], log: Path) -> str:
    """The port that the registry says it listens on; it chose it itself, so that no other process can be there."""
    deadline = time.monotonic() + _PATIENCE
    while not (found := re.search(r"listening on 127\.0\.0\.1:(\d+)", log.read_text())):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"docker-registry does not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.02)
    return found[1]


def _digest_of(connection: http.client.HTTPConnection, name: str) -> str | None:
    repository, _, tag = name.rpartition(":")
    connection.request("HEAD", f"/v2/{repository}/manifests/{tag}", headers={"Accept": _ACCEPT})
    response = connection.getresponse()
    response.read()
    return response.getheader("Docker-Content-Digest")
