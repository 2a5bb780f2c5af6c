"""Assembling while content arrives: the same bytes as afterwards, and nothing where the pull fails."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgelift.bundle.assembly import Assembly
from edgelift.bundle.container import contents_of
from edgelift.errors import StoreError
from edgelift.oci.descriptor import Descriptor
from tests.bundle.conftest import Assembled
from tests.bundle.content import MemoryContent


class PullError(Exception):
    """What ends a block here."""


def arrive(source: MemoryContent, bundle: Assembled, blobs: list[Descriptor]) -> None:
    """Bring `blobs` of `bundle` into `source`."""
    for blob in blobs:
        source.blobs[blob.digest] = bundle.content.blobs[blob.digest]


def wait_until_some(steps: list[int]) -> None:
    """Wait for progress made in another thread."""
    deadline = time.monotonic() + 10
    while not steps:
        assert time.monotonic() < deadline, "nothing was done"
        time.sleep(0.005)


def fail_in_the_middle(assembly: Assembly, steps: list[int]) -> None:
    """Let the block fail once some of the work is done."""

    def pull() -> None:
        with assembly:
            wait_until_some(steps)
            raise PullError

    with pytest.raises(PullError):
        pull()


@pytest.mark.parametrize("is_backwards", [False, True], ids=["in its order", "backwards"])
def test_content_that_arrives_meanwhile_gives_the_same_bytes(
    mixed: Assembled, tmp_path: Path, is_backwards: bool
) -> None:
    """Neither the order nor the moment of arrival leaves a trace."""
    path, source = tmp_path / "site.tar.zst", MemoryContent()
    blobs = sorted(contents_of(mixed.lock), key=lambda blob: blob.digest, reverse=is_backwards)

    with Assembly(mixed.lock, source, path) as assembly:
        for blob in blobs:
            arrive(source, mixed, [blob])
            time.sleep(0.01)
        summary, is_new = assembly.finish()

    assert path.read_bytes() == mixed.path.read_bytes()
    assert (summary.size, is_new) == (mixed.summary.size, True)


def test_a_source_afar_is_asked_seldom(mixed: Assembled, tmp_path: Path) -> None:
    """Each look at it is a request: waiting for a blob costs two of them a second."""

    class CountingContent(MemoryContent):
        looks = 0

        def exists(self, descriptor: Descriptor) -> bool:
            """Count."""
            self.looks += 1
            return super().exists(descriptor)

    source = CountingContent()
    with Assembly(mixed.lock, source, tmp_path / "site.tar.zst", is_remote=True) as assembly:
        time.sleep(0.4)
        assert source.looks <= 1
        arrive(source, mixed, list(contents_of(mixed.lock)))
        assembly.finish()

    assert (tmp_path / "site.tar.zst").read_bytes() == mixed.path.read_bytes()


def test_what_has_arrived_is_written_at_once(mixed: Assembled, tmp_path: Path) -> None:
    """The work is well on its way when the last blob comes."""
    source, steps = MemoryContent(), list[int]()
    first, last = contents_of(mixed.lock)[:-5], contents_of(mixed.lock)[-5:]  # of which some are not empty

    with Assembly(mixed.lock, source, tmp_path / "site.tar.zst", progress=steps.append) as assembly:
        arrive(source, mixed, list(first))
        wait_until_some(steps)
        before = sum(steps)
        arrive(source, mixed, list(last))
        assembly.finish()

    assert 0 < before < sum(steps)
    assert sum(steps) == mixed.lock.unique_size


def test_a_block_that_fails_leaves_nothing(mixed: Assembled, tmp_path: Path) -> None:
    """Half a pull ends the assembling that waits for the other half, and removes what it wrote."""
    source, steps, folder = MemoryContent(), list[int](), tmp_path / "site"
    arrive(source, mixed, list(contents_of(mixed.lock)[:3]))

    fail_in_the_middle(Assembly(mixed.lock, source, folder / "site.tar.zst", progress=steps.append), steps)

    assert list(folder.iterdir()) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("assemble")]


def test_what_had_not_arrived_when_a_block_fails_is_no_warning(
    mixed: Assembled, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The pull was stopped, and has said why; that blobs are not here then is no news."""
    source, steps = MemoryContent(), list[int]()
    arrive(source, mixed, list(contents_of(mixed.lock)[:3]))

    fail_in_the_middle(Assembly(mixed.lock, source, tmp_path / "site.tar.zst", progress=steps.append), steps)

    assert caplog.messages == []


def test_a_block_that_fails_does_not_wait_for_long_work(large: Assembled, tmp_path: Path) -> None:
    """Giving up takes effect at the next chunk, not at the end of the bundle."""

    class Slow(MemoryContent):
        def read(self, descriptor: Descriptor) -> Iterator[bytes]:
            for chunk in super().read(descriptor):
                time.sleep(0.01)
                yield chunk

    source, steps = Slow(large.content.blobs, chunk=1024), list[int]()
    began = time.monotonic()

    fail_in_the_middle(Assembly(large.lock, source, tmp_path / "b", progress=steps.append), steps)

    assert time.monotonic() - began < 20  # all of it would take 200 s
    assert not (tmp_path / "b").exists()


def test_a_bundle_that_stands_outlives_a_block_that_fails(mixed: Assembled) -> None:
    """It is only read: what was right stays."""
    before = mixed.path.read_bytes()

    with pytest.raises(PullError), Assembly(mixed.lock, mixed.content, mixed.path):
        raise PullError

    assert mixed.path.read_bytes() == before


def test_content_that_never_came_is_named_in_the_end(mixed: Assembled, tmp_path: Path) -> None:
    """The error says what is missing and who needs it; there is no bundle then."""
    source = replace(mixed.content, blobs=dict(mixed.content.blobs))
    missing = mixed.lock.images[2].blobs[1]
    del source.blobs[missing.digest]

    with Assembly(mixed.lock, source, tmp_path / "b") as assembly, pytest.raises(StoreError) as caught:
        assembly.finish()

    assert missing.digest in caught.value.message
    assert mixed.lock.images[2].reference in caught.value.message
    assert not (tmp_path / "b").exists()


def test_a_right_bundle_is_left_alone_before_anything_arrives(mixed: Assembled) -> None:
    """What stands needs no content at all."""
    with Assembly(mixed.lock, MemoryContent(), mixed.path) as assembly:
        assert assembly.finish() == (mixed.summary, False)
