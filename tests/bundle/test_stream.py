"""A bundle that another tool has compressed again: read from front to back, never called right, and made anew."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from edgelift.bundle.container import tar_header
from edgelift.bundle.file_digest import FileDigest
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.stream import BundleStream, open_for_lock, reassemble_bundle
from edgelift.bundle.verify import verify_bundle
from edgelift.bundle.writer import BundleSummary, assemble_bundle
from edgelift.errors import BundleError, EdgeliftError, IntegrityError, UnseekableError
from edgelift.oci.digest import Digest
from tests.bundle.conftest import Assembled
from tests.bundle.content import mixed_content
from tests.bundle.crafting import container_of, parts_of, tar_of_parts
from tests.bundle.test_hostile import LOCKS, TARS, Change
from tests.real_parts import require_tool


def _compressed_again(folder: Path, tar: bytes) -> Path:
    path = folder / "again.tar.zst"
    path.write_bytes(zstandard.ZstdCompressor(level=3, write_checksum=True).compress(tar))
    return path


def _tar() -> bytes:
    return tar_of_parts(parts_of(*mixed_content()))


@pytest.fixture(params=["by a library", "by the zstd program", "with long windows", "of its table only"])
def again(request: pytest.FixtureRequest, large: Assembled, tmp_path: Path) -> Path:
    """The large bundle, as it is after somebody has meant well, or has lost its end."""
    path = tmp_path / "again.tar.zst"
    if request.param == "of its table only":
        with BundleReader.open(large.path) as reader:
            last = list(reader.tar.table)[-1]
        path.write_bytes(large.path.read_bytes()[: last.stored_start])
        return path
    zstd = require_tool("zstd")
    if request.param == "by a library":
        unpacked = subprocess.run([zstd, "-dcq", large.path], check=True, capture_output=True).stdout
        return _compressed_again(tmp_path, unpacked)
    level = "--long=27" if request.param == "with long windows" else "-1"
    subprocess.run(f"{zstd} -dcq {large.path} | {zstd} -q {level} -o {path}", shell=True, check=True)
    return path


def reassemble(place: Path, path: Path) -> BundleSummary:
    """The bundle at `place` made again at `path`."""
    with BundleStream.open(place) as stream:
        return reassemble_bundle(stream, path)


def test_its_lock_is_read(again: Path, large: Assembled) -> None:
    """What it holds is known without a seek table."""
    with pytest.raises(UnseekableError):
        BundleReader.open(again)
    with open_for_lock(again) as opened:
        assert isinstance(opened, BundleStream)
        assert (large.lock, again.stat().st_size) == (opened.lock, opened.size)


def test_it_is_verified_and_not_called_right(again: Path) -> None:
    """All of it is looked at; that its content is right is said, and so is that it is not the bundle."""
    with FileDigest() as digest, pytest.raises(UnseekableError, match="has the right content, but is not the file"):
        verify_bundle(again, digest=digest)

    assert Digest.of(again.read_bytes()) == digest.value()


def test_the_bundle_is_made_from_it_again(again: Path, large: Assembled, tmp_path: Path) -> None:
    """To the byte the one that it was, also in its own place."""
    reassemble(again, tmp_path / "new.tar.zst")
    reassemble(again, again)

    assert large.path.read_bytes() == (tmp_path / "new.tar.zst").read_bytes() == again.read_bytes()


def test_a_bundle_is_made_from_itself(mixed: Assembled, tmp_path: Path) -> None:
    """Nothing is asked of the file but its content: one with a seek table will do."""
    summary = reassemble(mixed.path, tmp_path / "new.tar.zst")

    assert (mixed.summary.size, mixed.path.read_bytes()) == (summary.size, summary.path.read_bytes())


def test_what_was_checked_is_what_is_made(mixed: Assembled, tmp_path: Path) -> None:
    """Another file that takes the name meanwhile, of a lock that nobody has looked at, is not read."""
    lock, content = mixed_content()
    other = tmp_path / "other.tar.zst"
    assemble_bundle(lock.model_copy(update={"images": lock.images[:1]}), content, other)
    before = mixed.path.read_bytes()

    with BundleStream.open(mixed.path) as stream:
        other.replace(mixed.path)
        reassemble_bundle(stream, tmp_path / "new.tar.zst")

    assert before == (tmp_path / "new.tar.zst").read_bytes()


@pytest.mark.parametrize("change", TARS.values(), ids=TARS)
def test_hostile_tar_is_refused(tmp_path: Path, change: Change) -> None:
    """Without a seek table the same headers are refused: by verification, and before anything new has a name."""
    parts = parts_of(*mixed_content())
    change(parts)
    path = _compressed_again(tmp_path, tar_of_parts(parts))

    with pytest.raises(BundleError) as verified:
        verify_bundle(path)
    with pytest.raises(EdgeliftError):
        reassemble(path, tmp_path / "new.tar.zst")
    assert not isinstance(verified.value, UnseekableError)
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize("case", ["nothing", "deep nesting", "two sizes for a digest", "four exabytes"])
def test_hostile_lock_is_refused(tmp_path: Path, case: str) -> None:
    """A lock that is none or lies is a `BundleError`."""
    parts = parts_of(*mixed_content())
    lock, _ = LOCKS[case]
    parts[3].header = tar_header(parts[3].name, len(lock))
    parts[3].content, parts[3].padding = lock, bytes(-len(lock) % 512)
    path = _compressed_again(tmp_path, tar_of_parts(parts))

    with pytest.raises((BundleError, IntegrityError)) as caught:
        verify_bundle(path)
    assert not isinstance(caught.value, UnseekableError)


DAMAGED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a blob's bit": (lambda tar: _flipped(tar, _a_blob()), "is not what its name says"),
    "a bit of the padding": (lambda tar: _flipped(tar, _a_blob(at_end=True)), "the padding after"),
    "cut short": (lambda tar: tar[:-1600], "ends early"),
    "going on": (lambda tar: tar + b"x", "goes on after the end"),
    "another end": (lambda tar: tar[:-1] + b"x", "the end differs"),
}


def _a_blob(*, at_end: bool = False) -> int:
    blob = next(each for each in container_of(mixed_content()[0]).blobs if each.size > 100 and each.padding)
    return blob.end if at_end else blob.offset + 50


def _flipped(tar: bytes, at: int) -> bytes:
    return tar[:at] + bytes([tar[at] ^ 1]) + tar[at + 1 :]


@pytest.mark.parametrize(("damage", "verdict"), DAMAGED.values(), ids=DAMAGED)
def test_damage_is_found(tmp_path: Path, damage: Callable[[bytes], bytes], verdict: str) -> None:
    """What is wrong inside is told apart from having been compressed again, and nothing is made from it."""
    path = _compressed_again(tmp_path, damage(_tar()))

    with pytest.raises((BundleError, IntegrityError), match=verdict):
        verify_bundle(path)
    with pytest.raises(EdgeliftError):
        reassemble(path, tmp_path / "new.tar.zst")
    assert [path] == list(tmp_path.iterdir())


def test_a_window_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    """A file that wants more than 128 MiB of memory to be decoded does not get it."""
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=28)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    path = tmp_path / "wide"
    path.write_bytes(compressor.compress(_tar()) + compressor.flush())

    with pytest.raises(IntegrityError, match="cannot be decoded"):
        verify_bundle(path)


def test_blobs_are_given_in_their_order_only(large: Assembled) -> None:
    """Who asks for another blob than the next one gets an error, not another's bytes."""
    last = container_of(large.lock).blobs[-1].descriptor

    with BundleStream.open(large.path) as stream, pytest.raises(BundleError, match="next, and not"):
        list(stream.read_into(memoryview(bytearray(2**20)), last))
