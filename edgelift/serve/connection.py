"""A client's connection: uvicorn's, to which a thread can also write what comes of a blob.

asyncio keeps what the network does not take, for every client that reads slowly. Here the bytes go from the thread that
read them to the socket, as many as it has room for, and no others are kept.
"""

import asyncio
import os
import threading
from typing import Any, cast

import h11
from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from edgelift.oci.content import Bytes

_KEY = "edgelift.connection"


class ConnectionLost(Exception):  # noqa: N818 - as Starlette's ClientDisconnect
    """The client is gone."""


class Connection(H11Protocol):
    """HTTP/1.1 over one connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, _KEY: self}, _loop)
        self._lock = threading.Lock()
        self._file = -1

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin."""
        super().connection_made(transport)
        if transport.get_extra_info("ssl_object") is None:
            transport.set_write_buffer_limits(high=0)
            self._file = transport.get_extra_info("socket").fileno()

    def connection_lost(self, exc: Exception | None) -> None:
        """End: the number of the socket's file may be another's as soon as this returns."""
        with self._lock:
            self._file = -1
        self.app_state = {}
        super().connection_lost(exc)

    @property
    def is_plain(self) -> bool:
        """Whether `write` can be used: over TLS only the transport can."""
        return self._file >= 0

    def write(self, data: Bytes) -> int:
        """Send as much of `data` as there is room for, from any thread; raises `ConnectionLost`."""
        with self._lock:
            if self._file < 0:
                raise ConnectionLost
            try:
                return os.write(self._file, data)
            except BlockingIOError:
                return 0
            except OSError:
                raise ConnectionLost from None

    def count(self, written: int) -> None:
        """Let HTTP know that so many bytes of the body have been written; raises `ConnectionLost`."""
        if self._file < 0:
            raise ConnectionLost
        placeholder = cast("bytes", range(written))  # all that is asked of it is its length
        self.conn.send_with_data_passthrough(h11.Data(data=placeholder))

    async def drain(self) -> None:
        """Wait until the network has taken all that was sent, or the client is gone."""
        await self.flow.drain()


def connection_of(scope: Scope) -> Connection | None:
    """The connection of a request to which a thread can write; None where there is none."""
    connection: Connection | None = scope.get("state", {}).get(_KEY)
    return connection if connection is not None and connection.is_plain else None
