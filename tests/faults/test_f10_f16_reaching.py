"""Faults F10, F16 and F29: registries out of reach, clocks that are wrong, and proxies that answer instead."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import EdgeliftError, RegistryError, UnreachableError
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.certificates import Authority
from tests.faults.children import Outcome, run_alone
from tests.faults.jobs import Job
from tests.faults.parts import (
    assert_nothing_wrong_has_a_name,
    assert_store_is_whole,
    layer_of,
    open_registry,
    pull,
    read_lock,
    sent_blobs,
    size_of,
    write_lock,
)
from tests.faults.table import Notes
from tests.oci.clocks import Hands
from tests.real_parts import require_tool
from tests.simulators.http_faults import Answer, HttpFaults
from tests.simulators.registry import RegistrySimulator
from tests.simulators.token_server import TokenServer

APP = make_image("team/app", layers=(SampleLayer("tar", 400_000),))
LAYER = layer_of(APP)


# F10


@contextmanager
def closed_port() -> Iterator[str]:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
    yield host


@contextmanager
def black_hole() -> Iterator[str]:
    """A port that takes no connection and refuses none: its queue is full, so the kernel lets greetings drop."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        filling = [socket.socket() for _ in range(8)]
        for each in filling:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        for each in filling:
            each.close()


@contextmanager
def unknown_name() -> Iterator[str]:
    """A name that no server knows (RFC 6761 §6.4)."""
    yield "registry.invalid"


UNREACHABLE = {
    "a closed port": (closed_port, "connection refused", True),
    "a name that nobody knows": (unknown_name, "its name is not known", False),
    "a black hole": (black_hole, "no connection in time", True),
}


@pytest.mark.parametrize(("what", "place"), UNREACHABLE.items(), ids=UNREACHABLE)
def test_f10_a_registry_out_of_reach(
    what: str, place: tuple[Callable[[], object], str, bool], store: LocalStore, note: Notes
) -> None:
    """What cannot be reached is told as such, with a bounded number of attempts, each with its own time-out."""
    make, reason, is_retryable = place
    hands = Hands()
    with make() as host, pytest.raises(UnreachableError, match=reason) as caught:  # type: ignore[attr-defined]
        pull(open_registry(host, TransportSettings(connect_timeout=0.1), hands=hands), APP, store)

    assert caught.value.message.startswith(f"{host}: cannot read team/app")
    assert (caught.value.retryable, caught.value.hint is not None) == (is_retryable, True)
    assert sum(hands.slept) < 600
    assert not store.exists(APP.root)
    assert_nothing_wrong_has_a_name(store)
    note(what, f"unreachable: {reason}; retryable: {'yes' if is_retryable else 'no'}")


def test_f10_one_of_two_out_of_reach(sim: RegistrySimulator, tmp_path: Path, note: Notes) -> None:
    """A registry that is gone keeps its own images away and no others; the report names each of them."""
    with RegistrySimulator(tmp_path / "other") as other:
        images = [make_image(f"team/app-{number}") for number in range(3)]
        sim.put_image(images[0])
        other.put_image(*images[1:])
        locks = [read_lock(write_lock(tmp_path / "a", sim.host, images[0]))]
        locks.append(read_lock(write_lock(tmp_path / "b", other.host, *images[1:])))
    both = locks[0].model_copy(update={"images": (*locks[0].images, *locks[1].images)})
    lock = tmp_path / "lock.json"
    lock.write_bytes(both.to_json())

    outcome = run_alone(Job(("pull",), str(lock), str(tmp_path / "store"), attempts=2))

    assert outcome.code == 3
    assert all(image.reference in outcome.said for image in locks[1].images)
    assert locks[0].images[0].reference not in outcome.said
    store = LocalStore(tmp_path / "store")
    assert all(store.exists(each) for each in (*images[0].manifests, *images[0].blobs))
    assert_nothing_wrong_has_a_name(store)
    note("one registry of two is gone", "the other one's images done, exit 3, each missing one named")


# F16


def with_clock(job: Job, shift: str, *, tmp_path: Path) -> Outcome:
    """The job in a process whose wall clock is shifted; its monotonic one is not, as on a real machine."""
    require_tool("faketime")
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    told = tmp_path / "time"
    told.write_text(f"{shift}\n")
    environment = {
        "LD_PRELOAD": str(library),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_TIMESTAMP_FILE": str(told),
    }
    return run_alone(job, environment=environment)


SHIFTS = {"two hours ahead": "+2h", "two hours behind": "-2h", "two days ahead": "+2d", "two days behind": "-2d"}


@pytest.mark.parametrize(("what", "shift"), SHIFTS.items(), ids=SHIFTS)
def test_f16_a_wrong_clock(what: str, shift: str, tmp_path: Path, note: Notes) -> None:
    """Tokens live by the monotonic clock: with the wall clock hours or days off, each is fetched once and works."""
    tokens = TokenServer(None, anonymous=True)
    with RegistrySimulator(tmp_path / "registry", tokens=tokens) as sim:
        sim.put_image(APP)
        lock = write_lock(tmp_path / "lock.json", sim.host, APP)
        sim.forget_requests()
        tokens.requested.clear()
        outcome = with_clock(Job(("pull",), str(lock), str(tmp_path / "store")), shift, tmp_path=tmp_path)
        moved, asked = sent_blobs(sim), len(tokens.requested)

    assert (outcome.code, outcome.said, asked) == (0, "", 1)
    assert_store_is_whole(LocalStore(tmp_path / "store"), APP)
    note(f"a clock {what}", "one token, pulled", moved=moved, needed=size_of(APP))


def test_f16_a_clock_that_jumps(tmp_path: Path, note: Notes) -> None:
    """A clock that is set two days back and then two hours ahead during a body changes nothing: no new token."""
    tokens = TokenServer(None, anonymous=True)
    with RegistrySimulator(tmp_path / "registry", tokens=tokens) as sim:
        sim.put_image(APP)
        lock = write_lock(tmp_path / "lock.json", sim.host, APP)
        sim.forget_requests()
        tokens.requested.clear()
        sim.drip(LAYER.digest, piece=20_000, pause=0.05)
        with ThreadPoolExecutor(1) as pool:
            job = Job(("pull",), str(lock), str(tmp_path / "store"))
            running = pool.submit(with_clock, job, "+0", tmp_path=tmp_path)
            for shift, mark in (("-2d", 100_000), ("+2h", 250_000)):
                while sent_blobs(sim) < mark and not running.done():
                    pass
                (tmp_path / "time").write_text(f"{shift}\n")
            outcome = running.result()
        moved, asked = sent_blobs(sim), len(tokens.requested)

    assert (outcome.code, outcome.said, asked) == (0, "", 1)
    assert_store_is_whole(LocalStore(tmp_path / "store"), APP)
    note("a clock that jumps during a body", "one token, pulled", moved=moved, needed=size_of(APP))


@pytest.mark.parametrize(("what", "shift"), [("not yet", "-5d"), ("no longer", "+400d")])
def test_f16_a_clock_that_makes_certificates_invalid(what: str, shift: str, tmp_path: Path, note: Notes) -> None:
    """A certificate that is not valid by a wrong clock is told with the clock as the first thing to look at."""
    authority = Authority(tmp_path)
    lock = tmp_path / "lock.json"
    with RegistrySimulator(tmp_path / "plain") as sim:
        sim.put_image(APP)
        write_lock(lock, sim.host, APP)
        plain = sim.host
    with RegistrySimulator(tmp_path / "registry", certificate=authority.issue("127.0.0.1")) as sim:
        lock.write_text(lock.read_text().replace(plain, sim.host))
        job = Job(("pull",), str(lock), str(tmp_path / "store"), ca_cert=str(authority.ca_cert))
        outcome = with_clock(job, shift, tmp_path=tmp_path)
        asked = sim.count()

    assert (outcome.code, asked) == (3, 0)
    assert "its TLS certificate is not valid now" in outcome.said
    assert "check the clock of this machine" in outcome.said
    note(f"a clock by which a certificate is {what} valid", "refused: check the clock of this machine")


# F29


PROXY_ANSWERS: dict[str, tuple[Answer, str]] = {
    "407": (Answer(407, (("Proxy-Authenticate", 'Basic realm="corporate"'),), b"<html>log in</html>"), "407"),
    "502 with a page": (Answer(502, (("Content-Type", "text/html"),), b"<html>bad gateway</html>"), "502"),
    "200 with a page": (Answer(200, (("Content-Type", "text/html"),), b"<html>accept our terms</html>"), "cannot read"),
}


@pytest.mark.parametrize(("what", "answer"), PROXY_ANSWERS.items(), ids=PROXY_ANSWERS)
def test_f29_a_proxy_answers_instead(what: str, answer: tuple[Answer, str], store: LocalStore, note: Notes) -> None:
    """A page of a proxy is never taken for a manifest or a blob; what it said is told, without its markup."""
    name = "registry.example.com"
    with HttpFaults(lambda _: answer[0]) as proxy:
        settings = TransportSettings(proxy=proxy.url, plain_http=frozenset({name}))
        registry = open_registry(name, settings)
        with pytest.raises(EdgeliftError, match=answer[1]) as of_manifest:
            registry.read_manifest("team/app", "1.0")
        with pytest.raises(EdgeliftError) as of_image:
            pull(registry, APP, store)

    said = str(of_manifest.value) + str(of_image.value)
    assert "<html>" not in said
    assert name in said
    assert not store.exists(APP.root)
    assert_nothing_wrong_has_a_name(store)
    note(f"a proxy that answers {what}", "refused, and told; nothing of it kept")


def test_f29_a_proxy_that_wants_a_login(store: LocalStore, note: Notes) -> None:
    """A tunnel that is refused with 407 is told as the proxy's doing."""
    with HttpFaults(lambda _: Answer(407, (("Proxy-Authenticate", 'Basic realm="corporate"'),))) as proxy:
        registry = open_registry("registry.example.com", TransportSettings(proxy=proxy.url))
        with pytest.raises(UnreachableError, match="the proxy does not let us through") as caught:
            pull(registry, APP, store)

    assert "proxy's address and login" in str(caught.value.hint)
    note("407 to a tunnel", "the proxy does not let us through: check its address and login")


def test_f29_a_proxy_that_opens_tls(sim: RegistrySimulator, tmp_path: Path, note: Notes) -> None:
    """A certificate made by a proxy on the way is refused before any request, and the option for its CA is named."""
    stranger = Authority(tmp_path)
    with (
        RegistrySimulator(tmp_path / "behind", certificate=stranger.issue("127.0.0.1")) as behind,
        pytest.raises(RegistryError, match="its TLS certificate is not trusted here") as caught,
    ):
        pull(open_registry(behind.host), APP, LocalStore(tmp_path / "store"))

    assert "--ca-cert" in str(caught.value.hint)
    assert behind.count() == 0
    note("TLS opened by a proxy", "refused before the first request, --ca-cert named")


def test_f29_a_page_in_the_middle_of_a_pull(sim: RegistrySimulator, store: LocalStore, note: Notes) -> None:
    """A proxy that puts its page in a blob's place once costs one more request."""
    sim.put_image(APP)
    page = b"<html>please wait</html>"
    sim.reply("GET", LAYER.digest, status=200, headers={"Content-Type": "text/html"}, body=page)
    sim.reply("GET", "/manifests/", status=502, headers={"Content-Type": "text/html"}, body=page)

    pull(open_registry(sim.host), APP, store)

    assert_store_is_whole(store, APP)
    note("a page in a blob's place, once", "asked again", moved=sent_blobs(sim), needed=size_of(APP))
