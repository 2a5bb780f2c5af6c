"""Faults F17-F20: sessions that are lost, answers that are lost, and registries that do not know what they have."""

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from edgelift.delivery.target import Target
from edgelift.delivery.validate import validate_lock
from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import IncompleteError, RegistryError
from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.push import KnownBlobs, push_content
from edgelift.oci.reference import ImageReference
from edgelift.oci.registry import Registry
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.faults.parts import (
    Place,
    assert_tags_are_whole,
    fill_store,
    layer_of,
    open_registry,
    push,
    read_lock,
    received_blobs,
    size_of,
    tagged,
    write_lock,
)
from tests.faults.table import Notes
from tests.real_parts import RestartableRegistry
from tests.simulators.registry import RegistrySimulator

MIB = 2**20
APP = make_image("team/app", layers=(SampleLayer("tar", 400_000), SampleLayer("gzip", 90_000)))
LAYER = layer_of(APP)
LARGE = make_image("team/large", layers=(SampleLayer("tar", 3 * MIB),))
PAIR = make_image("team/pair", architectures=("amd64", "arm64"), layers=(SampleLayer("tar", 3 * MIB),))
IN_CHUNKS = TransportSettings(largest_request=MIB)


@pytest.fixture
def full(store: LocalStore) -> LocalStore:
    """A store with all images."""
    return fill_store(store, APP, LARGE, PAIR)


# F17

LOST: dict[str, tuple[int, str]] = {
    "404": (404, "BLOB_UPLOAD_UNKNOWN"),
    "400": (400, "BLOB_UPLOAD_INVALID"),
    "416": (416, "RANGE_INVALID"),
}


@pytest.mark.parametrize(("status", "code"), LOST.values(), ids=LOST)
def test_f17_a_session_is_lost(status: int, code: str, sim: RegistrySimulator, full: LocalStore, note: Notes) -> None:
    """A session that the registry does not know any more is replaced by a new one; the rest goes on as it was."""
    sim.fail("PUT", f"/uploads/.*{LAYER.digest.hex}", status=status, code=code)

    push(full, open_registry(sim.host), APP)

    assert tagged(sim, APP)
    assert_tags_are_whole(sim)
    note(f"PUT of a blob: {status} {code}", "a new session", moved=received_blobs(sim), needed=size_of(APP))


@pytest.mark.parametrize(("status", "code"), LOST.values(), ids=LOST)
def test_f17_a_session_is_lost_between_chunks(
    status: int, code: str, sim: RegistrySimulator, full: LocalStore, note: Notes
) -> None:
    """Where the session is lost after the first chunk, the registry is asked where it stands, or a new one begun."""
    sim.fail("PATCH", "/uploads/", status=status, code=code, skip=1)

    push(full, open_registry(sim.host, IN_CHUNKS), LARGE)

    assert tagged(sim, LARGE)
    assert_tags_are_whole(sim)
    note(
        f"PATCH of the second chunk: {status} {code}",
        "asked where it stands, went on",
        moved=received_blobs(sim),
        needed=size_of(LARGE),
    )


def test_f17_a_stale_range(sim: RegistrySimulator, full: LocalStore, note: Notes) -> None:
    """A registry that drops a chunk and says so only in `Range` gets no blob with a hole, and no tag."""
    sim.set_headers({"Range": "0-0"}, "PATCH", "/uploads/", times=1, skip=1)

    with pytest.raises(RegistryError, match="does not go on after byte") as caught:
        push(full, open_registry(sim.host, IN_CHUNKS), LARGE)

    assert not caught.value.retryable
    assert not tagged(sim, LARGE)
    sim.heal()
    push(full, open_registry(sim.host, IN_CHUNKS), LARGE)
    assert tagged(sim, LARGE)
    assert_tags_are_whole(sim)
    note(
        "PATCH answered with a stale Range, where no request may be larger",
        "refused, no hole and no tag; the re-run completed",
        moved=received_blobs(sim),
        needed=size_of(LARGE),
    )


def test_f17_sessions_are_always_lost(sim: RegistrySimulator, full: LocalStore, note: Notes) -> None:
    """A registry that loses every session is given up after a few; nothing is tagged, and a later run completes."""
    sim.fail("PUT", "/uploads/", status=404, code="BLOB_UPLOAD_UNKNOWN", times=None)
    with pytest.raises(RegistryError, match="BLOB_UPLOAD_UNKNOWN"):
        push(full, open_registry(sim.host), APP)

    assert sim.count("PUT", LAYER.digest.hex) <= 5
    assert not tagged(sim, APP)
    sim.heal()
    push(full, open_registry(sim.host), APP)
    assert tagged(sim, APP)
    assert_tags_are_whole(sim)
    note(
        "every session is lost",
        "given up after 5; the re-run completed",
        moved=received_blobs(sim),
        needed=size_of(APP),
    )


def test_f17_an_upload_is_cut(sim: RegistrySimulator, full: LocalStore, note: Notes) -> None:
    """An upload that is reset in its middle begins anew, since few registries keep such a session."""
    sim.cut("PUT", LAYER.digest.hex, after_bytes=150_000)

    push(full, open_registry(sim.host), APP)

    assert tagged(sim, APP)
    assert_tags_are_whole(sim)
    note("PUT of a blob reset in its middle", "sent anew", moved=received_blobs(sim), needed=size_of(APP))


def test_f17_a_chunk_is_cut(sim: RegistrySimulator, full: LocalStore, note: Notes) -> None:
    """A chunk that is reset in its middle goes on from where the registry says that it stands."""
    sim.cut("PATCH", "/uploads/", after_bytes=500_000, skip=1)

    push(full, open_registry(sim.host, IN_CHUNKS), LARGE)

    moved = received_blobs(sim)
    assert tagged(sim, LARGE)
    assert moved <= size_of(LARGE) + MIB
    assert_tags_are_whole(sim)
    note("PATCH reset in its middle", "went on from there", moved=moved, needed=size_of(LARGE))


class Counting:
    """A store that counts what is read from it to be sent. Implements `oci.content.RangeReader`."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self.given = 0

    def exists(self, descriptor: Descriptor) -> bool:
        """As the store says."""
        return self._store.exists(descriptor)

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """As the store gives it."""
        for chunk in self._store.read(descriptor):
            yield chunk
            self.given += len(chunk)

    def read_range(self, descriptor: Descriptor, start: int, stop: int) -> Iterator[bytes]:
        """As the store gives it."""
        for chunk in self._store.read_range(descriptor, start, stop):
            yield chunk
            self.given += len(chunk)


def kill_thrice(registry: RestartableRegistry, source: Counting, total: int, push: Future[None]) -> int:
    """Kill the registry at three moments in the middle of uploads, and start it again; how often that came about.

    Here and not in a thread: a server dies with the thread that has started it.
    """
    chance, kills = random.Random(17), 0
    for part in range(3):
        moment = total * part // 3 + chance.randrange(total // 3)
        while source.given < moment and not push.done():
            time.sleep(0.001)
        if not push.done():
            registry.kill()
            time.sleep(0.3)
            registry.start()
            kills += 1
    return kills


def test_f17_a_real_registry_is_killed_three_times(sim: RegistrySimulator, tmp_path: Path, note: Notes) -> None:
    """Distribution, killed and started again three times during a push, has everything in the end: every byte is read.

    Four images of 192 MiB with a layer in common; the registry comes back on its port, with its storage.
    """
    base = SampleLayer("tar", 24 * MIB, seed="in all of them")
    images = [make_image(f"team/app-{number}", layers=(base, SampleLayer("tar", 42 * MIB))) for number in range(4)]
    sim.put_image(*images)
    lock = read_lock(write_lock(tmp_path / "lock.json", sim.host, *images))
    source, needed = Counting(fill_store(LocalStore(tmp_path / "store"), *images)), size_of(*images)
    registry = RestartableRegistry(tmp_path / "docker-registry")
    target = Target.parse(f"{registry.host}/edge")
    client, known = Registry(registry.host, TransportSettings(), Credentials()), KnownBlobs()

    def push_all() -> None:
        for image in lock.images:
            for name in target.names(ImageReference.parse(image.reference), image.descriptor.digest):
                push_content(source, image.content, client, name, known=known)

    try:
        with ThreadPoolExecutor(1) as pool:
            pushed = pool.submit(push_all)
            kills = kill_thrice(registry, source, needed, pushed)
            pushed.result()
        receipt = validate_lock(lock, target, client, deep=True)
    finally:
        client.close()
        registry.kill()

    assert kills == 3
    receipt.raise_unless_whole()
    note(
        "a real docker-registry killed and restarted three times during a push",
        f"finished, {len(receipt.proofs)} references validated byte by byte",
        moved=source.given,
        needed=needed,
    )


# F18

RESPONSES: dict[str, tuple[str, str, TransportSettings]] = {
    "POST of an upload": ("POST", "/uploads/$", TransportSettings()),
    "PATCH of a chunk": ("PATCH", "/uploads/", IN_CHUNKS),
    "PUT that ends the chunks": ("PUT", "/uploads/", IN_CHUNKS),
    "PUT of a blob": ("PUT", "/uploads/", TransportSettings()),
    "PUT of a manifest by digest": ("PUT", "/manifests/sha256", TransportSettings()),
    "PUT of a manifest by tag": ("PUT", "/manifests/1.0$", TransportSettings()),
}


@pytest.mark.parametrize(("what", "lost"), RESPONSES.items(), ids=RESPONSES)
def test_f18_a_response_is_lost(
    what: str, lost: tuple[str, str, TransportSettings], sim: RegistrySimulator, full: LocalStore, note: Notes
) -> None:
    """Where a write is done and its answer lost, the registry is asked first: no byte of a blob goes twice."""
    method, path, settings = lost
    sim.lose_response(method, path)

    push(full, open_registry(sim.host, settings), PAIR)

    assert [each.status for each in sim.requests if each.method == method].count(None) == 1
    assert received_blobs(sim) == size_of(PAIR)
    assert tagged(sim, PAIR)
    assert_tags_are_whole(sim)
    note(f"answer lost: {what}", "asked, found done", moved=received_blobs(sim), needed=size_of(PAIR))


def test_f18_the_response_to_a_mount_is_lost(sim: RegistrySimulator, full: LocalStore, note: Notes) -> None:
    """A mount whose answer is lost costs one more request, and no byte."""
    registry, known = open_registry(sim.host), KnownBlobs()
    push(full, registry, LARGE, known=known)
    sim.forget_requests()
    sim.lose_response("POST", "mount=")

    transfer = push(full, registry, LARGE, Place("edge/copy"), known=known)

    assert (transfer.moved, received_blobs(sim)) == (0, 0)
    assert tagged(sim, LARGE, Place("edge/copy"))
    assert_tags_are_whole(sim)
    note("answer lost: POST of a mount", "asked again, mounted", moved=received_blobs(sim), needed=0)


def test_f18_every_response_is_lost_once(sim: RegistrySimulator, full: LocalStore, note: Notes) -> None:
    """A line that loses the first answer to every kind of write still delivers, each blob once."""
    for method, path in (("POST", "/uploads/$"), ("PUT", "/uploads/"), ("PUT", "sha256"), ("PUT", "/1.0$")):
        sim.lose_response(method, f"{path}" if path != "sha256" else "/manifests/sha256")

    push(full, open_registry(sim.host), PAIR)

    assert [each.status for each in sim.requests].count(None) == 4
    assert received_blobs(sim) == size_of(PAIR)
    assert tagged(sim, PAIR)
    assert_tags_are_whole(sim)
    note("answer lost: the first of every kind", "each blob once", moved=received_blobs(sim), needed=size_of(PAIR))


# F19, F20


def test_f19_head_lies(sim: RegistrySimulator, full: LocalStore, note: Notes) -> None:
    """A registry that says it has a blob, and then misses it, gets it after all."""
    sim.head_lies(LAYER.digest, LAYER.size)

    push(full, open_registry(sim.host), APP)

    assert tagged(sim, APP)
    assert_tags_are_whole(sim)
    note("HEAD says that a missing blob is there", "sent after all", moved=received_blobs(sim), needed=size_of(APP))


def test_f19_validation_finds_the_lie(sim: RegistrySimulator, full: LocalStore, tmp_path: Path, note: Notes) -> None:
    """A blob that HEAD still finds and GET does not is found missing by a validation that reads."""
    sim.put_image(APP)
    lock = read_lock(write_lock(tmp_path / "lock.json", sim.host, APP))
    sim.fail("GET", LAYER.digest, status=404, code="BLOB_UNKNOWN", times=None)
    target = Target.parse(sim.host, (f"{sim.host}={sim.host}",))

    receipt = validate_lock(lock, target, open_registry(sim.host), deep=True)

    with pytest.raises(IncompleteError, match="1 of 1"):
        receipt.raise_unless_whole()
    note("HEAD finds a blob that GET does not", "found missing by reading it")


BLOB_UNKNOWN: dict[str, Callable[[RegistrySimulator], None]] = {
    "MANIFEST_BLOB_UNKNOWN": lambda sim: sim.fail("PUT", "/manifests/", status=400, code="MANIFEST_BLOB_UNKNOWN"),
    "BLOB_UNKNOWN": lambda sim: sim.fail("PUT", "/manifests/", status=400, code="BLOB_UNKNOWN"),
}


@pytest.mark.parametrize(("code", "once"), BLOB_UNKNOWN.items(), ids=BLOB_UNKNOWN)
def test_f20_a_registry_needs_a_moment(
    code: str, once: Callable[[RegistrySimulator], None], sim: RegistrySimulator, full: LocalStore, note: Notes
) -> None:
    """A manifest that is refused once for a blob that has just been sent is taken the second time."""
    once(sim)

    push(full, open_registry(sim.host), APP)

    assert received_blobs(sim) == size_of(APP)
    assert tagged(sim, APP)
    assert_tags_are_whole(sim)
    note(f"400 {code} once", "asked again after a moment", moved=received_blobs(sim), needed=size_of(APP))


def test_f20_a_registry_lost_a_blob(sim: RegistrySimulator, full: LocalStore, note: Notes) -> None:
    """A registry that goes on refusing, after a moment too, gets every blob once more."""
    sim.fail("PUT", "/manifests/", status=400, code="MANIFEST_BLOB_UNKNOWN", times=2)

    push(full, open_registry(sim.host), APP)

    assert received_blobs(sim) == 2 * size_of(APP)
    assert tagged(sim, APP)
    assert_tags_are_whole(sim)
    moved, needed = received_blobs(sim), size_of(APP)
    note("400 MANIFEST_BLOB_UNKNOWN twice", "all of it sent again, once", moved=moved, needed=needed)
