"""A quick client: `python -m bench.reader HOST READERS PATH…` reads every path once, as many at a time as READERS says.

What comes is thrown away. It prints the seconds that it took, from the first request on, and the bytes of the bodies.
"""

import socket
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from queue import Empty, SimpleQueue

_BUFFER = 256 * 1024  # bytes
_PATIENCE = 120  # seconds


class Reader:
    """One connection, kept for all that is asked for over it."""

    def __init__(self, host: str) -> None:
        name, _, port = host.rpartition(":")
        self._host = host
        self._buffer = memoryview(bytearray(_BUFFER))
        self._connection = socket.create_connection((name, int(port)), timeout=_PATIENCE)

    def read(self, path: str) -> int:
        """The bytes of the body at `path`; raises `RuntimeError` where the answer is not a whole body."""
        self._connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        head = bytearray()
        while b"\r\n\r\n" not in head:
            head += self._buffer[: self._receive()]
        head, _, begun = head.partition(b"\r\n\r\n")
        status, *lines = bytes(head).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        if " 200 " not in status:
            raise RuntimeError(f"{path}: {status}")
        size = left = int(headers["content-length"])
        left -= len(begun)
        while left:
            left -= self._receive()
        return size

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _receive(self) -> int:
        count = self._connection.recv_into(self._buffer)
        if not count:
            raise RuntimeError(f"{self._host} has closed the connection")
        return count


def read_all(host: str, readers: int, paths: Iterable[str]) -> tuple[float, int]:
    """Seconds and bytes of reading `paths`, with `readers` connections; raises `RuntimeError` where one cannot be."""
    waiting = SimpleQueue[str]()
    for path in paths:
        waiting.put(path)

    def read_on(reader: Reader) -> int:
        size = 0
        with suppress(Empty):
            while True:
                size += reader.read(waiting.get_nowait())
        return size

    with ExitStack() as opened, ThreadPoolExecutor(readers) as pool:
        connections = [opened.enter_context(closing(Reader(host))) for _ in range(readers)]
        begun = time.perf_counter()
        size = sum(pool.map(read_on, connections))
        return time.perf_counter() - begun, size


if __name__ == "__main__":
    _host, _readers, *_paths = sys.argv[1:]
    print(*read_all(_host, int(_readers), _paths))  # noqa: T201 - for the benchmark that has started it
