"""Uploads in chunks: what the blob is read from, how often, and where that turns out to be wrong."""

import gc
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import IntegrityError, RegistryError
from edgelift.oci.chunked import BlobSource
from edgelift.oci.content import ImageContent
from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.push import KnownBlobs, push_content
from edgelift.oci.registry import Registry
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.oci.chunks import (
    HUGE,
    MIB,
    PIECE,
    REPOSITORY,
    SESSION,
    SMALL,
    Source,
    describe,
    in_chunks,
    open_registry,
    patches,
)
from tests.oci.clocks import Hands
from tests.simulators.registry import RegistrySimulator


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """An empty registry that keeps of an upload what has arrived."""
    with RegistrySimulator(tmp_path) as simulator:
        yield simulator


@dataclass(frozen=True)
class Place:
    """A destination."""

    repository: str
    tag: str


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
