"""A forwarder that counts: bytes both ways, bytes of blobs, and requests by kind. `python -m bench.wire HOST:PORT`.

It prints its own host first, then, for each line on standard input, what went through since the last one, as JSON.
Bytes are passed on as they are, `Host` included, so that the registry's absolute Locations lead back here; HTTP/1.1
(RFC 9112) is read along just enough to tell messages apart.
"""

import json
import re
import socket
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

_CHUNK = 256 * 2**10
_HEAD_LIMIT = 64 * 2**10
_NO_BODY = (204, 304)
_KINDS = (
    (re.compile(r"/v2/?$"), "ping"),
    (re.compile(r"/v2/.+/(referrers/|manifests/sha256-[0-9a-f]{64})"), "signature"),
    (re.compile(r"/v2/.+/manifests/sha\d+:"), "manifest by digest"),
    (re.compile(r"/v2/.+/manifests/"), "manifest by tag"),
    (re.compile(r"/v2/.+/blobs/uploads/"), "upload"),
    (re.compile(r"/v2/.+/blobs/"), "blob"),
)


@dataclass
class Tally:
    """What went through: `up` from the client, `down` to it, in bytes; requests by method and kind."""

    up: int = 0
    down: int = 0
    blobs_up: int = 0
    blobs_down: int = 0
    requests: Counter[str] = field(default_factory=Counter)


class Meter:
    """The tally of all connections together."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tally = Tally()

    def take(self) -> Tally:
        """What went through since the last call."""
        with self.lock:
            taken, self.tally = self.tally, Tally()
            return taken


@dataclass
class _Exchange:
    method: str
    kind: str


class Conversation:
    """One connection, read along: feed it what each side sends, in any pieces."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._open: deque[_Exchange] = deque()
        self._request = _Messages(self._on_request, self._on_request_body)
        self._response = _Messages(self._on_response, self._on_response_body)
        self._sending: _Exchange | None = None
        self._receiving: _Exchange | None = None

    def sent(self, data: bytes) -> None:
        """The client has sent `data`."""
        with self._meter.lock:
            self._meter.tally.up += len(data)
            self._request.feed(data)

    def received(self, data: bytes) -> None:
        """The registry has sent `data`."""
        with self._meter.lock:
            self._meter.tally.down += len(data)
            self._response.feed(data)

    def _on_request(self, start: str, headers: dict[str, str]) -> "_Body":
        method, target, _ = f"{start}  ".split(" ", 2)
        path = target.partition("?")[0]
        kind = next((name for pattern, name in _KINDS if pattern.match(path)), "other")
        self._sending = _Exchange(method, kind)
        self._open.append(self._sending)
        self._meter.tally.requests[f"{method} {kind}"] += 1
        return _body(headers, default=0)

    def _on_response(self, start: str, headers: dict[str, str]) -> "_Body":
        status = int(start.split(" ")[1])
        if status < 200:  # noqa: PLR2004 - interim answers (RFC 9110 §15.2) belong to the request that is still open
            return _Body(0)
        self._receiving = self._open.popleft() if self._open else None
        if status in _NO_BODY or (self._receiving is not None and self._receiving.method == "HEAD"):
            return _Body(0)
        return _body(headers, default=None)

    def _on_request_body(self, count: int) -> None:
        if self._sending is not None and self._sending.kind == "upload":
            self._meter.tally.blobs_up += count

    def _on_response_body(self, count: int) -> None:
        if self._receiving is not None and (self._receiving.method, self._receiving.kind) == ("GET", "blob"):
            self._meter.tally.blobs_down += count


@dataclass
class _Body:
    """How much of a body is to come: `left` bytes, None for all until the end; or chunks."""

    left: int | None
    is_chunked: bool = False


class _Messages:
    """Tells the heads and bodies of messages in one direction apart."""

    def __init__(self, on_head: Callable[[str, dict[str, str]], _Body], on_body: Callable[[int], None]) -> None:
        self._on_head = on_head
        self._on_body = on_body
        self._head = b""
        self._body = _Body(0)

    def feed(self, data: bytes) -> None:
        while data:
            if self._body.is_chunked and self._body.left == 0:
                data = self._read_chunk_line(data)
            elif self._body.left == 0:
                data = self._read_head(data)
            else:
                data = self._read_body(data)

    def _read_body(self, data: bytes) -> bytes:
        count = len(data) if self._body.left is None else min(self._body.left, len(data))
        if self._body.left is not None:
            self._body.left -= count
        self._on_body(count)
        return data[count:]

    def _read_head(self, data: bytes) -> bytes:
        self._head += data
        head, found, rest = self._head.partition(b"\r\n\r\n")
        if not found:
            if len(self._head) > _HEAD_LIMIT:
                raise ValueError("a head that never ends")
            return b""
        self._head = b""
        start, *lines = head.decode("latin-1").lstrip("\r\n").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        self._body = self._on_head(start, {name.strip().lower(): value.strip() for name, _, value in pairs})
        return rest

    def _read_chunk_line(self, data: bytes) -> bytes:
        """The size of the next chunk (RFC 9112 §7.1); its data is counted with the line end that follows it."""
        self._head += data
        line, found, rest = self._head.lstrip(b"\r\n").partition(b"\r\n")
        if not found:
            return b""
        self._head = b""
        size = int(line.partition(b";")[0], 16)
        self._body = _Body(size, is_chunked=True) if size else _Body(0)
        return rest


def _body(headers: dict[str, str], default: int | None) -> _Body:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return _Body(0, is_chunked=True)
    length = headers.get("content-length")
    return _Body(default if length is None else int(length))


class Forwarder:
    """Listens on loopback and passes everything on to `host`."""

    def __init__(self, host: str) -> None:
        name, _, port = host.rpartition(":")
        self._upstream = (name, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.meter = Meter()
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def start(self) -> None:
        """Accept connections from now on, in a thread."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            server = socket.create_connection(self._upstream)
            conversation = Conversation(self.meter)
            for source, sink, note in (
                (client, server, conversation.sent),
                (server, client, conversation.received),
            ):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=_pump, args=(source, sink, note), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, note: Callable[[bytes], None]) -> None:
    try:
        while data := source.recv(_CHUNK):
            note(data)  # first, so that a request is known before its answer can come
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError):
            sys.stderr.write(f"not HTTP/1.1: {error}\n")
        for each in (source, sink):
            each.close()


def main() -> None:
    """Forward until standard input ends."""
    forwarder = Forwarder(sys.argv[1])
    forwarder.start()
    sys.stdout.write(f"{forwarder.host}\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        sys.stdout.write(f"{json.dumps(vars(forwarder.meter.take()))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
