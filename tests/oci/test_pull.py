"""Pulling one image: what is cut is continued, what is wrong is fetched again, and nothing is fetched twice."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgelift.demo.content import SampleImage, SampleLayer, make_image
from edgelift.errors import DeniedError, IntegrityError, NotFoundError, RegistryError, UnreachableError
from edgelift.oci.content import ImageContent
from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.pull import STALLED_ATTEMPTS, pull_blob, pull_content
from edgelift.oci.registry import Registry
from edgelift.oci.transfer import Transfer
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.oci.clocks import Hands
from tests.simulators.registry import RegistrySimulator

SIZE = 400_000
APP = make_image("team/app", layers=(SampleLayer("tar", SIZE),))
BLOB = max(APP.blobs, key=lambda blob: blob.size)
CONTENT = APP.contents[BLOB.digest]
TWINS = make_image("team/twins", architectures=("amd64", "arm64"), layers=(SampleLayer("empty"), SampleLayer()))


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry with two images."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        simulator.put_image(APP, TWINS)
        yield simulator


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An empty store."""
    return LocalStore(tmp_path / "store")


def open_registry(host: str) -> Registry:
    """A client that does not wait between attempts."""
    return Registry(host, TransportSettings(), Credentials(), clock=Hands().clock)


def content_of(image: SampleImage) -> ImageContent:
    """What a pull of `image` has to bring."""
    return ImageContent(image.manifests, image.blobs)


def read(store: LocalStore, descriptor: Descriptor) -> bytes:
    """Content of the store, verified."""
    return b"".join(store.read(descriptor))


def blob_requests(sim: RegistrySimulator) -> list[str | None]:
    """The range that each request for the large blob asked for."""
    return [each.headers.get("range") for each in sim.requests if each.path.endswith(BLOB.digest)]


# Whole images


@pytest.mark.parametrize("image", [APP, TWINS], ids=["one platform", "an index"])
def test_every_byte_arrives(image: SampleImage, sim: RegistrySimulator, store: LocalStore) -> None:
    """Manifests and blobs are in the store as they were at the registry, and the transfer counts the blobs."""
    content = content_of(image)
    transfer = pull_content(open_registry(sim.host), image.repository, content, store)

    everything = (*content.manifests, *content.blobs)
    assert {each.digest: read(store, each) for each in everything} == dict(image.contents)
    assert transfer == Transfer(moved=len(content.blobs), moved_bytes=sum(each.size for each in content.blobs))


def test_what_is_there_is_not_asked_for(sim: RegistrySimulator, store: LocalStore) -> None:
    """A second pull makes no request at all."""
    registry = open_registry(sim.host)
    pull_content(registry, "team/twins", content_of(TWINS), store)
    sim.forget_requests()

    again = pull_content(registry, "team/twins", content_of(TWINS), store)

    assert (again, sim.requests) == (Transfer(present=len(TWINS.blobs)), [])


def test_an_empty_blob_needs_no_request(sim: RegistrySimulator, store: LocalStore) -> None:
    """A layer of no bytes is made, not fetched."""
    empty = next(blob for blob in TWINS.blobs if blob.size == 0)
    transfer = pull_blob(open_registry(sim.host), "team/twins", empty, store)

    assert (transfer, sim.requests, read(store, empty)) == (Transfer(moved=1), [], b"")


def test_a_shared_blob_is_fetched_once(sim: RegistrySimulator, store: LocalStore) -> None:
    """Eight images with a layer in common, pulled at the same time, ask for that layer once."""
    shared = SampleLayer("tar", SIZE, seed="in all of them")
    images = [make_image(f"team/image-{number}", layers=(shared, SampleLayer("tar", number))) for number in range(8)]
    sim.put_image(*images)
    common = set.intersection(*({blob.digest for blob in image.blobs} for image in images)).pop()
    registry = open_registry(sim.host)

    with ThreadPoolExecutor(8) as pool:
        pulled = pool.map(lambda each: pull_content(registry, each.repository, content_of(each), store), images)
        transfers = list(pulled)

    assert sim.count("GET", common) == 1
    assert sum(transfers, Transfer()).present == 7


def test_progress_adds_up_to_the_size(sim: RegistrySimulator, store: LocalStore) -> None:
    """Every byte is told of once, where a body is cut and begun anew, and where all is there already."""
    registry = open_registry(sim.host)
    total = sum(blob.size for blob in APP.blobs)
    sim.cut("GET", BLOB.digest, after_bytes=300_000)
    sim.ignore_ranges(times=1)

    sums = []
    for _ in range(2):
        told: list[int] = []
        pull_content(registry, "team/app", content_of(APP), store, progress=told.append)
        sums.append(sum(told))

    assert sums == [total, total]


# Cut bodies


ENDINGS: dict[str, Callable[[RegistrySimulator, int], None]] = {
    "reset": lambda sim, after: sim.cut("GET", BLOB.digest, after_bytes=after),
    "ended early": lambda sim, after: sim.truncate("GET", BLOB.digest, after_bytes=after),
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_a_cut_body_is_continued(
    end: Callable[[RegistrySimulator, int], None], sim: RegistrySimulator, store: LocalStore
) -> None:
    """After each cut only the rest is asked for; nothing comes twice."""
    for _ in range(3):
        end(sim, 100_000)
    transfer = pull_blob(open_registry(sim.host), "team/app", BLOB, store)

    assert blob_requests(sim) == [None, "bytes=100000-", "bytes=200000-", "bytes=300000-"]
    assert (transfer.moved_bytes, read(store, BLOB)) == (BLOB.size, CONTENT)


def test_progress_is_never_given_up(sim: RegistrySimulator, store: LocalStore) -> None:
    """A connection that is reset a hundred times, each time after a little more, brings the blob in the end."""
    sim.cut("GET", BLOB.digest, after_bytes=4_000, times=100)
    pull_blob(open_registry(sim.host), "team/app", BLOB, store)

    assert (len(blob_requests(sim)), read(store, BLOB)) == (101, CONTENT)


def test_the_partial_of_an_earlier_process_is_continued(sim: RegistrySimulator, store: LocalStore) -> None:
    """What another process left in the store is hashed and continued, not fetched again."""
    with LocalStore(store.root).ingest(BLOB) as partial:
        assert partial is not None
        partial.write(CONTENT[:150_000])

    transfer = pull_blob(open_registry(sim.host), "team/app", BLOB, store)

    assert blob_requests(sim) == ["bytes=150000-"]
    assert (transfer.moved_bytes, read(store, BLOB)) == (BLOB.size - 150_000, CONTENT)


def test_a_registry_without_ranges_is_read_from_the_start(sim: RegistrySimulator, store: LocalStore) -> None:
    """A 200 in answer to a range is never appended to what is there."""
    sim.cut("GET", BLOB.digest, after_bytes=100_000)
    sim.ignore_ranges()
    transfer = pull_blob(open_registry(sim.host), "team/app", BLOB, store)

    assert (transfer.moved_bytes, read(store, BLOB)) == (100_000 + BLOB.size, CONTENT)


def test_a_stalled_blob_is_given_up_with_the_way_on(sim: RegistrySimulator, store: LocalStore) -> None:
    """Without one new byte in many attempts the pull ends; it says how far it came, and that it will go on there."""
    sim.cut("GET", BLOB.digest, after_bytes=100_000)
    sim.cut("GET", BLOB.digest, after_bytes=0, times=None, skip=1)
    with pytest.raises(UnreachableError) as caught:
        pull_blob(open_registry(sim.host), "team/app", BLOB, store)

    sim.heal()
    resumed = pull_blob(open_registry(sim.host), "team/app", BLOB, store)
    assert f"100,000 of {BLOB.size:,} bytes" in caught.value.message
    assert "continues where it stopped" in str(caught.value.hint)
    assert caught.value.retryable
    assert resumed.moved_bytes == BLOB.size - 100_000


def test_a_body_that_always_ends_at_the_same_place_is_no_progress(sim: RegistrySimulator, store: LocalStore) -> None:
    """Where ranges are not done, the same bytes again do not count as new ones."""
    sim.ignore_ranges()
    sim.cut("GET", BLOB.digest, after_bytes=100_000, times=None)
    with pytest.raises(UnreachableError, match="gave no more"):
        pull_blob(open_registry(sim.host), "team/app", BLOB, store)

    assert len(blob_requests(sim)) == 1 + STALLED_ATTEMPTS


def test_refused_requests_are_not_multiplied(sim: RegistrySimulator, store: LocalStore) -> None:
    """A registry that answers 503 to everything gets the attempts of one request, not those times the attempts here."""
    sim.fail("GET", BLOB.digest, status=503, times=None)
    with pytest.raises(RegistryError):
        pull_blob(open_registry(sim.host), "team/app", BLOB, store)

    assert len(blob_requests(sim)) <= 8


# Wrong bytes


def test_wrong_bytes_are_fetched_once_more(sim: RegistrySimulator, store: LocalStore) -> None:
    """One flipped bit costs one more download, from the start; what was wrong lies in quarantine."""
    sim.flip(BLOB.digest, at_byte=5)
    pull_blob(open_registry(sim.host), "team/app", BLOB, store)

    kept = (store.root / "quarantine" / f"sha256-{BLOB.digest.hex}").read_bytes()
    assert (blob_requests(sim), read(store, BLOB)) == ([None, None], CONTENT)
    assert [at for at in range(BLOB.size) if kept[at] != CONTENT[at]] == [5]


def test_bytes_that_stay_wrong_are_refused(sim: RegistrySimulator, store: LocalStore) -> None:
    """The second time the error names registry, repository and digest, and nothing has the blob's name."""
    sim.flip(BLOB.digest, at_byte=5, times=None)
    with pytest.raises(IntegrityError) as caught:
        pull_blob(open_registry(sim.host), "team/app", BLOB, store)

    assert caught.value.message.startswith(f"{sim.host}/team/app sends wrong bytes for {BLOB.digest}, twice")
    assert "quarantine" in str(caught.value.hint)
    assert (store.exists(BLOB), len(blob_requests(sim))) == (False, 2)


def test_a_damaged_partial_is_thrown_away(sim: RegistrySimulator, store: LocalStore) -> None:
    """Wrong bytes of an earlier process are noticed at the end; all is fetched anew."""
    with store.ingest(BLOB) as partial:
        assert partial is not None
        partial.write(bytes(150_000))
    pull_blob(open_registry(sim.host), "team/app", BLOB, store)

    assert (blob_requests(sim), read(store, BLOB)) == (["bytes=150000-", None], CONTENT)


def test_an_answer_of_another_size_is_asked_for_again(sim: RegistrySimulator, store: LocalStore) -> None:
    """A page that a proxy puts in the blob's place is not taken, and asked for once more."""
    sim.reply("GET", BLOB.digest, status=200, body=b"<html>please log in</html>")
    pull_blob(open_registry(sim.host), "team/app", BLOB, store)

    assert (len(blob_requests(sim)), read(store, BLOB)) == (2, CONTENT)


def test_a_blob_of_another_size_is_refused(sim: RegistrySimulator, store: LocalStore) -> None:
    """A registry that has another size than the lock says is told of with both sizes."""
    sim.reply("GET", BLOB.digest, status=200, body=b"short", times=None)
    with pytest.raises(IntegrityError, match=f"has 5 bytes there, not {BLOB.size}"):
        pull_blob(open_registry(sim.host), "team/app", BLOB, store)


def test_a_manifest_with_other_bytes_is_refused(sim: RegistrySimulator, store: LocalStore) -> None:
    """A manifest that is not what its digest says does not get into the store."""
    sim.flip("/manifests/", at_byte=5, times=None)
    with pytest.raises(IntegrityError, match=f"{APP.root.digest}"):
        pull_content(open_registry(sim.host), "team/app", content_of(APP), store)

    assert not store.exists(APP.root)


# Failures


def test_the_other_blobs_settle_before_a_failure_is_raised(sim: RegistrySimulator, store: LocalStore) -> None:
    """One missing blob does not keep the others from arriving; the manifest stays away."""
    config = next(blob for blob in APP.blobs if blob != BLOB and "config" in blob.media_type)
    sim.fail("GET", config.digest, status=404, code="BLOB_UNKNOWN", times=None)
    with pytest.raises(NotFoundError, match=config.digest):
        pull_content(open_registry(sim.host), "team/app", content_of(APP), store)

    assert (store.exists(BLOB), store.exists(config), store.exists(APP.root)) == (True, False, False)


def test_a_denied_blob_is_not_tried_again(sim: RegistrySimulator, store: LocalStore) -> None:
    """A 403 ends the pull at once."""
    sim.deny("/blobs/")
    with pytest.raises(DeniedError):
        pull_blob(open_registry(sim.host), "team/app", BLOB, store)

    assert len(blob_requests(sim)) == 1


# What is nearby


def test_blobs_that_are_nearby_are_not_asked_for(sim: RegistrySimulator, store: LocalStore, tmp_path: Path) -> None:
    """They are taken, hashed and counted apart; what nobody nearby has comes from the registry."""
    nearby = LocalStore(tmp_path / "nearby")
    nearby.write(BLOB, CONTENT)

    transfer = pull_content(open_registry(sim.host), "team/app", content_of(APP), store, nearby=(nearby,))

    assert read(store, BLOB) == CONTENT
    assert blob_requests(sim) == []
    assert (transfer.taken, transfer.taken_bytes) == (1, BLOB.size)
    assert transfer.moved == len(APP.blobs) - 1


def test_what_is_wrong_nearby_is_taken_elsewhere(sim: RegistrySimulator, store: LocalStore, tmp_path: Path) -> None:
    """A damaged copy costs nothing but its reading: the next one is taken, and in the end the registry is asked."""
    damaged, also_damaged = LocalStore(tmp_path / "one"), LocalStore(tmp_path / "two")
    for each in (damaged, also_damaged):
        each.write(BLOB, CONTENT)
        path = each.path(BLOB.digest)
        path.chmod(0o644)
        path.write_bytes(bytes([CONTENT[0] ^ 1]) + CONTENT[1:])

    transfer = pull_blob(open_registry(sim.host), "team/app", BLOB, store, nearby=(damaged, also_damaged))

    assert read(store, BLOB) == CONTENT
    assert transfer == Transfer(moved=1, moved_bytes=BLOB.size)
