"""A proxy before a real S3 server, with a switch for what goes wrong on the way."""

import http.client
import re
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

from tests.certificates import ServerCertificate
from tests.real_parts import RunningS3

Kind = Literal[
    "damage request",
    "damage answer",
    "lose answer",
    "cut answer",
    "slow down",
    "deny",
    "forget",
    "not implemented",
    "hold",
    "stall",
]
REFUSED = {
    "slow down": (503, b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"),
    "deny": (403, b"<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>"),
    "not implemented": (501, b"<Error><Code>NotImplemented</Code><Message>Not implemented.</Message></Error>"),
    "forget": (404, b"<Error><Code>NoSuchUpload</Code><Message>There is no such upload.</Message></Error>"),
}


@dataclass
class Fault:
    """What happens to the next `times` requests whose line, such as `PUT /bucket/key?partNumber=2`, has `where`."""

    kind: Kind
    where: str
    times: int = 1


@dataclass
class FaultyS3:
    """A proxy at `endpoint`; `seen` has the line of every request, `held` is set when one is being held.

    Of an answer that is cut or stalls, `cut_at` bytes arrive.
    """

    endpoint: str
    cut_at: int = 1_000_000
    faults: list[Fault] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault_for(self, line: str) -> Kind | None:
        """Use up the first fault that is meant for the request `line`."""
        with self.lock:
            self.seen.append(line)
            for fault in self.faults:
                if fault.times and re.search(fault.where, line):
                    fault.times -= 1
                    return fault.kind
        return None


class _Handler(BaseHTTPRequestHandler):
    """Carries requests to the server behind, and its answers back, as the switch says."""

    protocol_version = "HTTP/1.1"
    proxy: FaultyS3
    behind: str

    def _carry(self) -> None:
        kind = self.proxy.fault_for(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if kind == "hold":
            self.proxy.held.set()
            self.proxy.released.wait(60)
        if kind in REFUSED:
            self._answer(*REFUSED[kind])
            return
        status, headers, content = self._ask(_damaged(body) if kind == "damage request" else body)
        if kind == "lose answer":
            self.close_connection = True
        else:
            self._answer(status, _damaged(content) if kind == "damage answer" else content, headers, kind)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _carry  # noqa: N815 - the names are http.server's

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        with closing(http.client.HTTPConnection(self.behind, timeout=60)) as connection:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()

    def _answer(
        self, status: int, content: bytes, headers: Iterable[tuple[str, str]] = (), kind: Kind | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
        length = dict(headers).get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: self.proxy.cut_at] if kind in {"cut answer", "stall"} else content)
        if kind == "stall" and len(content) > self.proxy.cut_at:
            self.wfile.flush()
            self.proxy.held.set()
            self.proxy.released.wait(60)
        self.close_connection = self.close_connection or kind in {"cut answer", "stall"}

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Keep the test's output clean."""


@contextmanager
def faulty_s3(behind: RunningS3, certificate: ServerCertificate | None = None) -> Iterator[FaultyS3]:
    """Start a proxy before the server `behind`, over TLS where it gets a `certificate`."""
    handler = type("Handler", (_Handler,), {"behind": urlsplit(behind.endpoint).netloc})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert, certificate.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "http" if certificate is None else "https"
    handler.proxy = proxy = FaultyS3(f"{scheme}://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield proxy
    finally:
        proxy.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _damaged(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]
