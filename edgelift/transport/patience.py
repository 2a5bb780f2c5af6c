"""How slowly a body may come: a server that drips byte after byte holds a connection as well as a silent one does."""

import time
from collections.abc import Callable

import httpx

from edgelift.transport.settings import TransportSettings


class TooSlowError(httpx.ReadTimeout):
    """Hardly anything came for as long as a server may be silent."""


class Patience:
    """Lasts for one body: waiting uses it up, and bytes that come restore it, up to what it was.

    Only the time spent waiting counts, not the time that is spent with what has come.
    """

    def __init__(self, settings: TransportSettings) -> None:
        self._whole = settings.idle_timeout  # seconds
        self._slowest = settings.slowest  # bytes a second
        self._left = self._whole

    def measure(self, read: Callable[[], bytes]) -> bytes:
        """What `read` gives; raises `TooSlowError` in place of going on once patience is at its end."""
        if self._left <= 0:
            raise TooSlowError(f"it sends fewer than {self._slowest:,.0f} bytes a second")
        begun = time.monotonic()
        chunk = read()
        waited = time.monotonic() - begun
        self._left = min(self._whole, self._left - waited + len(chunk) / self._slowest)
        return chunk
