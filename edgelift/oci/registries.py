"""The registries of one run: a client per host, made on first use and shared by every thread."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Literal, Self

from edgelift.oci.budget import Budget
from edgelift.oci.credentials import Credentials
from edgelift.oci.mirrored import LAST_REST, REST, MirroredRegistry, PlacedRegistry, Rests
from edgelift.oci.mirrors import Mirrors, Place
from edgelift.oci.pacing import Clock, Pause
from edgelift.oci.reference import canonical_registry
from edgelift.oci.registry import Registry
from edgelift.oci.slots import Slots
from edgelift.oci.source import Source
from edgelift.transport import TransportSettings

_MIRROR_ATTEMPTS = 2  # of one request to a mirror: others can be asked
_MIRROR_PAUSE = 10.0  # seconds that a mirror is waited for where it asks for a pause
_NO_MIRRORS = Mirrors()

# Clients for one host that are apart: a mirror is not waited for, and what is pushed to may make repositories. What the
# host bears is one thing for all of them: they share its slots and its pause.
_Use = Literal["registry", "mirror", "last place"]


class Registries:
    """Clients by host, all with the same credentials. A context manager that closes them.

    `hosts` gives single registries transport settings of their own, in place of the common `settings`. `mirrors` says
    where content is read from besides, or instead.
    """

    def __init__(
        self,
        settings: TransportSettings,
        credentials: Credentials,
        hosts: Mapping[str, TransportSettings] | None = None,
        *,
        mirrors: Mirrors = _NO_MIRRORS,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._hosts = {canonical_registry(host): own for host, own in (hosts or {}).items()}
        self._credentials = credentials
        self.mirrors = mirrors
        self._clock = clock or Clock()
        self._clients: dict[tuple[str, _Use], Registry] = {}
        self._shared: dict[str, tuple[Slots, Pause]] = {}
        self._sources: dict[tuple[str, tuple[Place, ...]], MirroredRegistry] = {}
        self._rests = Rests(self._clock)
        self._lock = threading.RLock()

    def registry(self, host: str) -> Registry:
        """The one client for `host`, which shares its connections, tokens and pauses."""
        return self._client(canonical_registry(host), "registry")

    def source(self, host: str, repository: str) -> Source:
        """What `repository` of the registry `host` is read from: its mirrors and itself, or what stands in its place.

        Pushes go to `registry`. The same places give the same object, which remembers which of them do not answer.
        """
        host = canonical_registry(host)
        places = self.mirrors.places(host, repository)
        if places == (Place(host),):
            return self.registry(host)
        with self._lock:
            if (host, places) not in self._sources:
                *mirrors, last = places
                asked = [PlacedRegistry(place, self._client(place.host, "mirror"), REST) for place in mirrors]
                asked.append(PlacedRegistry(last, self._client(last.host, "last place"), LAST_REST))
                self._sources[host, places] = MirroredRegistry(host, asked, self._rests)
            return self._sources[host, places]

    def _client(self, host: str, use: _Use) -> Registry:
        with self._lock:
            if (host, use) not in self._clients:
                settings = self._hosts.get(host, self._settings)
                if use == "mirror":
                    settings = replace(settings, attempts=_MIRROR_ATTEMPTS, longest_pause=_MIRROR_PAUSE)
                slots, pause = self._shared.setdefault(host, (Slots(settings.parallel), Pause(host, self._clock)))
                self._clients[host, use] = Registry(
                    host, settings, self._credentials, clock=self._clock, slots=slots, pause=pause
                )
            return self._clients[host, use]

    def budgets(self) -> dict[str, Budget]:
        """How many pulls remain at each registry that has said so, by host."""
        with self._lock:
            told = [(host, client.budget) for (host, _), client in self._clients.items()]
        return {host: budget for host, budget in told if budget is not None}

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for registry in self._clients.values():
                registry.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
