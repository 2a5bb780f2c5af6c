"""A Palette API with a fault switch: the demo's stand-in, really listening, behind a layer that misbehaves on order.

with PaletteSimulator(profiles, api_key="secret") as palette:
    palette.answers_with(429, {"Retry-After": "3"}, times=2)
    client = PaletteClient(palette.url, SecretStr("secret"))
"""

import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from edgelift.demo.palette_api import create_palette_api
from edgelift.palette.models import ClusterProfile
from edgelift.serve.server import RunningServer
from tests.certificates import ServerCertificate
from tests.simulators.fault_layer import Exchange, Fault, FaultLayer, Rule
from tests.simulators.faults import answer, cut, stall


class PaletteSimulator:
    """Serves `profiles` on loopback while the `with` block runs, over TLS if it has a certificate.

    Other keyword arguments go to the stand-in.
    """

    def __init__(
        self,
        profiles: Sequence[ClusterProfile],
        api_key: str,
        *,
        certificate: ServerCertificate | None = None,
        **settings: Any,
    ) -> None:
        self._layer = FaultLayer(create_palette_api(profiles, api_key, **settings))
        cert, key = (certificate.cert, certificate.key) if certificate else (None, None)
        self._server = RunningServer(self._layer, certfile=cert, keyfile=key)
        self._is_released = False

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_released = True
        self._server.__exit__(kind, error, trace)

    @property
    def url(self) -> str:
        """Scheme and host."""
        return self._server.url

    @property
    def host(self) -> str:
        """Host and port."""
        return self._server.host

    @property
    def exchanges(self) -> list[Exchange]:
        """Every request so far, those that a fault struck included."""
        return self._layer.exchanges

    @property
    def paths(self) -> list[str]:
        """The paths of all requests so far."""
        return [exchange.path for exchange in self.exchanges]

    def answers_with(
        self,
        status: int,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        path: str = "",
        times: int | None = 1,
    ) -> None:
        """Answer like that instead, on paths that match `path`."""
        self._add(answer(status, headers or {}, body), path, times)

    def resets(self, *, path: str = "", times: int | None = 1) -> None:
        """Reset the connection at the first byte of the answer's body."""
        self._add(cut(0, reset=True), path, times)

    def stalls(self, *, path: str = "", times: int | None = 1) -> None:
        """Say nothing until the simulator is closed."""
        self._add(stall(None, None, lambda: self._is_released), path, times)

    def _add(self, fault: Fault, path: str, times: int | None) -> None:
        self._layer.rules.append(Rule(fault, None, re.compile(path), times))
