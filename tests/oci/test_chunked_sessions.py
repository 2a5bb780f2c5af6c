"""Uploads in chunks: cut, unanswered, moved, and taken up again where the registry stands."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgelift.errors import RefusedError, RegistryError
from edgelift.oci.credentials import Credentials
from edgelift.oci.digest import Digest
from edgelift.oci.registry import Registry
from edgelift.oci.upload import UPLOADS
from edgelift.serve.access import Login
from edgelift.transport import TransportSettings
from tests.oci.chunks import (
    LARGE,
    MIB,
    SESSION,
    SMALL,
    Source,
    holds,
    in_chunks,
    open_registry,
    patches,
    ranges_of,
    upload,
)
from tests.oci.clocks import Hands
from tests.real_parts import RestartableRegistry, RunningRegistry
from tests.simulators.http_faults import Answer, HttpFaults, Request
from tests.simulators.profiles import Distribution3, Distribution28, Profile, Zot
from tests.simulators.registry import RegistrySimulator
from tests.simulators.token_server import TokenServer


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """An empty registry that keeps of an upload what has arrived."""
    with RegistrySimulator(tmp_path) as simulator:
        yield simulator


def test_a_chunk_whose_answer_is_lost_is_not_sent_again(sim: RegistrySimulator) -> None:
    """The registry is asked how far it is: Distribution 2.8 would append the same chunk a second time."""
    sim.lose_response("PATCH", SESSION, skip=1)
    registry, source = in_chunks(sim), Source(SMALL)

    assert upload(registry, source) == "uploaded"
    assert sum(each.received for each in sim.requests if each.method == "PATCH") == len(SMALL)
    assert (sim.count("GET", SESSION, status=204), source.begun) == (1, [0])


def test_any_progress_counts(sim: RegistrySimulator) -> None:
    """A session in which every answer is lost gets to its end, since every chunk has arrived."""
    sim.lose_response("PATCH", SESSION, times=None)

    assert upload(in_chunks(sim), Source(LARGE)) == "uploaded"
    assert (sim.count("PATCH"), sim.count("POST")) == (6, 1)


@pytest.mark.parametrize("ranges", [True, False], ids=["by ranges", "from the start"])
def test_a_chunk_that_is_cut_goes_on_where_the_registry_stands(ranges: bool, sim: RegistrySimulator) -> None:
    """What has arrived of it is not sent again; a source with ranges is not read again from the start."""
    sim.cut("PATCH", SESSION, after_bytes=MIB + 7, skip=1)
    registry, source = in_chunks(sim), Source(SMALL)

    assert upload(registry, source, ranges=ranges) == "uploaded"
    arrived = 3 * MIB + 7
    assert source.begun == ([0, arrived] if ranges else [0, 0])
    assert ranges_of(patches(sim))[1].startswith(f"{arrived}-")
    assert (sim.count("POST"), holds(registry, SMALL)) == (1, True)


PASSING: dict[str, Callable[[RegistrySimulator], None]] = {
    "busy": lambda sim: sim.fail("PATCH", SESSION, status=503, skip=1),
    "too many requests": lambda sim: sim.fail("PATCH", SESSION, status=429, retry_after=2, skip=1),
    "an error inside": lambda sim: sim.fail("PATCH", SESSION, status=500, times=3, skip=1),
    "a gateway": lambda sim: sim.fail("PATCH", SESSION, status=502, skip=1),
    "out of place": lambda sim: sim.fail("PATCH", SESSION, status=416, code="RANGE_INVALID", skip=1),
    "a session unknown to one server of several": lambda sim: sim.fail(
        "PATCH", SESSION, status=404, code="BLOB_UPLOAD_UNKNOWN", skip=1
    ),
    "the end is refused for now": lambda sim: sim.fail("PUT", SESSION, status=503),
    "the first chunk": lambda sim: sim.fail("PATCH", SESSION, status=503),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_session_outlives_what_passes(fault: Callable[[RegistrySimulator], None], sim: RegistrySimulator) -> None:
    """The registry is asked where it stands, and the same session goes on there: no byte arrives twice."""
    fault(sim)
    registry = in_chunks(sim)

    assert upload(registry, Source(SMALL)) == "uploaded"
    assert sum(each.received for each in patches(sim)) == len(SMALL)
    assert (sim.count("POST"), holds(registry, SMALL)) == (1, True)


@pytest.mark.parametrize("code", ["BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"])
def test_a_lost_session_is_replaced(code: str, sim: RegistrySimulator) -> None:
    """Where a session is gone a new one begins with the first byte."""
    sim.fail("PATCH", SESSION, status=404, code=code, skip=1)
    sim.fail("GET", SESSION, status=404, code=code)
    registry, source = in_chunks(sim), Source(SMALL)

    assert upload(registry, source) == "uploaded"
    assert (sim.count("POST"), source.begun, holds(registry, SMALL)) == (2, [0, 0], True)


def test_a_registry_that_loses_every_session_is_given_up(sim: RegistrySimulator) -> None:
    """The number of sessions is bounded; what happened is told, and that it may pass."""
    sim.fail("PATCH", SESSION, status=404, code="BLOB_UPLOAD_UNKNOWN", times=None)
    sim.fail("GET", SESSION, status=404, code="BLOB_UPLOAD_UNKNOWN", times=None)

    with pytest.raises(RegistryError, match=r"404 BLOB_UPLOAD_UNKNOWN .*cannot be continued") as caught:
        upload(in_chunks(sim), Source(SMALL))

    assert (sim.count("POST"), caught.value.retryable) == (UPLOADS, True)


def test_a_registry_that_stays_where_it_is_is_given_up(sim: RegistrySimulator) -> None:
    """Attempts without a byte of progress are bounded, in a session that lives."""
    sim.fail("PATCH", SESSION, status=500, times=None, skip=1)

    with pytest.raises(RegistryError, match="500") as caught:
        upload(in_chunks(sim), Source(SMALL))

    assert (caught.value.retryable, sim.count("PATCH") <= 6 * UPLOADS) == (True, True)


def test_the_end_whose_answer_is_lost_is_looked_for(sim: RegistrySimulator) -> None:
    """The blob is there: nothing is sent again, and no other session begins."""
    sim.lose_response("PUT", SESSION)
    registry = in_chunks(sim)

    assert upload(registry, Source(SMALL)) == "uploaded"
    assert [each.method for each in sim.requests if each.method != "PATCH"] == ["HEAD", "POST", "PUT", "HEAD"]
    assert sum(each.received for each in patches(sim)) == len(SMALL)


def test_the_end_whose_answer_is_lost_where_the_registry_is_not_believed(sim: RegistrySimulator) -> None:
    """With `force` nobody looks: the session is gone with the blob, so it is sent again."""
    sim.lose_response("PUT", SESSION)
    registry = in_chunks(sim)

    assert upload(registry, Source(SMALL), force=True) == "uploaded"
    assert (sim.count("HEAD"), sim.count("POST"), holds(registry, SMALL)) == (0, 2, True)


def test_a_token_that_ends_between_chunks_is_replaced(tmp_path: Path) -> None:
    """A chunk that is answered with 401 is sent once more with a new token."""
    tokens = TokenServer(Login("courier", "word"))

    moments = {2 * MIB, 4 * MIB}

    def revoke(position: int) -> None:
        if position in moments:
            moments.discard(position)
            tokens.revoke_all()

    with RegistrySimulator(tmp_path, tokens=tokens) as sim:
        credentials = Credentials.of([(sim.host, "courier", "word")])
        settings = TransportSettings(largest_request=2 * MIB)
        registry = Registry(sim.host, settings, credentials, clock=Hands().clock)

        assert upload(registry, Source(SMALL, revoke)) == "uploaded"
        assert (len(patches(sim)), sim.count("POST", status=202), holds(registry, SMALL)) == (3, 1, True)


PROFILES: dict[str, Callable[[], Profile]] = {
    "Distribution 2.8": Distribution28,
    "Distribution 3": Distribution3,
    "Zot": Zot,
}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_chunks_survive_a_cut_at_every_kind_of_registry(profile: Callable[[], Profile], tmp_path: Path) -> None:
    """A session that dies with a cut is replaced, one that lives goes on."""
    with RegistrySimulator(tmp_path, profile=profile()) as sim:
        sim.cut("PATCH", SESSION, after_bytes=MIB, skip=1)
        sim.lose_response("PATCH", SESSION, skip=3)
        registry = in_chunks(sim)

        assert upload(registry, Source(LARGE)) == "uploaded"
        assert holds(registry, LARGE)


def test_a_registry_that_claims_more_than_it_was_sent_is_not_believed() -> None:
    """Where an upload stands beyond what went out, it is another one's: it is not gone on with."""

    def respond(request: Request) -> Answer:
        if request.method == "GET":
            return Answer(204, (("Range", f"0-{4 * MIB}"),))
        place = ("Location", "/v2/team/app/blobs/uploads/1")
        return Answer({"POST": 202, "PATCH": 500}.get(request.method, 404), (place,))

    with HttpFaults(respond) as server, pytest.raises(RegistryError, match="cannot be continued"):
        upload(open_registry(server.host, largest_request=2 * MIB), Source(SMALL))

    assert [each.method for each in server.requests].count("POST") == UPLOADS


class MovingRegistry:
    """A registry that gives a session another address with each answer, and takes nothing at an old one."""

    def __init__(self, *, ranges: Callable[[int], str], storage: str = "") -> None:
        self.received = bytearray()
        self._ranges = ranges
        self._storage = storage
        self._step = 0

    def respond(self, request: Request) -> Answer:
        """Answer, and move on."""
        if request.method == "HEAD":
            return Answer(404)
        if request.method != "POST" and not request.target.startswith(f"/moved/{self._step}?state=a%2Bb"):
            return Answer(404, body=b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"moved"}]}')
        self._step += 1
        location = ("Location", f"{self._storage}/moved/{self._step}?state=a%2Bb")
        if request.method == "PATCH":
            self.received += request.body
            return Answer(202, (location, ("Range", self._ranges(len(self.received)))))
        return Answer(202, (location,)) if request.method == "POST" else Answer(201)


@pytest.mark.parametrize("form", ["0-{}", "bytes=0-{}", ""])
def test_a_session_is_followed_wherever_it_moves(form: str) -> None:
    """Each request goes to the address that the last answer named, to the letter; `Range` may be missing."""
    moving = MovingRegistry(ranges=lambda received: form.format(received - 1))
    with HttpFaults(moving.respond) as server:
        upload(open_registry(server.host, largest_request=2 * MIB), Source(SMALL))
        put = server.requests[-1]

    assert bytes(moving.received) == SMALL
    assert put.target == f"/moved/4?state=a%2Bb&digest={Digest.of(SMALL)}"
    assert put.headers["content-length"] == "0"


STANDS: dict[str, Callable[[int], str]] = {
    "at the beginning": lambda _: "0-0",
    "where it stood": lambda received: f"0-{min(received, 2 * MIB) - 1}",
    "beyond what was sent": lambda received: f"0-{received}",
}


@pytest.mark.parametrize("stands", STANDS.values(), ids=STANDS)
def test_a_registry_that_does_not_go_on_gets_no_more_chunks(stands: Callable[[int], str]) -> None:
    """Chunks that change nothing, or too much, are not repeated: the digest would find out at the very end."""
    moving = MovingRegistry(ranges=stands)
    with HttpFaults(moving.respond) as server, pytest.raises(RefusedError, match="it does not go on after byte"):
        upload(open_registry(server.host, largest_request=2 * MIB), Source(SMALL))

    assert len(moving.received) <= 4 * MIB


def test_a_part_of_a_chunk_is_progress() -> None:
    """A registry that takes less than it was sent gets the rest with the next chunk."""
    taken: list[int] = []

    def respond(request: Request) -> Answer:
        session = ("Location", "/v2/team/app/blobs/uploads/1")
        if request.method == "PATCH":
            start, _, _ = request.headers["content-range"].partition("-")
            assert int(start) == sum(taken)
            taken.append(min(len(request.body), MIB))
            return Answer(202, (session, ("Range", f"0-{sum(taken) - 1}")))
        return Answer(404) if request.method == "HEAD" else Answer(202 if request.method == "POST" else 201, (session,))

    source = Source(SMALL)
    with HttpFaults(respond) as server:
        assert upload(open_registry(server.host, largest_request=2 * MIB), source) == "uploaded"

    assert (sum(taken), source.begun[0]) == (len(SMALL), 0)


def test_chunks_for_another_server_go_without_credentials() -> None:
    """Bytes may go where the registry says; the login does not, and a place that it has no business with gets none."""
    moving = MovingRegistry(ranges=lambda received: f"0-{received - 1}")
    with HttpFaults(moving.respond) as storage:

        def respond(request: Request) -> Answer:
            if "authorization" not in request.headers:
                return Answer(401, (("WWW-Authenticate", "Basic realm=x"),))
            return moving.respond(request) if request.method == "HEAD" else Answer(202, (location,))

        location = ("Location", f"{storage.url}/moved/0?state=a%2Bb")
        with HttpFaults(respond) as server:
            credentials = Credentials.of([(server.host, "courier", "canary")])
            settings = TransportSettings(largest_request=2 * MIB)
            upload(Registry(server.host, settings, credentials, clock=Hands().clock), Source(SMALL))

        assert bytes(moving.received) == SMALL
        assert not any("authorization" in request.headers for request in storage.requests)


def test_a_session_that_moves_to_where_it_has_no_business_is_not_followed() -> None:
    """Every address that a chunk is answered with goes through the gate."""
    moving = MovingRegistry(ranges=lambda received: f"0-{received - 1}")

    def respond(request: Request) -> Answer:
        if request.method == "PATCH":
            return Answer(202, (("Location", "http://169.254.169.254/latest/"), ("Range", "0-2097151")))
        return moving.respond(request)

    with HttpFaults(respond) as server, pytest.raises(RegistryError, match=server.host) as caught:
        upload(open_registry(server.host, largest_request=2 * MIB), Source(SMALL))

    assert (caught.value.retryable, len([each for each in server.requests if each.method == "PATCH"])) == (False, 1)


# The real thing


def test_debians_registry_takes_chunks(docker_registry: RunningRegistry) -> None:
    """Distribution 2.8 puts the chunks together, and serves the blob."""
    registry = open_registry(docker_registry.host, largest_request=2 * MIB)

    assert upload(registry, Source(SMALL)) == "uploaded"
    assert holds(registry, SMALL)


def test_debians_registry_is_restarted_between_chunks(tmp_path: Path) -> None:
    """It forgets its sessions when it is killed: the upload begins anew when it is back, and arrives."""
    (tmp_path / "registry").mkdir()
    server = RestartableRegistry(tmp_path / "registry")
    kills = {3 * MIB, 4 * MIB}  # in the middle of a chunk, and at the beginning of one

    def restart(position: int) -> None:
        if position in kills:
            kills.discard(position)
            server.kill()
            server.start()

    try:
        registry, source = open_registry(server.host, largest_request=2 * MIB), Source(SMALL, restart)

        assert upload(registry, source) == "uploaded"
        assert (holds(registry, SMALL), kills) == (True, set())
    finally:
        server.kill()
