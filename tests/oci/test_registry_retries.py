"""What is tried again, how long, and what is told when it stays as it is."""

import datetime
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import format_datetime
from pathlib import Path

import pytest

from edgelift.demo.content import make_image
from edgelift.errors import ConfigurationError, NotFoundError, RegistryError, UnreachableError
from edgelift.oci.credentials import Credentials
from edgelift.oci.registry import Registry
from edgelift.oci.wire import ATTEMPTS
from edgelift.transport import TransportSettings
from tests.certificates import Authority
from tests.oci.clocks import Hands
from tests.simulators.http_faults import Answer, HttpFaults
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app")


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry that holds one image."""
    with RegistrySimulator(tmp_path) as simulator:
        simulator.put_image(APP)
        yield simulator


def open_registry(host: str, hands: Hands | None = None, settings: TransportSettings | None = None) -> Registry:
    """A client that does not really wait between attempts."""
    return Registry(host, settings or TransportSettings(), Credentials(), clock=(hands or Hands()).clock)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(status: int, sim: RegistrySimulator) -> None:
    """A refusal that may not last is met with another attempt."""
    sim.fail("GET", "/manifests/", status=status, times=3)
    manifest = open_registry(sim.host).read_manifest("team/app", "1.0")

    assert (manifest.descriptor, sim.count("GET", "/manifests/")) == (APP.root, 4)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413, 415, 501])
def test_what_will_not_pass_is_not_tried_again(status: int, sim: RegistrySimulator) -> None:
    """A refusal that is meant costs one request."""
    sim.fail("GET", "/manifests/", status=status, times=None)

    with pytest.raises(RegistryError, match=f"cannot read team/app:1.0: {status}".replace(".", r"\.")):
        open_registry(sim.host).read_manifest("team/app", "1.0")

    assert sim.count("GET", "/manifests/") == 1


def test_attempts_are_bounded_and_wait_longer_and_longer(sim: RegistrySimulator) -> None:
    """What does not pass ends as the error that it is, after a bounded number of attempts with growing delays."""
    sim.fail("GET", "/manifests/", status=503, times=None)
    hands = Hands()

    with pytest.raises(RegistryError, match="503 UNAVAILABLE") as caught:
        open_registry(sim.host, hands).read_manifest("team/app", "1.0")

    assert (sim.count("GET", "/manifests/"), caught.value.retryable) == (ATTEMPTS, True)
    bounds = [0.5 * 2**attempt for attempt in range(ATTEMPTS - 1)]
    assert [slept <= bound for slept, bound in zip(hands.slept, bounds, strict=True)] == [True] * (ATTEMPTS - 1)


def test_connections_that_break_are_tried_again(sim: RegistrySimulator) -> None:
    """A connection that is reset in place of an answer costs an attempt."""
    sim.lose_response("GET", "/tags/", times=2)

    assert open_registry(sim.host).list_tags("team/app") == ("1.0",)


def in_a_minute() -> str:
    """A date, as HTTP writes it."""
    return format_datetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=60), usegmt=True)


RETRY_AFTER: dict[str, tuple[Callable[[], str], float]] = {
    "seconds": (lambda: "7", 7.0),
    "a date": (in_a_minute, 58.0),
}


@pytest.mark.parametrize(("header", "least"), RETRY_AFTER.values(), ids=RETRY_AFTER)
@pytest.mark.parametrize("status", [429, 503])
def test_the_time_that_a_registry_wants_is_given(
    status: int, header: Callable[[], str], least: float, sim: RegistrySimulator
) -> None:
    """`Retry-After` is honoured, in seconds and as a date."""
    sim.fail("GET", "/manifests/", status=status, retry_after=header())
    hands = Hands()
    open_registry(sim.host, hands).read_manifest("team/app", "1.0")

    assert least <= sum(hands.slept) < least + 10


def test_one_thread_that_is_told_to_wait_holds_all(sim: RegistrySimulator) -> None:
    """The pause is the registry's, not the thread's: what another thread asks for waits, too."""
    registry = Registry(sim.host, TransportSettings(), Credentials())  # in real time
    registry.log_in()
    sim.fail("GET", "/manifests/", status=429, retry_after=2)
    told = threading.Thread(target=registry.read_manifest, args=("team/app", "1.0"))
    told.start()
    while sim.count(status=429) == 0:
        time.sleep(0.01)
    time.sleep(0.1)  # the answer has to get through
    started = time.monotonic()
    registry.list_tags("team/app")
    waited = time.monotonic() - started
    told.join()

    assert waited > 0.5


def test_a_registry_that_wants_too_long_is_left_at_once(sim: RegistrySimulator) -> None:
    """An hour is for another run: the error says until when, other threads get it too, and nobody sleeps it off."""
    sim.fail("GET", "/manifests/", status=429, retry_after=3600)
    hands = Hands()
    registry = open_registry(sim.host, hands)

    for _ in range(2):
        with pytest.raises(RegistryError, match="rate limited until") as caught:
            registry.read_manifest("team/app", "1.0")
        assert caught.value.retryable

    assert (sim.count("GET", "/manifests/"), sum(hands.slept) < 10) == (1, True)


WRITES: dict[str, Callable[[Registry], object]] = {
    "a blob": lambda registry: registry.upload_blob(
        "team/new", APP.blobs[0], lambda: iter([APP.contents[APP.blobs[0].digest]])
    ),
    "a manifest": lambda registry: registry.write_manifest(
        "team/app", "2.0", APP.contents[APP.root.digest], APP.root.media_type
    ),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_writes_do_not_sit_out_a_long_pause(write: Callable[[Registry], object], sim: RegistrySimulator) -> None:
    """A write that is told to wait for an hour ends as soon."""
    sim.fail("PUT", status=429, retry_after=3600)
    hands = Hands()

    with pytest.raises(RegistryError, match="rate limited until"):
        write(open_registry(sim.host, hands))

    assert (sim.count("PUT"), sum(hands.slept) < 10) == (1, True)


def test_retries_are_logged_with_their_reason(sim: RegistrySimulator, caplog: pytest.LogCaptureFixture) -> None:
    """Who watches a run that waits can see why."""
    sim.fail("GET", "/manifests/", status=503)
    with caplog.at_level(logging.INFO, "edgelift"):
        open_registry(sim.host).read_manifest("team/app", "1.0")

    assert f"{sim.host}: cannot read team/app:1.0: 503" in caplog.text


# Logging in: the first thing that goes wrong for people


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_a_registry_that_does_not_run() -> None:
    """A refused connection is told as such, after few attempts."""
    hands, host = Hands(), f"127.0.0.1:{closed_port()}"

    with pytest.raises(UnreachableError, match=f"{host}: cannot log in: connection refused") as caught:
        open_registry(host, hands).log_in()

    assert (len(hands.slept), caught.value.retryable) == (2, True)


@pytest.mark.parametrize("host", ["https://registry.example.com", "registry.example.com/team", "a b", ""])
def test_a_host_that_is_none(host: str) -> None:
    """What is no host is a mistake in the settings, told before anything is sent."""
    with pytest.raises(ConfigurationError, match="is not a registry host"):
        open_registry(host)


def test_a_name_that_nobody_knows() -> None:
    """A misspelt name is told as such, and once."""
    hands = Hands()

    with pytest.raises(UnreachableError, match=r"registry\.invalid: cannot log in: its name is not known"):
        open_registry("registry.invalid", hands).log_in()


def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    """An authority of one's own is the usual case: the option that names it is named."""
    with (
        RegistrySimulator(tmp_path / "registry", certificate=Authority(tmp_path).issue("127.0.0.1")) as sim,
        pytest.raises(UnreachableError, match="its TLS certificate is not trusted here") as caught,
    ):
        open_registry(sim.host).log_in()

    assert ("--ca-cert" in (caught.value.hint or ""), caught.value.retryable, sim.count()) == (True, False, 0)


def test_a_certificate_that_has_expired(tmp_path: Path) -> None:
    """An expired certificate may as well be a wrong clock."""
    authority = Authority(tmp_path)
    certificate = authority.issue("127.0.0.1", expires_in=datetime.timedelta(days=-1))
    with (
        RegistrySimulator(tmp_path / "registry", certificate=certificate) as sim,
        pytest.raises(UnreachableError, match="not valid now") as caught,
    ):
        open_registry(sim.host, settings=TransportSettings(ca_cert=authority.ca_cert)).log_in()

    assert "clock" in (caught.value.hint or "")


def test_a_certificate_for_another_name(tmp_path: Path) -> None:
    """The name in the certificate decides."""
    authority = Authority(tmp_path)
    with (
        RegistrySimulator(tmp_path / "registry", certificate=authority.issue("registry.example.com")) as sim,
        pytest.raises(UnreachableError, match="for another host"),
    ):
        open_registry(sim.host, settings=TransportSettings(ca_cert=authority.ca_cert)).log_in()


def test_plain_http_to_a_registry_with_tls() -> None:
    """The opposite mistake is told as well."""
    with (
        HttpFaults(lambda _: Answer(400, body=b"Client sent an HTTP request to an HTTPS server.")) as server,
        pytest.raises(RegistryError) as caught,
    ):
        open_registry(server.host, settings=TransportSettings(plain_http=frozenset({server.host}))).log_in()

    assert "wants TLS" in (caught.value.hint or "")


def test_a_web_server_that_is_no_registry() -> None:
    """A wrong port often has some server on it."""
    with (
        HttpFaults(lambda _: Answer(404, body=b"<html>no such page</html>")) as server,
        pytest.raises(NotFoundError, match="is a web server, but not a registry"),
    ):
        open_registry(server.host).log_in()


def test_a_registry_on_this_machine_may_start_later() -> None:
    """Whether a local registry knows TLS is not decided while nobody answers."""
    port = closed_port()
    registry = open_registry(f"127.0.0.1:{port}")
    with pytest.raises(UnreachableError):
        registry.log_in()

    with HttpFaults(port=port) as server:
        registry.log_in()

    assert [request.target for request in server.requests] == ["/v2/"]
