"""Reading a bundle where each look is a request: as few as can be, and nothing is given out that was not looked at."""

import pytest
import zstandard

from edgelift.bundle.reader import BundleReader
from edgelift.bundle.verify import verify_open
from edgelift.errors import BundleError, EdgeliftError
from edgelift.oci.descriptor import Descriptor
from tests.bundle.conftest import Assembled
from tests.bundle.content import GZIP, MemoryContent, lock_of, mixed_content, noise
from tests.bundle.crafting import DistantBytes, container_of, frames_of, parts_of, tar_of_parts
from tests.bundle.test_hostile import TARS, VICTIM, Change


def _bundle_of(images: int) -> DistantBytes:
    """A bundle of so many images, each with a layer that stands in a frame of its own."""
    content = MemoryContent()
    locked = [
        content.add_image(f"docker.io/library/a:{number}", [content.add(noise(2_000, seed=number), GZIP)])
        for number in range(images)
    ]
    lock = lock_of(*locked)
    return DistantBytes(frames_of(tar_of_parts(parts_of(lock, content)), container_of(lock).frames()))


def test_opening_asks_as_little_of_many_images_as_of_few() -> None:
    """What there is to read at first does not grow with the number of blobs."""
    few, many = _bundle_of(2), _bundle_of(100)

    for source in (few, many):
        BundleReader.of(source)

    assert len(few.looks) + len(few.passages) == len(many.looks) + len(many.passages) <= 5


def test_a_blob_is_one_passage_with_its_header(large: Assembled) -> None:
    """The header before a blob and all its frames are asked for together, to the byte and no further."""
    source = DistantBytes(large.path.read_bytes())
    blobs = container_of(large.lock).blobs
    layer = max(blobs, key=lambda blob: blob.size)
    with BundleReader.open(large.path) as reader:
        frames = [frame for frame in reader.tar.table if layer.offset <= frame.start < layer.end]

    bundle = BundleReader.of(source)
    source.looks.clear()
    source.passages.clear()
    content = b"".join(bundle.read(layer.descriptor))

    assert large.content.blobs[layer.descriptor.digest] == content
    assert source.looks == []
    ((start, stop),) = source.passages
    assert frames[0].stored_start - 1024 < start <= frames[0].stored_start
    assert stop == frames[-1].stored_start + frames[-1].stored_size - 4  # without the checksum


def test_a_range_is_read_without_what_is_around_it(large: Assembled) -> None:
    """A few bytes out of the middle of a large blob cost a few bytes, the second time less."""
    source = DistantBytes(large.path.read_bytes())
    layer = max(container_of(large.lock).blobs, key=lambda blob: blob.size).descriptor
    bundle = BundleReader.of(source)

    for _ in "ab":
        source.looks.clear()
        source.passages.clear()
        read = b"".join(bundle.read_range(layer, 10_000_000, 10_000_500))
        asked = sum(stop - start for start, stop in source.looks + source.passages)

        assert large.content.blobs[layer.digest][10_000_000:10_000_500] == read
        assert asked < 1_000


def test_verify_goes_through_in_one_passage(mixed: Assembled) -> None:
    """The whole file is one request, besides what was needed to open it and to look at its end."""
    source = DistantBytes(mixed.path.read_bytes())
    bundle = BundleReader.of(source)
    source.looks.clear()
    source.passages.clear()

    verify_open(bundle)

    assert (len(source.passages), len(source.looks)) == (1, 1)


def _given_out(file: bytes, descriptor: Descriptor, start: int) -> bytes:
    """What a reader that has read nothing else gives out of that blob, until it refuses."""
    chunks: list[bytes] = []
    try:
        bundle = BundleReader.of(DistantBytes(file))
        reading = bundle.read_range(descriptor, start, descriptor.size) if start else bundle.read(descriptor)
        chunks.extend(reading)
    except EdgeliftError as error:
        assert isinstance(error, BundleError)  # noqa: PT017 - what is given out before it is what this is about
    return b"".join(chunks)


@pytest.mark.parametrize("start", [0, 1], ids=["whole", "a range"])
@pytest.mark.parametrize("change", TARS.values(), ids=TARS)
def test_nothing_is_given_out_under_another_header(change: Change, start: int) -> None:
    """A blob with another name, type, link or size before it gives `BundleError` and not one byte, also by ranges."""
    lock, content = mixed_content()
    parts = parts_of(lock, content)
    change(parts)
    tar = tar_of_parts(parts)
    file = frames_of(tar)

    for blob in container_of(lock).blobs:
        header = tar[blob.offset - len(blob.header) : blob.offset]
        given = _given_out(file, blob.descriptor, start)
        if header != blob.header:
            assert given == b""
        assert given in (b"", content.blobs[blob.descriptor.digest][start:])


@pytest.mark.parametrize("change", TARS.values(), ids=TARS)
def test_verify_refuses_every_other_header(change: Change) -> None:
    """What opening does not look at from afar, verification does."""
    parts = parts_of(*mixed_content())
    change(parts)

    with pytest.raises(BundleError):
        verify_open(BundleReader.of(DistantBytes(frames_of(tar_of_parts(parts)))))


def test_the_error_is_that_of_a_file() -> None:
    """Which member is wrong, and where, is told as it is when a file is opened."""
    lock, content = mixed_content()
    parts = parts_of(lock, content)
    parts[VICTIM].header = parts[VICTIM].header[:-1] + b"x"
    bundle = BundleReader.of(DistantBytes(frames_of(tar_of_parts(parts))))
    victim = container_of(lock).members[VICTIM]
    (descriptor,) = (blob.descriptor for blob in container_of(lock).blobs if blob.name == victim.name)

    with pytest.raises(BundleError, match=f"the file has another header where that of {victim.name} should be"):
        list(bundle.read(descriptor))


def test_what_was_compressed_again_is_not_looked_through() -> None:
    """Without a seek table a few looks have to do: each block would be one, in a file of any length."""
    source = DistantBytes(zstandard.ZstdCompressor().compress(noise(20 * 2**20)))

    with pytest.raises(BundleError, match="the file has no seek table: it was compressed again"):
        BundleReader.of(source)

    assert len(source.looks) < 50
