"""The faults of the registry simulator: a layer between the socket and the registry, with a script of rules.

Rules are asked in the order they were added. A rule strikes the requests that match its method and path, after
letting `skip` of them pass, `times` times (None: for ever); a strike that never comes about (a body that is shorter
than where it was to be cut) is not counted. What a rule leaves alone goes on to the next one, then to the registry.
"""

import asyncio
import fcntl
import re
import socket
import struct
import termios
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PATIENCE = 5.0  # seconds to wait for the peer to take what was sent


@dataclass
class Exchange:
    """One request as the simulator saw it. Byte counts are of bodies; `status` is None where no answer was given."""

    host: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    status: int | None = None
    sent: int = 0
    received: int = 0

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def had_authorization(self) -> bool:
        """Whether the client sent credentials."""
        return "authorization" in self.headers


class Connection:
    """The client's TCP connection, below HTTP."""

    def __init__(self, send: Send) -> None:
        self._transport: asyncio.Transport = send.__self__.transport  # type: ignore[attr-defined]  # uvicorn's cycle

    @property
    def is_closed(self) -> bool:
        """Whether either side has ended it."""
        return self._transport.is_closing()

    async def reset(self) -> None:
        """End it with a RST, once the client's kernel has all that was sent: a reset overtakes nothing then."""
        peer: socket.socket = self._transport.get_extra_info("socket")
        deadline = time.monotonic() + _PATIENCE
        while not self.is_closed and self._unsent(peer) and time.monotonic() < deadline:
            await asyncio.sleep(0.001)
        if not self.is_closed:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        await asyncio.sleep(0.001)  # lets the server notice

    async def close(self) -> None:
        """End it in good order (FIN), whatever was promised."""
        self._transport.close()
        await asyncio.sleep(0.001)

    def _unsent(self, peer: socket.socket) -> int:
        queued = struct.unpack("i", fcntl.ioctl(peer.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
        return self._transport.get_write_buffer_size() + int(queued)


@dataclass(frozen=True)
class Call:
    """One request on its way through the rules."""

    exchange: Exchange
    connection: Connection
    scope: Scope
    receive: Receive
    send: Send


Rest = Callable[[Call], Awaitable[None]]
Fault = Callable[["Rule", Call, Rest], Awaitable[None]]


@dataclass
class Rule:
    """When a fault strikes."""

    fault: Fault
    method: str | None
    path: re.Pattern[str]
    times: int | None
    skip: int = 0

    def matches(self, exchange: Exchange) -> bool:
        """Whether this request is one to strike; counts down `skip`."""
        if self.times == 0 or self.method not in (None, exchange.method) or not self.path.search(exchange.target):
            return False
        self.skip -= 1
        return self.skip < 0

    def strike(self) -> bool:
        """Use up one of the `times`; False where none is left."""
        if self.times is None:
            return True
        self.times -= 1
        return self.times >= 0


@dataclass
class FaultLayer:
    """An ASGI application that logs every request to `app` and bends what the `rules` say."""

    app: ASGIApp
    rules: list[Rule] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Log the request, and let it through the rules."""
        server, port = scope["server"]
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        exchange = Exchange(f"{server}:{port}", scope["method"], scope["path"], query, headers)
        self.exchanges.append(exchange)
        connection = Connection(send)
        scope = {**scope, "state": {}}  # the registry would write blobs past us, straight to the connection
        call = Call(exchange, connection, scope, _counting(exchange, receive), _noting(exchange, send, connection))
        await self._apply(tuple(self.rules), call)

    async def _apply(self, rules: tuple[Rule, ...], call: Call) -> None:
        for position, rule in enumerate(rules):
            if rule.matches(call.exchange):
                await rule.fault(rule, call, lambda rest: self._apply(rules[position + 1 :], rest))  # noqa: B023 - ends here
                return
        await self.app(call.scope, call.receive, call.send)


def _counting(exchange: Exchange, receive: Receive) -> Receive:
    async def counting() -> Message:
        message = await receive()
        exchange.received += len(message.get("body", b""))
        return message

    return counting


def _noting(exchange: Exchange, send: Send, connection: Connection) -> Send:
    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
        elif exchange.method != "HEAD" and not connection.is_closed:  # what is sent to nobody was not sent
            exchange.sent += len(message.get("body", b""))
        await send(message)

    return noting
