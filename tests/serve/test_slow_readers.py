"""A thousand clients that read slowly: what they cost the registry's process, a real one, is next to nothing."""

import os
import re
import resource
import selectors
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from edgelift.bundle.writer import assemble_bundle
from edgelift.demo.content import SampleLayer, make_image
from edgelift.demo.servers import fill_registry
from edgelift.serve.directory import DirectoryContent
from tests.bundle.content import GZIP, LAYER, MemoryContent, lock_of, noise

READERS = 1000
ALLOWED = 64 * 2**20  # bytes over the idle process, for all of them together
SIZE = 8 * 2**20  # bytes of the blob: more than what the system holds for a connection
FIRST = 2000  # bytes that each reads, and then again at each turn
PATIENCE = 120  # seconds; only for what hangs
IMAGE = make_image("team/app", layers=(SampleLayer("gzip", SIZE),))
LAYER_OF_IMAGE = max(IMAGE.blobs, key=lambda blob: blob.size)
EDGELIFT = str(Path(sys.executable).with_name("edgelift"))


@contextmanager
def _serving(*arguments: str) -> Iterator[tuple[int, int]]:
    """`edgelift serve` with `arguments`; gives its process and its port."""
    command = [EDGELIFT, "serve", *arguments, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ}) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"127\.0\.0\.1:(\d+)", process.stderr.readline())
            assert found is not None
            yield process.pid, int(found[1])
        finally:
            process.kill()


def _memory(process: int, what: str) -> int:
    """VmRSS (now) or VmHWM (the most so far) of a process, in bytes."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@contextmanager
def _readers(port: int, path: str) -> Iterator[list[socket.socket]]:
    """`READERS` connections that have asked for the blob at `path`; nothing has been read of the answers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * READERS)), hard))
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    with ExitStack() as opened:
        connections = []
        for _ in range(READERS):
            connection = opened.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(PATIENCE)
            connection.connect(("127.0.0.1", port))
            connection.sendall(request)
            connections.append(connection)
        yield connections


def _read_some(connections: list[socket.socket], count: int) -> list[bytes]:
    """The next `count` bytes of each, taken as they come."""
    taken = {connection: bytearray() for connection in connections}
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(PATIENCE)
            assert ready, "the registry sends nothing more"
            for key, _ in ready:
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                got = connection.recv(count - len(taken[connection]))
                assert got, "the registry has closed a connection"
                taken[connection] += got
                if len(taken[connection]) == count:
                    selector.unregister(connection)
    return [bytes(each) for each in taken.values()]


def _cost_of_readers(process: int, port: int, path: str) -> int:
    """The most memory, over that of the idle process, while `READERS` read the blob at `path` slowly."""
    assert httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False, timeout=PATIENCE).status_code == 200
    idle = _memory(process, "VmRSS")
    with _readers(port, path) as connections:
        answers = _read_some(connections, FIRST)
        for _ in range(3):
            _read_some(connections, FIRST)
        most = _memory(process, "VmHWM")
        assert httpx.get(f"http://127.0.0.1:{port}/v2/", trust_env=False, timeout=PATIENCE).status_code == 200

    assert {answer[:15] for answer in answers} == {b"HTTP/1.1 200 OK"}
    return most - idle


def _bundle(folder: Path, media_type: str, layer: bytes) -> tuple[list[str], str]:
    content = MemoryContent()
    described = content.add(layer, media_type)
    lock = lock_of(content.add_image("docker.io/library/a:1", [described]))
    path = assemble_bundle(lock, content, folder / "x.tar.zst").path
    return [str(path)], f"/v2/docker.io/library/a/blobs/{described.digest}"


def _raw(folder: Path) -> tuple[list[str], str]:
    return _bundle(folder, GZIP, noise(SIZE))


def _compressed(folder: Path) -> tuple[list[str], str]:
    return _bundle(folder, LAYER, noise(SIZE // 2).hex().encode())


def _writable(folder: Path) -> tuple[list[str], str]:
    fill_registry(DirectoryContent(folder), [IMAGE])
    return ["--writable", str(folder)], f"/v2/team/app/blobs/{LAYER_OF_IMAGE.digest}"


CONTENT = {
    "raw frames of a bundle": _raw,
    "compressed frames of a bundle": _compressed,
    "directory that takes pushes": _writable,
}


@pytest.mark.parametrize("make", CONTENT.values(), ids=CONTENT)
def test_slow_readers(tmp_path: Path, make: Callable[[Path], tuple[list[str], str]]) -> None:
    """A thousand slow readers of one blob cost less than 64 MiB, wherever it is, and others are still answered."""
    arguments, path = make(tmp_path)
    with _serving(*arguments) as (process, port):
        cost = _cost_of_readers(process, port, path)

    assert cost < ALLOWED
