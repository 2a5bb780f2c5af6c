"""A quick client: `python -m bench.reader HOST READERS PATH…` reads every path once, as many at a time as READERS says.

What comes is thrown away. It prints the seconds that it took, from the first request on, and the bytes of the bodies.
"""

import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable

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

    def _receive(self) -> int:
        count = self._connection.recv_into(self._buffer)
        if not count:
            raise RuntimeError(f"{self._host} has closed the connection")
        return count


def read_all(host: str, readers: int, paths: Iterable[str]) -> tuple[float, int]:
    """Seconds and bytes of reading `paths`, with `readers` connections."""
    waiting, sizes = deque(paths), list[int]()
    connections = [Reader(host) for _ in range(readers)]

    def read_on(reader: Reader) -> None:
        while waiting:
            try:
                path = waiting.popleft()
            except IndexError:
                return
            sizes.append(reader.read(path))

    threads = [threading.Thread(target=read_on, args=(reader,)) for reader in connections]
    begun, expected = time.perf_counter(), len(waiting)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(sizes) != expected:
        raise RuntimeError(f"{expected - len(sizes)} of {expected} blobs could not be read")
    return time.perf_counter() - begun, sum(sizes)


if __name__ == "__main__":
    _host, _readers, *_paths = sys.argv[1:]
    print(*read_all(_host, int(_readers), _paths))  # noqa: T201 - for the benchmark that has started it
