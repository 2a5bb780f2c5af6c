"""A process that is told to end: its transfers stop at the next piece, and leave what has arrived to be continued."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgelift import stopping
from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import StoppedError
from edgelift.oci.credentials import Credentials
from edgelift.oci.pacing import Clock
from edgelift.oci.pull import pull_blob
from edgelift.oci.registry import Registry
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings, open_client
from tests.certificates import Authority
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app", layers=(SampleLayer("tar", 400_000),))
BLOB = max(APP.blobs, key=lambda blob: blob.size)
CONTENT = APP.contents[BLOB.digest]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """What this process is told, which it forgets after the test."""
    event = threading.Event()
    monkeypatch.setattr(stopping, "_told", event)
    return event


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry with one image."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        simulator.put_image(APP)
        yield simulator


def after(many: int, act: Callable[[], None]) -> Callable[[int], None]:
    """A callback for bytes done that acts once so many are."""
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        if done >= many:
            act()

    return progress


def test_a_download_stops_and_is_continued(told: threading.Event, sim: RegistrySimulator, tmp_path: Path) -> None:
    """Not one request more goes out; what has arrived is kept, and only the rest is asked for the next time."""
    store, registry = LocalStore(tmp_path / "store"), Registry(sim.host, TransportSettings(), Credentials())
    sim.drip(piece=40_000, pause=0.01, times=None)

    with pytest.raises(StoppedError) as raised:
        pull_blob(registry, "team/app", BLOB, store, progress=after(100_000, stopping.stop_transfers))
    asked, (partial,) = sim.count("GET", "/blobs/"), (store.root / "partial").iterdir()
    arrived = partial.read_bytes()
    told.clear()
    sim.heal()
    pull_blob(registry, "team/app", BLOB, store)

    assert (raised.value.retryable, asked) == (False, 1)
    assert 100_000 <= len(arrived) < len(CONTENT)
    assert CONTENT.startswith(arrived)
    assert sim.requests[-1].headers["range"] == f"bytes={len(arrived)}-"
    assert b"".join(store.read(BLOB)) == CONTENT


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
def test_a_silent_server_keeps_nobody(told: threading.Event, tmp_path: Path, *, is_tls: bool) -> None:
    """Who waits for it is woken, and what had arrived is kept."""
    authority = Authority(tmp_path)
    certificate = authority.issue("127.0.0.1") if is_tls else None
    store = LocalStore(tmp_path / "store")
    with RegistrySimulator(tmp_path / "registry", certificate=certificate) as sim:
        sim.put_image(APP)
        sim.stall(after_bytes=100_000, times=None)
        settings = TransportSettings(ca_cert=authority.ca_cert, plain_http=frozenset(() if is_tls else (sim.host,)))
        registry = Registry(sim.host, settings, Credentials())
        begun = time.monotonic()

        with told_soon(), pytest.raises(StoppedError):
            pull_blob(registry, "team/app", BLOB, store)
        waited = time.monotonic() - begun

    assert told.is_set()
    assert waited < settings.idle_timeout / 2
    (partial,) = (store.root / "partial").iterdir()
    assert partial.read_bytes() == CONTENT[:100_000]


def test_a_body_that_ends_with_its_connection_keeps_nobody(told: threading.Event) -> None:
    """The connection is not in our hands any more, its socket is; and what we have cut short is not taken for whole."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"

        def serve() -> None:
            served, _ = listener.accept()
            served.recv(65536)
            served.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nthe beginning")
            told.wait(60)
            served.close()

        threading.Thread(target=serve, daemon=True).start()
        client, arrived = open_client(TransportSettings(plain_http=frozenset((host,))), host), list[bytes]()
        with told_soon(), pytest.raises(StoppedError), client.stream("GET", f"http://{host}/") as response:
            arrived.extend(response.iter_raw())

    assert arrived == [b"the beginning"]


@contextmanager
def told_soon() -> Iterator[None]:
    """This process is told to end a second after the block has begun, if that goes on for so long."""
    timer = threading.Timer(1, stopping.stop_transfers)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def test_an_upload_stops(told: threading.Event, sim: RegistrySimulator) -> None:
    """A body is not sent to its end, and nothing that would be half has a name."""
    registry = Registry(sim.host, TransportSettings(), Credentials())

    def content() -> Iterator[bytes]:
        yield CONTENT[:100_000]
        stopping.stop_transfers()
        yield CONTENT[100_000:]

    with pytest.raises(StoppedError):
        registry.upload_blob("team/other", BLOB, content)

    told.clear()
    assert registry.blob_size("team/other", BLOB.digest) is None


def test_a_pause_ends(told: threading.Event) -> None:
    """Who waits as a registry wants it is woken."""
    begun = time.monotonic()
    threading.Timer(0.05, stopping.stop_transfers).start()

    with pytest.raises(StoppedError):
        Clock().sleep(60)

    assert time.monotonic() - begun < 30
    assert told.is_set()
