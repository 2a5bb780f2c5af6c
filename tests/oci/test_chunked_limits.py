"""Uploads in chunks: how large, where a registry or a proxy takes no blob whole and may not say so."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgelift.errors import RefusedError, UnreachableError
from edgelift.oci.chunked import CHUNK_SIZE, LARGEST_DEMAND, SMALLEST_CHUNK, RequestLimit
from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.registry import Registry
from edgelift.serve.access import Login
from edgelift.transport import TransportSettings
from tests.oci.chunks import (
    HUGE,
    LARGE,
    MIB,
    PIECE,
    REPOSITORY,
    SESSION,
    SMALL,
    Source,
    describe,
    holds,
    in_chunks,
    make_content,
    open_registry,
    patches,
    ranges_of,
    upload,
)
from tests.oci.clocks import Hands
from tests.simulators.profiles import Ecr, Ghcr
from tests.simulators.registry import RegistrySimulator


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """An empty registry that keeps of an upload what has arrived."""
    with RegistrySimulator(tmp_path) as simulator:
        yield simulator


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


# What registries want


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


def test_a_limit_never_grows_and_never_falls_below_the_smallest_chunk() -> None:
    """What is learned last is not always what counts: threads learn at different times."""
    limit = RequestLimit("registry.example")
    learned = [(limit.refuse(size), limit.largest) for size in (100 * MIB, 5 * MIB, 10 * MIB, 3 * SMALLEST_CHUNK // 2)]

    assert learned == [(True, 16 * MIB), (True, 4 * MIB), (True, 4 * MIB), (True, MIB)]
    assert (limit.refuse(MIB), limit.allows(MIB), limit.allows(MIB + 1), limit.chunk) == (False, True, False, MIB)
