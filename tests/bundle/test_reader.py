"""Reading a bundle: content by descriptor, ranges, threads, and a clear word for every file that is none."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelift.bundle.reader import BundleReader
from edgelift.bundle.writer import assemble_bundle
from edgelift.errors import BundleError, IntegrityError
from edgelift.oci.content import RangeReader
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from tests.bundle.conftest import Assembled
from tests.bundle.content import GZIP, MemoryContent, lock_of, mixed_content, noise
from tests.bundle.crafting import container_of, craft, parts_of, tar_of_parts


def _contents(bundle: Assembled) -> list[Descriptor]:
    return [blob.descriptor for blob in container_of(bundle.lock).blobs]


@pytest.fixture(params=["mixed", "large"])
def bundle(request: pytest.FixtureRequest) -> Assembled:
    """The small bundle, then the one whose blobs span frames."""
    bundle: Assembled = request.getfixturevalue(request.param)
    return bundle


def test_everything_comes_back(bundle: Assembled) -> None:
    """Lock, definition and every blob are what went in."""
    with BundleReader.open(bundle.path) as reader:
        port: RangeReader = reader
        assert bundle.lock == reader.lock
        assert bundle.lock.definition == reader.definition
        assert (str(bundle.path), bundle.summary.size) == (reader.name, reader.size)
        for descriptor in _contents(bundle):
            assert port.exists(descriptor)
            assert bundle.content.blobs[descriptor.digest] == b"".join(port.read(descriptor))


def test_chunks_are_small(large: Assembled) -> None:
    """No chunk is larger than 128 KiB, whatever the blob."""
    with BundleReader.open(large.path) as reader:
        sizes = {len(chunk) for descriptor in _contents(large) for chunk in reader.read(descriptor)}

    assert max(sizes) == 128 * 1024


def test_bundle_is_a_source_for_a_bundle(bundle: Assembled, tmp_path: Path) -> None:
    """Assembling again from a bundle gives the same file."""
    again = tmp_path / "again.tar.zst"

    with BundleReader.open(bundle.path) as reader:
        assemble_bundle(reader.lock, reader, again)

    assert bundle.path.read_bytes() == again.read_bytes()


@settings(max_examples=60, deadline=None)  # a busy machine has no say in what is right
@given(data=st.data())
def test_range_is_the_slice(large: Assembled, data: st.DataObject) -> None:
    """Any range of any blob is the slice of its content."""
    with BundleReader.open(large.path) as reader:
        descriptor = data.draw(st.sampled_from(_contents(large)))
        edges = st.sampled_from([0, 1, 2**17 - 1, 2**17, 2**20, 2**23 - 1, 2**23, descriptor.size])
        start, stop = sorted(min(descriptor.size, data.draw(edges | st.integers(0, descriptor.size))) for _ in "ab")

        read = b"".join(reader.read_range(descriptor, start, stop))

    assert large.content.blobs[descriptor.digest][start:stop] == read


@pytest.mark.parametrize(("start", "stop"), [(-1, 1), (2, 1), (0, 10**6), (10**6, 10**6)])
def test_range_outside_is_refused(mixed: Assembled, start: int, stop: int) -> None:
    """Bytes of the neighbours are never given."""
    with BundleReader.open(mixed.path) as reader, pytest.raises(BundleError, match="has no bytes"):
        reader.read_range(_contents(mixed)[0], start, stop)


def test_unknown_content_is_refused(mixed: Assembled) -> None:
    """Content that is not here, or not of that size, does not exist and cannot be read."""
    known = _contents(mixed)[0]
    other_size = known.model_copy(update={"size": known.size + 1})
    unknown = known.model_copy(update={"digest": Digest.of(b"unknown")})

    with BundleReader.open(mixed.path) as reader:
        for descriptor in (other_size, unknown):
            assert not reader.exists(descriptor)
            with pytest.raises(BundleError, match="does not hold"):
                reader.read(descriptor)
            with pytest.raises(BundleError, match="does not hold"):
                reader.read_range(descriptor, 0, 1)


def test_threads_read_at_the_same_time(large: Assembled) -> None:
    """One reader serves several threads that read all blobs at once."""
    with BundleReader.open(large.path) as reader, ThreadPoolExecutor(8) as pool:

        def matches(descriptor: Descriptor) -> bool:
            return large.content.blobs[descriptor.digest] == b"".join(reader.read(descriptor))

        assert all(pool.map(matches, _contents(large) * 4))


def test_members_are_listed_with_place_and_size(mixed: Assembled) -> None:
    """Every member is listed with its name, its size and where it is in the tar."""
    with BundleReader.open(mixed.path) as reader:
        members = reader.container.members

    assert container_of(mixed.lock).members == members


def test_file_that_takes_the_name_later_is_not_read(mixed: Assembled) -> None:
    """What was opened stays what is read, also when another file gets its name."""
    descriptor = _contents(mixed)[-1]

    with BundleReader.open(mixed.path) as reader:
        other = mixed.path.with_name("other")
        other.write_bytes(b"something else")
        other.replace(mixed.path)

        assert mixed.content.blobs[descriptor.digest] == b"".join(reader.read(descriptor))


def test_file_cut_while_it_is_open_is_an_error(large: Assembled, tmp_path: Path) -> None:
    """A file that loses its end after it was opened gives an error of ours, not short content."""
    path = tmp_path / "b"
    path.write_bytes(large.path.read_bytes())

    with BundleReader.open(path) as reader:
        os.truncate(path, large.summary.size // 2)
        with pytest.raises(BundleError, match="became shorter"):
            list(reader.read(max(_contents(large), key=lambda descriptor: descriptor.size)))


def test_closed_reader_reads_nothing(mixed: Assembled) -> None:
    """After `close`, which may be called twice, reading is an error of ours."""
    reader = BundleReader.open(mixed.path)
    reader.close()
    reader.close()

    with pytest.raises(BundleError, match="cannot read"):
        list(reader.read(_contents(mixed)[5]))


@pytest.mark.parametrize("size", [0, 1, 200_000], ids=["empty", "one byte", "several chunks"])
def test_wrong_content_is_refused_before_its_last_chunk(tmp_path: Path, size: int) -> None:
    """Content that is not what its digest says never reaches the consumer whole."""
    content = MemoryContent()
    layer = content.add(noise(size), GZIP)
    lock = lock_of(content.add_image("docker.io/library/a:1", [layer]))
    wrong = layer.model_copy(update={"digest": Digest.of(b"another blob")})
    lock = lock_of(lock.images[0].model_copy(update={"blobs": (lock.images[0].blobs[0], wrong)}))
    content.blobs[wrong.digest] = noise(size)
    bundle = craft(tmp_path, tar_of_parts(parts_of(lock, content)), container_of(lock).frames())

    seen: list[bytes] = []
    with BundleReader.open(bundle) as reader, pytest.raises(IntegrityError, match=wrong.digest.hex):
        seen.extend(reader.read(wrong))

    assert seen == [noise(size)[at : at + 2**17] for at in range(0, size, 2**17)][:-1]


def _plain_file(folder: Path, content: bytes) -> Path:
    path = folder / "file"
    path.write_bytes(content)
    return path


def _tar() -> bytes:
    return tar_of_parts(parts_of(*mixed_content()))


def _make_good(folder: Path) -> bytes:
    return assemble_bundle(*mixed_content(), folder / "good").path.read_bytes()


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo")
    return folder / "fifo"


NOT_BUNDLES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "not there": (lambda folder: folder / "missing", "cannot open .*No such file"),
    "a folder": (lambda folder: folder, "is not a file"),
    "a pipe": (_fifo, "is not a file"),
    "empty": (lambda folder: _plain_file(folder, b""), "is empty"),
    "a text": (lambda folder: _plain_file(folder, b"hello, world" * 9), "is not a bundle"),
    "a tar": (lambda folder: _plain_file(folder, _tar()), "is not a bundle"),
    "compressed again": (
        lambda folder: _plain_file(folder, zstandard.ZstdCompressor(write_checksum=True).compress(_tar())),
        "no seek table: it was compressed again",
    ),
    "compressed again as a stream": (
        lambda folder: _plain_file(folder, _streamed(_tar())),
        "no seek table: it was compressed again",
    ),
    "cut in a frame": (lambda folder: _plain_file(folder, _make_good(folder)[:1000]), "is cut short"),
    "cut in a frame's header": (lambda folder: _plain_file(folder, _make_good(folder)[:5]), "is cut short"),
    "cut in the seal": (lambda folder: _plain_file(folder, _make_good(folder)[:-150]), "is cut short"),
    "cut in the seek table": (lambda folder: _plain_file(folder, _make_good(folder)[:-1]), "is cut short"),
    "a byte too many": (lambda folder: _plain_file(folder, _make_good(folder) + b"\0"), "goes on after its end"),
    "garbage between": (
        lambda folder: _plain_file(folder, _garbled(_make_good(folder))),
        "is damaged: no frame begins",
    ),
    "another zstd file": (
        lambda folder: craft(folder, b"hello, world" * 999),
        "another header where that of oci-layout should be",
    ),
    "an empty tar": (lambda folder: craft(folder, bytes(10_240)), "another header where that of oci-layout"),
    "shorter than a header": (lambda folder: craft(folder, bytes(100)), "ends before what its lock promises"),
}


def _streamed(tar: bytes) -> bytes:
    compressor = zstandard.ZstdCompressor().compressobj()
    return compressor.compress(tar) + compressor.flush()


def _garbled(file: bytes) -> bytes:
    second = file.index(b"\x28\xb5\x2f\xfd", 4)
    return file[:second] + b"?" + file[second:-1]


@pytest.mark.parametrize(("make", "verdict"), NOT_BUNDLES.values(), ids=NOT_BUNDLES)
def test_file_that_is_no_bundle_gets_a_clear_word(tmp_path: Path, make: Callable[[Path], Path], verdict: str) -> None:
    """Every file that cannot be read as a bundle is a `BundleError` that names it and says why."""
    path = make(tmp_path)

    with pytest.raises(BundleError, match=verdict) as caught:
        BundleReader.open(path)

    assert str(path) in str(caught.value)


def test_failed_open_leaves_no_file_open(tmp_path: Path) -> None:
    """Opening what is no bundle again and again does not run out of files."""
    path = _plain_file(tmp_path, b"hello, world" * 9)
    before = _open_files()

    for _ in range(50):
        with pytest.raises(BundleError):
            BundleReader.open(path)

    assert before == _open_files()


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
