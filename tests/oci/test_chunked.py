"""Uploads in chunks, where a registry or a proxy takes no blob whole: against limits, cuts and lost sessions."""

import gc
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import IntegrityError, RefusedError, RegistryError, UnreachableError
from edgelift.oci.chunked import CHUNK_SIZE, LARGEST_DEMAND, SMALLEST_CHUNK, BlobSource, RequestLimit
from edgelift.oci.content import ImageContent
from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.push import KnownBlobs, push_content
from edgelift.oci.registry import Registry
from edgelift.oci.upload import UPLOADS
from edgelift.serve.access import Login
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.oci.clocks import Hands
from tests.real_parts import RestartableRegistry, RunningRegistry
from tests.simulators.fault_layer import Exchange
from tests.simulators.http_faults import Answer, HttpFaults, Request
from tests.simulators.profiles import Distribution3, Distribution28, Ecr, Ghcr, Profile, Zot
from tests.simulators.registry import RegistrySimulator
from tests.simulators.token_server import TokenServer

MIB = 2**20
REPOSITORY = "team/app"
SESSION = "/blobs/uploads/."
PIECE = 256 * 1024


def make_content(size: int, seed: int = 0) -> bytes:
    """Bytes that look like a layer."""
    return random.Random(seed).randbytes(size)


def describe(content: bytes) -> Descriptor:
    """A blob with `content`."""
    return Descriptor(media_type="application/octet-stream", digest=Digest.of(content), size=len(content))


SMALL = make_content(5 * MIB + 1)
LARGE = make_content(12 * MIB, seed=1)
HUGE = make_content(28 * MIB, seed=2)


@dataclass(frozen=True)
class Place:
    """A destination."""

    repository: str
    tag: str


class Source:
    """A store with one blob in it; counts from where it is read. `before` is called before each piece."""

    def __init__(self, content: bytes, before: Callable[[int], None] = lambda _: None) -> None:
        self.content = content
        self.blob = describe(content)
        self.begun: list[int] = []
        self._before = before

    def read(self) -> Iterator[bytes]:
        """All of it."""
        return self.read_range(0, len(self.content))

    def read_range(self, start: int, stop: int) -> Iterator[bytes]:
        """A part of it."""
        self.begun.append(start)
        for position in range(start, stop, PIECE):
            self._before(position)
            yield self.content[position : min(position + PIECE, stop)]


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """An empty registry that keeps of an upload what has arrived."""
    with RegistrySimulator(tmp_path) as simulator:
        yield simulator


def open_registry(host: str, hands: Hands | None = None, **settings: int) -> Registry:
    """A client that does not wait between attempts."""
    limits = TransportSettings(largest_request=settings.get("largest_request"))
    return Registry(host, limits, Credentials(), clock=(hands or Hands()).clock)


def upload(registry: Registry, source: Source, *, ranges: bool = True, force: bool = False) -> str:
    """Upload the blob of `source`."""
    read_range = source.read_range if ranges else None
    return registry.upload_blob(REPOSITORY, source.blob, source.read, read_range=read_range, force=force)


def holds(registry: Registry, content: bytes) -> bool:
    """Whether the registry serves exactly `content`."""
    return b"".join(registry.read_blob(REPOSITORY, describe(content)).chunks) == content


def patches(sim: RegistrySimulator, status: int | None = 202) -> list[Exchange]:
    """The chunks that were answered with `status`."""
    return [each for each in sim.requests if each.method == "PATCH" and each.status == status]


def ranges_of(exchanges: list[Exchange]) -> list[str]:
    """What part of the blob each chunk was."""
    return [each.headers["content-range"] for each in exchanges]


def follow(sim: RegistrySimulator) -> Callable[[int], None]:
    """Keeps a source from being read far ahead of what has arrived, as a slow line does."""

    def wait(position: int) -> None:
        deadline = time.monotonic() + 0.3
        while sim.requests[-1].method == "PUT" and sim.requests[-1].received + 2 * PIECE < position:
            if time.monotonic() > deadline:
                return
            time.sleep(0.001)

    return wait


# A limit that is told


def test_a_blob_that_is_too_large_for_one_request_goes_in_chunks(sim: RegistrySimulator) -> None:
    """After a 413 the blob is sent in chunks that get through: in order, each of its bytes once, none read twice."""
    sim.limit_requests(2 * MIB + 5)
    registry, source = open_registry(sim.host), Source(SMALL)

    assert upload(registry, source) == "uploaded"
    assert ranges_of(patches(sim)) == ["0-2097151", "2097152-4194303", f"4194304-{len(SMALL) - 1}"]
    assert [each.headers["content-length"] for each in patches(sim)] == ["2097152", "2097152", "1048577"]
    assert (sim.count("PUT", SESSION, status=201), sim.count("DELETE", SESSION, status=204)) == (1, 1)
    assert holds(registry, SMALL)


def test_what_a_proxy_has_taught_is_remembered(sim: RegistrySimulator) -> None:
    """Later blobs do not run into the same limit: larger ones go in chunks at once, smaller ones in one request."""
    sim.limit_requests(2 * MIB)
    registry = open_registry(sim.host)
    upload(registry, Source(SMALL))
    sim.forget_requests()
    second, third = make_content(3 * MIB, seed=2), make_content(2 * MIB, seed=3)

    assert [upload(registry, Source(content)) for content in (second, third)] == ["uploaded", "uploaded"]
    assert (sim.count(status=413), len(patches(sim))) == (0, 2)
    assert [each.method for each in sim.requests] == ["HEAD", "POST", "PATCH", "PATCH", "PUT", "HEAD", "POST", "PUT"]


def test_threads_learn_from_each_other(sim: RegistrySimulator) -> None:
    """Many large blobs at once all arrive, and each thread meets the limit a few times at most."""
    sim.limit_requests(2 * MIB)
    registry = open_registry(sim.host)
    contents = [make_content(3 * MIB, seed=seed) for seed in range(8)]

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda content: upload(registry, Source(content)), contents))

    assert outcomes == ["uploaded"] * 8
    assert all(holds(registry, content) for content in contents)
    assert sim.count(status=413) <= 8


def test_a_known_limit_is_not_run_into(sim: RegistrySimulator) -> None:
    """Where the limit is set no request is larger."""
    sim.limit_requests(2 * MIB)

    assert upload(open_registry(sim.host, largest_request=2 * MIB), Source(SMALL)) == "uploaded"
    assert sim.count(status=413) == 0


def test_a_registry_with_a_limit_below_every_chunk_is_told(sim: RegistrySimulator) -> None:
    """Where not even the smallest chunk gets through nothing more is tried, and the error says what to change."""
    sim.limit_requests(MIB - 1)

    with pytest.raises(RefusedError, match=r"413; 1,048,576 bytes at a time are too many") as caught:
        upload(open_registry(sim.host), Source(SMALL))

    assert "neither whole nor in chunks: raise the limit" in (caught.value.hint or "")
    assert (caught.value.status, caught.value.retryable) == (413, False)


REFUSALS = [(405, "UNSUPPORTED"), (400, "UNSUPPORTED"), (415, "UNSUPPORTED"), (501, "UNSUPPORTED")]


@pytest.mark.parametrize(("status", "code"), REFUSALS)
def test_a_registry_that_takes_no_chunks_either_is_told(status: int, code: str, sim: RegistrySimulator) -> None:
    """Neither whole nor in chunks: the error is final, names the blob, and says what to change."""
    sim.fail("PATCH", status=status, code=code, times=None)
    sim.limit_requests(2 * MIB)

    with pytest.raises(RefusedError, match=f"cannot upload {Digest.of(SMALL)} to team/app: {status} {code}") as caught:
        upload(open_registry(sim.host), Source(SMALL))

    assert "neither whole nor in chunks: raise the limit" in (caught.value.hint or "")
    assert (caught.value.retryable, sim.count("PATCH")) == (False, 1)


# A limit that has to be guessed


def test_uploads_that_are_cut_at_the_same_place_go_on_in_chunks(sim: RegistrySimulator) -> None:
    """Two requests that end after about as many bytes have met a limit; the third try is smaller requests."""
    sim.cut("PUT", SESSION, after_bytes=20 * MIB, times=None)
    registry, source = open_registry(sim.host), Source(HUGE, follow(sim))

    assert upload(registry, source) == "uploaded"
    assert (sim.count("POST"), source.begun) == (3, [0, 0, 0])
    assert all(int(each.headers["content-length"]) < 20 * MIB for each in patches(sim))
    assert holds(registry, HUGE)


def test_a_guess_that_has_proved_right_is_remembered(sim: RegistrySimulator) -> None:
    """The next blob of that size is not sent whole again."""
    sim.cut("PUT", SESSION, after_bytes=20 * MIB, times=None)
    registry = open_registry(sim.host)
    upload(registry, Source(HUGE, follow(sim)))
    sim.forget_requests()

    assert upload(registry, Source(make_content(21 * MIB, seed=4))) == "uploaded"
    assert (sim.count("POST"), sim.count("PUT")) == (1, 1)


def test_uploads_that_are_cut_anywhere_are_sent_whole_again(sim: RegistrySimulator) -> None:
    """Accidents have nothing in common: no chunk is sent."""
    for place in (3 * MIB, 6 * MIB, 9 * MIB):
        sim.cut("PUT", SESSION, after_bytes=place)

    assert upload(open_registry(sim.host), Source(LARGE, follow(sim))) == "uploaded"
    assert (sim.count("PATCH"), sim.count("PUT")) == (0, 4)


def test_uploads_that_are_cut_after_the_same_time_go_on_in_chunks(sim: RegistrySimulator) -> None:
    """A proxy that ends requests after a quarter of an hour lets different numbers of bytes through."""
    for place in (4 * MIB, 8 * MIB):
        sim.cut("PUT", SESSION, after_bytes=place)
    hands, slow = Hands(), follow(sim)

    def take_time(position: int) -> None:
        slow(position)
        if position == {0: 3 * MIB, 1: 7 * MIB}.get(sim.count("PUT") - 1):
            hands.time += 900

    assert upload(open_registry(sim.host, hands), Source(LARGE, take_time)) == "uploaded"
    assert (sim.count("PUT", SESSION), sim.count("PATCH") > 0) == (3, True)


def test_a_wrong_guess_is_taken_back(sim: RegistrySimulator) -> None:
    """Where cuts only look like a limit, and the registry takes no chunks, the blob is sent whole again."""
    sim.cut("PUT", SESSION, after_bytes=20 * MIB, times=2)
    sim.fail("PATCH", status=405, code="UNSUPPORTED", times=None)
    registry = open_registry(sim.host)

    assert upload(registry, Source(HUGE, follow(sim))) == "uploaded"
    assert (sim.count("PATCH"), sim.count("PUT", status=201)) == (1, 1)


def test_a_source_that_stops_is_not_taken_for_a_limit(sim: RegistrySimulator) -> None:
    """What our own side could not read says nothing about the registry."""
    attempts = iter(range(100))

    def read() -> Iterator[bytes]:
        failing = next(attempts) < 2
        for position in range(0, len(LARGE), PIECE):
            if failing and position == 6 * MIB:
                raise UnreachableError("the source was cut")
            yield LARGE[position : position + PIECE]

    assert open_registry(sim.host).upload_blob(REPOSITORY, describe(LARGE), read) == "uploaded"
    assert sim.count("PATCH") == 0


# Sessions that break


def in_chunks(sim: RegistrySimulator) -> Registry:
    """A client that knows that the registry takes 2 MiB at a time."""
    return open_registry(sim.host, largest_request=2 * MIB)


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


# Content that is not the blob


def test_wrong_bytes_from_a_range_are_not_finished(sim: RegistrySimulator) -> None:
    """A range has no digest; the whole has, and it is checked before the upload ends."""
    sim.cut("PATCH", SESSION, after_bytes=MIB, skip=1)
    source = Source(SMALL)

    def read_wrong(start: int, stop: int) -> Iterator[bytes]:
        yield bytes(stop - start)

    with pytest.raises(IntegrityError, match=f"what was read for {source.blob.digest} has another digest"):
        in_chunks(sim).upload_blob(REPOSITORY, source.blob, source.read, read_range=read_wrong)

    assert (sim.count("PUT"), sim.count("DELETE", status=204)) == (0, 1)


def test_a_store_that_finds_its_content_damaged_says_so_itself(sim: RegistrySimulator) -> None:
    """Its own error is raised, for its own hint and what it does with the file."""

    def read() -> Iterator[bytes]:
        yield SMALL[: 4 * MIB]
        raise IntegrityError("the stored blob is damaged")

    with pytest.raises(IntegrityError, match="the stored blob is damaged"):
        in_chunks(sim).upload_blob(REPOSITORY, describe(SMALL), read)

    assert (sim.count("PUT"), sim.count("DELETE", status=204)) == (0, 1)


def test_a_source_that_is_too_short_is_told(sim: RegistrySimulator) -> None:
    """A blob that ends early is never finished."""
    with pytest.raises(IntegrityError, match="ends after 4,194,304 of 5,242,881 bytes"):
        in_chunks(sim).upload_blob(REPOSITORY, describe(SMALL), lambda: iter([SMALL[: 4 * MIB]]))

    assert sim.count("PUT") == 0


# What registries want


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


def test_github_takes_four_mebibytes_at_a_time() -> None:
    """Its registry answers 416 to more, so that chunks stay below (measured by others: registries §1.5 P5)."""
    limits = [RequestLimit(host).chunk for host in ("ghcr.io", "registry.example")]

    assert limits == [4 * MIB - 1, CHUNK_SIZE]


def test_a_registry_that_refuses_large_chunks_as_out_of_place_gets_smaller_ones(tmp_path: Path) -> None:
    """As GitHub's does, under whatever name: 416 to a chunk that is in place means that it is too large."""
    profile = Ghcr(Login("courier", "word"))
    with RegistrySimulator(tmp_path, profile=profile) as sim:
        sim.fail("PUT", SESSION, status=413)
        credentials = Credentials.of([(sim.host, "courier", "word")])
        registry = Registry(sim.host, TransportSettings(), credentials, clock=Hands().clock)

        assert upload(registry, Source(LARGE)) == "uploaded"
        assert max(int(each.headers["content-length"]) for each in patches(sim)) == 4 * MIB


def test_a_registry_that_drops_chunks_is_found_out(tmp_path: Path) -> None:
    """Amazon's answers 201 to every chunk and keeps the first: that it does not go on is seen before the end."""
    with RegistrySimulator(tmp_path, profile=Ecr("a token", REPOSITORY)) as sim:
        settings = TransportSettings(largest_request=5 * MIB)
        registry = Registry(sim.host, settings, Credentials.of([(sim.host, "AWS", "a token")]), clock=Hands().clock)

        with pytest.raises(RefusedError, match="it does not go on after byte 5,242,880") as caught:
            upload(registry, Source(LARGE))

    assert "raise the limit" in (caught.value.hint or "")
    assert [each.status for each in sim.requests if each.method == "PATCH"] == [201, 201]


def test_chunks_are_as_large_as_the_registry_demands(sim: RegistrySimulator) -> None:
    """All but the last have the announced minimum (distribution-spec, "OCI-Chunk-Min-Length")."""
    sim.set_headers({"OCI-Chunk-Min-Length": str(3 * MIB)}, "POST")

    assert upload(in_chunks(sim), Source(SMALL)) == "uploaded"
    assert [each.headers["content-length"] for each in patches(sim)] == [str(3 * MIB), str(2 * MIB + 1)]


def test_a_registry_that_demands_more_than_its_proxy_lets_through_is_told(sim: RegistrySimulator) -> None:
    """Both numbers are in the error."""
    sim.set_headers({"OCI-Chunk-Min-Length": str(3 * MIB)}, "POST")
    sim.limit_requests(2 * MIB)

    with pytest.raises(RefusedError, match="3,145,728 bytes at a time are too many, and the registry demands 3,145,7"):
        upload(open_registry(sim.host), Source(SMALL))


@pytest.mark.parametrize("demand", ["", "-1", "none", "1" * 30, str(2**62)])
def test_an_absurd_demand_does_no_harm(demand: str, sim: RegistrySimulator) -> None:
    """Nonsense is ignored, and what is larger than the blob is the blob: nothing is ever held in memory for it."""
    sim.set_headers({"OCI-Chunk-Min-Length": demand}, "POST")

    assert upload(in_chunks(sim), Source(SMALL)) == "uploaded"


def test_a_demand_has_an_end(sim: RegistrySimulator) -> None:
    """However much a registry asks for, no request is larger than what is bearable to send again."""
    sim.set_headers({"OCI-Chunk-Min-Length": str(2**62)}, "POST")
    sim.fail("PATCH", status=405, code="UNSUPPORTED")
    blob = Descriptor(media_type="application/octet-stream", digest=Digest.of(b"endless"), size=2**31)

    with pytest.raises(RefusedError):
        in_chunks(sim).upload_blob(REPOSITORY, blob, lambda: (bytes(PIECE) for _ in range(2**31 // PIECE)))

    assert ranges_of(patches(sim, 405)) == [f"0-{LARGEST_DEMAND - 1}"]


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


# What it is read from


class Lent:
    """Content that holds something, such as a file or another registry's slot, from its first byte to its last."""

    def __init__(self, content: bytes, begun: Callable[[], None] = lambda: None) -> None:
        self.blob = describe(content)
        self.held: list[int] = []  # how many readings hold it, at each change
        self._content = content
        self._begun = begun

    def read(self) -> Iterator[bytes]:
        """All of it, in pieces."""
        self.held.append((self.held or [0])[-1] + 1)
        self._begun()
        try:
            for position in range(0, len(self._content), PIECE):
                yield self._content[position : position + PIECE]
        finally:
            self.held.append(self.held[-1] - 1)


@pytest.fixture
def no_collection() -> Iterator[None]:
    """What is left to the garbage collector stays where it is."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_what_was_read_is_let_go_before_the_blob_is_read_anew(sim: RegistrySimulator) -> None:
    """A refusal in the middle of a body, then of chunks: each reading ends before the next begins."""
    sim.fail("PUT", SESSION, status=503)
    sim.fail("PUT", SESSION, status=413)
    sim.fail("PATCH", SESSION, status=405, times=None)
    source = Lent(HUGE)
    with pytest.raises(RegistryError):
        open_registry(sim.host).upload_blob(REPOSITORY, source.blob, source.read)

    assert source.held == [1, 0] * 3


def test_an_upload_keeps_its_turn_from_chunk_to_chunk(sim: RegistrySimulator) -> None:
    """Two that copy from one registry would else wait for each other: one for a turn here, one for a turn there."""
    limits = TransportSettings(largest_request=MIB, parallel=2)
    registry = Registry(sim.host, limits, Credentials(), clock=Hands().clock)
    slots, held = registry.channel.slots, list[list[int]]()

    def take_a_turn() -> None:
        with slots.body(len(SMALL) + 1):
            held.append(list(source.held))

    other = threading.Thread(target=take_a_turn, daemon=True)
    source = Lent(SMALL, begun=other.start)
    registry.upload_blob(REPOSITORY, source.blob, source.read)
    other.join(10)

    assert held == [[1, 0]]
    assert len(patches(sim)) == 6


# The parts


def test_a_limit_never_grows_and_never_falls_below_the_smallest_chunk() -> None:
    """What is learned last is not always what counts: threads learn at different times."""
    limit = RequestLimit("registry.example")
    learned = [(limit.refuse(size), limit.largest) for size in (100 * MIB, 5 * MIB, 10 * MIB, 3 * SMALLEST_CHUNK // 2)]

    assert learned == [(True, 16 * MIB), (True, 4 * MIB), (True, 4 * MIB), (True, MIB)]
    assert (limit.refuse(MIB), limit.allows(MIB), limit.allows(MIB + 1), limit.chunk) == (False, True, False, MIB)


def test_a_source_is_read_on_where_it_stands_and_anew_to_go_back() -> None:
    """Parts in order cost one reading, whatever its pieces are."""
    source = Source(SMALL)
    blob = BlobSource(source.blob, source.read, source.read_range)
    parts = [b"".join(blob.take(*part)) for part in ((0, 1000), (1000, 300_001), (500, 501), (501, len(SMALL)))]

    assert parts == [SMALL[:1000], SMALL[1000:300_001], SMALL[500:501], SMALL[501:]]
    assert source.begun == [0, 500]
    blob.check()


def test_a_push_from_a_store_goes_back_by_ranges(sim: RegistrySimulator, tmp_path: Path) -> None:
    """A store gives any part of its content: what a cut chunk needs again is all that is read twice."""

    class CountingStore(LocalStore):
        begun: ClassVar[list[int]] = []

        def read_range(self, descriptor: Descriptor, start: int, stop: int) -> Iterator[bytes]:
            """Note where it begins."""
            self.begun.append(start)
            return super().read_range(descriptor, start, stop)

    image = make_image(REPOSITORY, layers=(SampleLayer("tar", 5 * MIB),))
    store = CountingStore(tmp_path / "store")
    for descriptor in (*image.blobs, *image.manifests):
        store.write(descriptor, image.contents[descriptor.digest])
    sim.cut("PATCH", SESSION, after_bytes=MIB, skip=1)
    content = ImageContent(image.manifests, image.blobs)
    push_content(store, content, in_chunks(sim), Place(REPOSITORY, "1.0"), known=KnownBlobs())

    assert CountingStore.begun == [3 * MIB]
    assert in_chunks(sim).describe(REPOSITORY, "1.0") == image.root


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
