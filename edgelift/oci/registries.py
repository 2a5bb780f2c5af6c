"""The registries of one run: a client per host, made on first use and shared by every thread."""

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from edgelift.oci.credentials import Credentials
from edgelift.oci.reference import canonical_registry
from edgelift.oci.registry import Registry
from edgelift.transport import TransportSettings


class Registries:
    """Clients by host, all with the same credentials. A context manager that closes them.

    `hosts` gives single registries transport settings of their own, in place of the common `settings`.
    """

    def __init__(
        self,
        settings: TransportSettings,
        credentials: Credentials,
        hosts: Mapping[str, TransportSettings] | None = None,
    ) -> None:
        self._settings = settings
        self._hosts = {canonical_registry(host): own for host, own in (hosts or {}).items()}
        self._credentials = credentials
        self._registries: dict[str, Registry] = {}
        self._lock = threading.Lock()

    def registry(self, host: str) -> Registry:
        """The one client for `host`, which shares its connections, tokens and pauses."""
        host = canonical_registry(host)
        with self._lock:
            if host not in self._registries:
                settings = self._hosts.get(host, self._settings)
                self._registries[host] = Registry(host, settings, self._credentials)
            return self._registries[host]

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for registry in self._registries.values():
                registry.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
