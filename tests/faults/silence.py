"""Silence in all the places where it can come, and how long a pull takes that meets it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edgelift.demo.content import SampleLayer, make_image
from edgelift.oci.credentials import Credentials
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_MANIFEST
from edgelift.oci.registry import Registry
from edgelift.serve.access import Login
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.certificates import Authority
from tests.faults.parts import assert_store_is_whole, layer_of, pull, sent_blobs, size_of
from tests.simulators.http_faults import Answer, HttpFaults, Request
from tests.simulators.registry import RegistrySimulator
from tests.simulators.token_server import TokenServer

APP = make_image("team/app", layers=(SampleLayer("tar", 400_000),))
LAYER = layer_of(APP)
BLOBS = {blob.digest for blob in APP.blobs}


@dataclass(frozen=True)
class Met:
    """A pull that met silence and came to its end: seconds it took, bytes that were sent for it."""

    seconds: float
    moved: int


@contextmanager
def registry_at(folder: Path, tokens: TokenServer | None = None) -> Iterator[RegistrySimulator]:
    """A registry with the image."""
    with RegistrySimulator(folder / "registry", tokens=tokens) as sim:
        sim.put_image(APP)
        yield sim


def _measure(sim: RegistrySimulator, folder: Path, settings: TransportSettings) -> Met:
    store = LocalStore(folder / "store")
    registry = Registry(sim.host, settings, Credentials())
    begun = time.monotonic()
    pull(registry, APP, store)
    seconds = time.monotonic() - begun
    registry.close()
    assert_store_is_whole(store, APP)
    return Met(seconds, sent_blobs(sim))


def stall_in_the_body(folder: Path, settings: TransportSettings) -> Met:
    """Half of a layer comes, then nothing."""
    with registry_at(folder) as sim:
        sim.stall("GET", LAYER.digest, after_bytes=200_000)
        return _measure(sim, folder, settings)


def stall_before_the_headers(folder: Path, settings: TransportSettings) -> Met:
    """A request is taken and never answered."""
    with registry_at(folder) as sim:
        sim.stall("GET", LAYER.digest, after_bytes=None)
        return _measure(sim, folder, settings)


def stall_at_the_token_server(folder: Path, settings: TransportSettings) -> Met:
    """The token server takes the request for a token and says nothing."""
    with registry_at(folder, TokenServer(Login("courier", "made up"), anonymous=True)) as sim:
        sim.stall("GET", "^/token", after_bytes=None)
        return _measure(sim, folder, settings)


def drip(folder: Path, settings: TransportSettings) -> Met:
    """Half of a layer comes, then a byte a second."""
    with registry_at(folder) as sim:
        sim.drip(LAYER.digest, after_bytes=200_000, piece=1, pause=min(1.0, settings.idle_timeout / 10))
        return _measure(sim, folder, settings)


def stall_in_the_handshake(folder: Path, settings: TransportSettings) -> Met:
    """A server takes a connection and says nothing to the TLS greeting; the next one it answers."""
    authority = Authority(folder)
    store, moved = LocalStore(folder / "store"), 0

    def respond(request: Request) -> Answer:
        nonlocal moved
        digest = Digest(request.target.rpartition("/")[2]) if "sha256:" in request.target else None
        if digest is None or request.method != "GET":
            return Answer(404 if digest else 200)
        moved += len(APP.contents[digest]) if digest in BLOBS else 0
        return Answer(headers=(("Content-Type", OCI_MANIFEST),), body=APP.contents[digest])

    with HttpFaults(respond, authority.issue("127.0.0.1"), silent_first=1) as server:
        registry = Registry(server.host, replace(settings, ca_cert=authority.ca_cert), Credentials())
        begun = time.monotonic()
        pull(registry, APP, store)
        seconds = time.monotonic() - begun
        registry.close()
    assert_store_is_whole(store, APP)
    return Met(seconds, moved)


SILENCES: dict[str, Callable[[Path, TransportSettings], Met]] = {
    "stalled in the middle of a body": stall_in_the_body,
    "stalled before the headers": stall_before_the_headers,
    "stalled token server": stall_at_the_token_server,
    "one byte a second": drip,
    "stalled TLS handshake": stall_in_the_handshake,
}
NEEDED = size_of(APP)
