"""A small HTTP server that answers exactly as a test says, down to the bytes and how the connection ends.

    with HttpFaults(lambda request: Answer(200, body=b"hello")) as server:     # server.host, server.requests
        ...

For what a well-behaved server stack would not let through; whole registries are `registry.py`'s.
"""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tests.certificates import ServerCertificate

Ending = Literal["keep", "close", "reset", "stall"]


@dataclass(frozen=True)
class Request:
    """One request as it came in; header names are lower-case, `connection` counts the connections."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


@dataclass(frozen=True)
class Answer:
    """What goes back. `length` is announced in place of the true one (None: nothing is); `ending` is what comes after.

    `raw` replaces everything.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    length: int | None = -1
    ending: Ending = "keep"
    raw: bytes | None = None

    def to_bytes(self, method: str) -> bytes:
        """The bytes on the wire."""
        if self.raw is not None:
            return self.raw
        length = len(self.body) if self.length == -1 else self.length
        lines = [f"HTTP/1.1 {self.status} Whatever", *(f"{name}: {value}" for name, value in self.headers)]
        lines += [] if length is None else [f"Content-Length: {length}"]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if method == "HEAD" else self.body)


@dataclass
class HttpFaults:
    """Serves on `address`, with TLS where it has a certificate.

    `silent` accepts connections and says nothing, `silent_first` does so to the first few; `pause` is how many seconds
    it waits before it reads a body, and `pace` how many it takes for each mebibyte of it.
    """

    respond: Callable[[Request], Answer] = lambda request: Answer()
    certificate: ServerCertificate | None = None
    address: str = "127.0.0.1"
    silent: bool = False
    silent_first: int = 0
    pause: float = 0.0
    pace: float = 0.0
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    received: int = 0
    connections: int = 0
    client_authority: Path | None = None  # whose certificates clients may show; asked for where it is set
    demands_certificate: bool = True
    shown: list[bool] = field(default_factory=list)  # whether a client showed one, for each TLS connection

    def __enter__(self) -> Self:
        self._listener = socket.create_server((self.address, self.port))
        self.port = self._listener.getsockname()[1]
        self._stopped = threading.Event()
        self._tls: ssl.SSLContext | None = None
        if self.certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(self.certificate.cert, self.certificate.key)
            if self.client_authority is not None:
                self._tls.load_verify_locations(self.client_authority)
                self._tls.verify_mode = ssl.CERT_REQUIRED if self.demands_certificate else ssl.CERT_OPTIONAL
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def host(self) -> str:
        """Address and port."""
        return f"{self.address}:{self.port}"

    @property
    def url(self) -> str:
        """Scheme, address and port."""
        return f"{'https' if self.certificate else 'http'}://{self.host}"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with suppress(OSError):
            if self.silent or number <= self.silent_first:
                self._stopped.wait(60)
            if self._tls is not None:
                connection = self._greet(connection, self._tls)
                self.shown.append(bool(connection.getpeercert()))
            reader = connection.makefile("rb")
            while (request := self._read(reader, number)) is not None:
                self.requests.append(request)
                answer = self.respond(request)
                connection.sendall(answer.to_bytes(request.method))
                if answer.ending != "keep":
                    self._end(connection, answer.ending)
                    break
        connection.close()

    def _greet(self, connection: socket.socket, tls: ssl.SSLContext) -> ssl.SSLSocket:
        """The connection over TLS; a client that is refused hears why, however much it has sent already."""
        with connection.dup() as plain:
            try:
                return tls.wrap_socket(connection, server_side=True)
            except ssl.SSLError:
                plain.settimeout(2)
                plain.shutdown(socket.SHUT_WR)
                while plain.recv(65536):  # to close with something unread would reset the connection
                    pass
                raise

    def _read(self, reader: BufferedIOBase, number: int) -> Request | None:
        first = reader.readline(65536)
        self.received += len(first)
        if not first or first[:1] == b"\x16":  # TLS, which we do not speak
            return None
        method, target, _ = first.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (line := reader.readline(65536)) not in (b"\r\n", b""):
            self.received += len(line)
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        return Request(method, target, headers, self._read_body(reader, length), number)

    def _read_body(self, reader: BufferedIOBase, length: int) -> bytes:
        body = bytearray()
        time.sleep(self.pause if length else 0)
        while len(body) < length and (piece := reader.read(min(length - len(body), 2**20))):
            body += piece
            self.received += len(piece)
            time.sleep(self.pace)
        return bytes(body)

    def _end(self, connection: socket.socket, ending: Ending) -> None:
        if ending == "stall":
            self._stopped.wait(60)
        elif ending == "reset":
            time.sleep(0.05)  # else the reset overtakes what was sent
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
