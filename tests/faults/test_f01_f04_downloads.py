"""Faults F1-F4: bodies that are cut, end early, hold wrong bytes, or are not the part that was asked for."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import IntegrityError
from edgelift.oci.pull import pull_blob
from edgelift.store.local import LocalStore
from tests.faults.parts import (
    assert_nothing_wrong_has_a_name,
    assert_store_is_whole,
    layer_of,
    open_registry,
    pull,
    sent_blobs,
    size_of,
)
from tests.faults.table import Notes
from tests.simulators.http_faults import Answer, HttpFaults, Request
from tests.simulators.registry import RegistrySimulator

MIB = 2**20
APP = make_image("team/app", layers=(SampleLayer("tar", 400_000),))
LAYER = layer_of(APP)
CONTENT = APP.contents[LAYER.digest]
HALF = 200_000


@pytest.fixture
def app(sim: RegistrySimulator) -> RegistrySimulator:
    """The registry with one image in it."""
    sim.put_image(APP)
    return sim


def ranges(sim: RegistrySimulator) -> list[str | None]:
    """The range that each request for the layer asked for."""
    return [each.headers.get("range") for each in sim.requests if each.path.endswith(LAYER.digest)]


def test_f01_a_hundred_resets_in_one_blob(sim: RegistrySimulator, store: LocalStore, note: Notes) -> None:
    """A blob of 64 MiB that is reset a hundred times, at random places, comes whole with at most 1 % twice."""
    image = make_image("team/large", layers=(SampleLayer("tar", 64 * MIB),))
    layer = layer_of(image)
    sim.put_image(image)
    chance = random.Random(64)
    places = sorted(chance.sample(range(1, layer.size), 100))
    for number, (begin, end) in enumerate(zip([0, *places], places, strict=False)):
        sim.cut("GET", layer.digest, after_bytes=end - begin, skip=number)

    pull(open_registry(sim.host), image, store)

    moved, needed = sent_blobs(sim), size_of(image)
    assert sim.count("GET", layer.digest) == 101
    assert moved <= needed * 1.01
    assert_store_is_whole(store, image)
    note("100 resets at random places in a blob of 64 MiB", "continued 100 times by range", moved=moved, needed=needed)


def test_f01_one_byte_of_progress_is_enough(app: RegistrySimulator, store: LocalStore, note: Notes) -> None:
    """Sixty resets in a row, each after a single byte, do not end the pull."""
    app.cut("GET", LAYER.digest, after_bytes=1, times=60)

    pull(open_registry(app.host), APP, store)

    assert ranges(app) == [None, *(f"bytes={at}-" for at in range(1, 61))]
    assert_store_is_whole(store, APP)
    note("60 resets, each after one byte", "continued 60 times by range", moved=sent_blobs(app), needed=size_of(APP))


def short_answers() -> dict[str, Answer]:
    """The first half of the layer, in each framing that HTTP has, with the end missing."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    half = CONTENT[:HALF]
    return {
        "with a length": Answer(body=half, length=LAYER.size, ending="close"),
        "without a length": Answer(body=half, length=None, ending="close"),
        "in chunks, without the last": Answer(raw=head + b"%x\r\n%b\r\n" % (HALF, half), ending="close"),
        "in the middle of a chunk": Answer(raw=head + b"%x\r\n%b" % (LAYER.size, half), ending="close"),
    }


@pytest.mark.parametrize(("framing", "short"), short_answers().items(), ids=short_answers())
def test_f02_a_body_that_ends_early(framing: str, short: Answer, store: LocalStore, note: Notes) -> None:
    """However a body is framed, an end that comes too early is noticed, and only the rest is asked for."""
    asked: list[str | None] = []

    def respond(request: Request) -> Answer:
        if request.method != "GET":
            return Answer(405)
        asked.append(request.headers.get("range"))
        rest = (("Content-Range", f"bytes {HALF}-{LAYER.size - 1}/{LAYER.size}"),)
        return short if len(asked) == 1 else Answer(206, rest, CONTENT[HALF:])

    with HttpFaults(respond) as server:
        transfer = pull_blob(open_registry(server.host), "team/app", LAYER, store)

    assert asked == [None, f"bytes={HALF}-"]
    assert b"".join(store.read(LAYER)) == CONTENT
    note(
        f"orderly end after half a body {framing}",
        "continued by range",
        moved=transfer.moved_bytes,
        needed=LAYER.size,
    )


def test_f03_wrong_bytes_once(app: RegistrySimulator, store: LocalStore, note: Notes) -> None:
    """One flipped bit of the right length costs one more download from the start, without a range."""
    app.flip(LAYER.digest, at_byte=123_456)

    pull(open_registry(app.host), APP, store)

    assert ranges(app) == [None, None]
    assert_store_is_whole(store, APP)
    note("one bit flipped, once", "fetched once more, from 0", moved=sent_blobs(app), needed=size_of(APP))


def test_f03_wrong_bytes_always(app: RegistrySimulator, store: LocalStore, note: Notes) -> None:
    """Bytes that stay wrong end the pull with the digest named and the bytes set aside; healed, a re-run completes."""
    app.flip(LAYER.digest, at_byte=123_456, times=None)
    with pytest.raises(IntegrityError) as caught:
        pull(open_registry(app.host), APP, store)

    moved = sent_blobs(app)
    quarantined = store.root / "quarantine" / f"sha256-{LAYER.digest.hex}"
    assert str(LAYER.digest) in caught.value.message
    assert len(quarantined.read_bytes()) == LAYER.size
    assert not store.exists(APP.root)
    assert_nothing_wrong_has_a_name(store)

    app.heal()
    app.forget_requests()
    pull(open_registry(app.host), APP, store)
    assert sent_blobs(app) == LAYER.size
    assert_store_is_whole(store, APP)
    note(
        "one bit flipped, always",
        "refused after two downloads; digest named, bytes in quarantine; the re-run completes",
        moved=moved,
        needed=size_of(APP),
    )


REST = CONTENT[HALF:]
WRONG_PARTS: dict[str, Callable[[RegistrySimulator], None]] = {
    "206 from another offset": lambda sim: sim.reply(
        "GET",
        LAYER.digest,
        status=206,
        headers={"Content-Range": f"bytes {HALF - 5}-{LAYER.size - 6}/{LAYER.size}"},
        body=CONTENT[HALF - 5 : -5],
        skip=1,
    ),
    "206 without saying which part": lambda sim: sim.reply("GET", LAYER.digest, status=206, body=REST, skip=1),
    "206 that ends too early": lambda sim: sim.reply(
        "GET",
        LAYER.digest,
        status=206,
        headers={"Content-Range": f"bytes {HALF}-{LAYER.size - 2}/{LAYER.size}"},
        body=REST[:-1],
        skip=1,
    ),
    "206 with another total": lambda sim: sim.set_headers(
        {"Content-Range": f"bytes {HALF}-{LAYER.size - 1}/{LAYER.size + 7}"}, "GET", LAYER.digest, times=1, skip=1
    ),
    "multipart/byteranges": lambda sim: sim.reply(
        "GET",
        LAYER.digest,
        status=206,
        headers={"Content-Type": "multipart/byteranges; boundary=b"},
        body=b"--b\r\nContent-Range: bytes %d-%d/%d\r\n\r\n%b\r\n--b--\r\n" % (HALF, LAYER.size - 1, LAYER.size, REST),
        skip=1,
    ),
    "200 with all of it": lambda sim: sim.ignore_ranges(LAYER.digest, times=1, skip=1),
    "416": lambda sim: sim.fail("GET", LAYER.digest, status=416, code="RANGE_INVALID", skip=1),
}


@pytest.mark.parametrize(("what", "answer"), WRONG_PARTS.items(), ids=WRONG_PARTS)
def test_f04_an_answer_that_is_not_the_rest(
    what: str, answer: Callable[[RegistrySimulator], None], app: RegistrySimulator, store: LocalStore, note: Notes
) -> None:
    """An answer to a range that is not exactly what is missing is never appended: the blob begins anew, once."""
    app.cut("GET", LAYER.digest, after_bytes=HALF)
    answer(app)

    pull(open_registry(app.host), APP, store)

    assert ranges(app)[:2] == [None, f"bytes={HALF}-"]
    assert set(ranges(app)[2:]) <= {None}
    assert_store_is_whole(store, APP)
    moved = sent_blobs(app)
    assert moved <= 2 * LAYER.size + size_of(APP)
    note(f"a range is answered by {what}", "begun anew, nothing appended", moved=moved, needed=size_of(APP))


def test_f04_whatever_a_stranger_left_as_partial(app: RegistrySimulator, store: LocalStore, note: Notes) -> None:
    """A partial file with other bytes than the blob's costs one download more; it never becomes the blob."""
    partial: Path = store.root / "partial" / f"sha256-{LAYER.digest.hex}"
    partial.write_bytes(bytes(HALF))

    pull(open_registry(app.host), APP, store)

    assert ranges(app) == [f"bytes={HALF}-", None]
    assert_store_is_whole(store, APP)
    note("a partial file of other bytes", "noticed at its end, begun anew", moved=sent_blobs(app), needed=size_of(APP))
