"""The answer with a blob."""

import os
from contextlib import closing

from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from edgelift.serve.connection import Connection, ConnectionLost, connection_of
from edgelift.serve.part import BlobPart

# Blobs that are read at once: more than there are processors would wait for each other, and for the interpreter's lock.
READERS = os.cpu_count() or 1
READERS_FROM_AFAR = 40  # these wait for the network


class BlobResponse(StreamingResponse):
    """A blob, or a part of one, as body."""

    def __init__(self, part: BlobPart, status: int, headers: dict[str, str], readers: CapacityLimiter) -> None:
        """It is read in turns, of which `readers` go on at the same time."""
        super().__init__(part, status, headers)
        self._part = part
        self._readers = readers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, straight from the reading thread to the socket where that can be."""
        connection = connection_of(scope)
        with closing(self._part):
            if connection is None:
                await super().__call__(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            try:
                await self._pour(connection, send)
            except ConnectionLost:
                connection.transport.abort()
                while (await receive())["type"] != "http.disconnect":
                    pass
                raise ClientDisconnect from None
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pour(self, connection: Connection, send: Send) -> None:
        while not self._part.is_done:
            await connection.drain()
            poured = await to_thread.run_sync(self._part.pour, connection.write, limiter=self._readers)
            connection.count(poured.taken)
            if poured.rest:
                await send({"type": "http.response.body", "body": poured.rest, "more_body": True})
