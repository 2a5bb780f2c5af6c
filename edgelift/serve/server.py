"""Running a registry: in the foreground until a signal, or beside the caller in a thread."""

import asyncio
import logging
import resource
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from edgelift.errors import ConfigurationError
from edgelift.serve.connection import Connection

_KEEP_ALIVE = 75  # seconds; clients pool connections, and a short limit would cut one as it is used again
_GRACE = 5  # seconds that running answers get once a stop is asked for
_MOMENT = 0.002  # seconds between two looks at what is still being answered
_LOOPBACK = "127.0.0.1"
_FILES = 65_536  # open files, and so connections, that the registry asks the system for
_log = logging.getLogger(__name__)


def serve_forever(
    app: ASGIApp, host: str, port: int, *, certfile: Path | None = None, keyfile: Path | None = None
) -> None:
    """Serve `app` until SIGINT or SIGTERM; with a certificate over TLS.

    Raises `ConfigurationError` where the address is taken or the certificate cannot be used.
    """
    _allow_many_files()
    server = uvicorn.Server(_config(app, certfile, keyfile))
    listener = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    _log.info("listening on %s://%s:%d", "https" if certfile else "http", shown, listener.getsockname()[1])
    server.run(sockets=[listener])


class RunningServer:
    """Serves `app` from a thread while the `with` block runs, on loopback; port 0 takes a free one."""

    def __init__(
        self, app: ASGIApp, port: int = 0, *, certfile: Path | None = None, keyfile: Path | None = None
    ) -> None:
        self._server = _PromptServer(_config(app, certfile, keyfile))
        self._listener = _listen(_LOOPBACK, port)
        self._scheme = "https" if certfile else "http"
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)
        self.host = f"{_LOOPBACK}:{self._listener.getsockname()[1]}"

    @property
    def url(self) -> str:
        """Scheme and host."""
        return f"{self._scheme}://{self.host}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.end()
        self._thread.join()

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])


class _PromptServer(uvicorn.Server):
    """Ends as soon as it is told to: uvicorn itself looks for that, and for each connection, every tenth of a second.

    Who starts and stops hundreds of servers, as tests do, would wait for minutes.
    """

    _told: Callable[[], object] | None = None  # wakes the loop, once there is one

    def end(self) -> None:
        """Begin to end, from any thread."""
        self.should_exit = True
        if self._told is not None:
            with suppress(RuntimeError):  # the loop has ended by itself
                self._told()

    async def main_loop(self) -> None:
        """Wait until it is told; once a second the date of the answers is set."""
        told = asyncio.Event()
        self._told = partial(asyncio.get_running_loop().call_soon_threadsafe, told.set)
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, let those that are being answered end in time, and drop the others."""
        for each in (*self.servers, *(sockets or ())):
            each.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                while self.server_state.connections or self.server_state.tasks:
                    await asyncio.sleep(_MOMENT)
        for task in self.server_state.tasks:
            task.cancel()


def _config(app: ASGIApp, certfile: Path | None, keyfile: Path | None) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        log_level="error",  # a TLS greeting to a plain port is no news
        server_header=False,
        proxy_headers=False,  # nothing here depends on who asks, so no header may say who does
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_GRACE,
        ssl_certfile=certfile,
        ssl_keyfile=keyfile,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"cannot serve TLS with the certificate {certfile}: {error.strerror or 'it is not usable'}",
            hint="give a certificate chain and its unencrypted private key, both as PEM files",
        ) from None
    return config


def _allow_many_files() -> None:
    """Each connection is an open file, of which many systems give a process just 1,024 until it asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # some kernels allow less than the limit that they tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "there is no such port"
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {reason}", hint="choose another address or port"
        ) from None
    # Connections inherit this. asyncio sets it only on sockets that name their protocol, which these do not; without it
    # each answer waits 40 ms for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
