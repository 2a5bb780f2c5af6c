"""Servers that registries send us to: they keep every byte they hear, and do what they can to hear more."""

import socket
import ssl
from dataclasses import dataclass, field
from io import BufferedIOBase
from typing import Any, cast

from tests.simulators.http_faults import Answer, HttpFaults, Request


@dataclass
class Listener(HttpFaults):
    """A server that keeps all that reaches it, below TLS and from the first byte, and whose certificates it saw."""

    heard: bytearray = field(default_factory=bytearray)
    certificates: list[str] = field(default_factory=list)  # the names in those that clients showed

    def _serve(self, connection: socket.socket, number: int) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each handshake waits for an ACK
        super()._serve(connection, number)

    def _greet(self, connection: socket.socket, tls: ssl.SSLContext) -> ssl.SSLSocket:
        greeted = super()._greet(connection, tls)
        shown: Any = greeted.getpeercert() or {"subject": ()}
        self.certificates += [value for part in shown["subject"] for _, value in part]
        return greeted

    def _read(self, reader: BufferedIOBase, number: int) -> Request | None:
        return super()._read(cast(BufferedIOBase, _Noting(reader, self.heard)), number)


class _Noting:
    def __init__(self, reader: BufferedIOBase, heard: bytearray) -> None:
        self._reader = reader
        self._heard = heard

    def readline(self, size: int) -> bytes:
        return self._note(self._reader.readline(size))

    def read(self, size: int) -> bytes:
        return self._note(self._reader.read(size))

    def _note(self, piece: bytes) -> bytes:
        self._heard += piece
        return piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


def asks(request: Request) -> Answer:
    """Asks for a login in every way there is, with itself as the token server."""
    host = request.headers.get("host", "")
    challenges = (("WWW-Authenticate", "Basic realm=here"), ("WWW-Authenticate", f'Bearer realm="http://{host}/token"'))
    return Answer(401, (*challenges, ("Set-Cookie", "theirs=1")), b'{"errors":[{"code":"UNAUTHORIZED"}]}')


def serves(request: Request) -> Answer:
    """Plays along: a token where one is asked for, an upload that goes on, and else something."""
    host = request.headers.get("host", "")
    if request.method in {"POST", "PATCH"}:
        last = request.headers.get("content-range", "0-0").rpartition("-")[2]
        return Answer(202, (("Location", f"http://{host}/upload"), ("Range", f"0-{last}")))
    return Answer(201 if request.method == "PUT" else 200, body=b'{"token":"theirs","tags":["x"]}')


def bounces(request: Request) -> Answer:
    """Sends on, to another place of its own, and asks for a login there."""
    if request.target.startswith("/again"):
        return asks(request)
    return Answer(307, (("Location", f"/again{request.target}"),))
