"""What is known of blobs that were found right, and when it is not believed any more."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgelift.bundle.reader import BundleReader
from edgelift.bundle.writer import assemble_bundle
from edgelift.errors import EdgeliftError, IntegrityError
from edgelift.oci.content import PassageReader
from edgelift.oci.descriptor import Descriptor
from edgelift.serve.part import BlobPart
from edgelift.serve.proof import Proofs
from edgelift.store.local import LocalStore
from tests.bundle.content import GZIP, MemoryContent, lock_of, noise

LAYER = noise(300_000)
Place = tuple[PassageReader, Descriptor, Path, int]  # where the blob is read from, and the file and place that it is in


def _bundle(folder: Path) -> Iterator[Place]:
    content = MemoryContent()
    layer = content.add(LAYER, GZIP)
    path = assemble_bundle(lock_of(content.add_image("a.example/b:1", [layer])), content, folder / "x.tar.zst").path
    with BundleReader.open(path) as reader:
        yield reader, layer, path, path.read_bytes().index(LAYER[:1000])


def _store(folder: Path) -> Iterator[Place]:
    layer = MemoryContent().add(LAYER, GZIP)
    LocalStore(folder).write(layer, LAYER)
    reader = LocalStore(folder)  # another than the one that has hashed it when it came
    reader.path(layer.digest).chmod(0o644)
    yield reader, layer, reader.path(layer.digest), 0


@pytest.fixture(params=[_bundle, _store], ids=["bundle", "store"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A blob in a bundle, and one in a store."""
    make: Callable[[Path], Iterator[Place]] = request.param
    yield from make(tmp_path)


def _given(proofs: Proofs, reader: PassageReader, layer: Descriptor) -> bytes:
    return b"".join(BlobPart(reader.passage(layer, 0, layer.size), 0, layer.size, proofs.check(layer)))


def _write(path: Path, offset: int, piece: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(piece)


def test_a_blob_is_right_again_and_again(place: Place) -> None:
    """What was right is given again, the first time by its digest, then by its checksum."""
    reader, layer, _, _ = place
    proofs = Proofs(reader)
    assert [_given(proofs, reader, layer) for _ in range(3)] == [LAYER] * 3


def test_a_blob_that_is_changed_later(place: Place) -> None:
    """What was right is not believed once its file has changed, also where the file's time was set back."""
    reader, layer, path, offset = place
    proofs, before = Proofs(reader), path.stat()
    assert _given(proofs, reader, layer) == LAYER
    _write(path, offset + 50, b"damage")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(IntegrityError, match="damaged"):
        _given(proofs, reader, layer)


def test_a_blob_that_is_changed_on_its_way(place: Place) -> None:
    """A blob that changes while it is sent, the second time too, never arrives whole."""
    reader, layer, path, offset = place
    proofs = Proofs(reader)
    assert _given(proofs, reader, layer) == LAYER
    part = BlobPart(reader.passage(layer, 0, layer.size), 0, layer.size, proofs.check(layer))
    pieces = iter(part)
    seen = bytes(next(pieces))
    _write(path, offset + 50, b"damage")
    with pytest.raises(EdgeliftError):
        seen += b"".join(pieces)
    assert len(seen) < len(LAYER)


def test_a_blob_that_is_touched_on_its_way(place: Place) -> None:
    """Where the file was only touched meanwhile, the blob is hashed before its end is given."""
    reader, layer, path, _ = place
    proofs = Proofs(reader)
    assert _given(proofs, reader, layer) == LAYER
    pieces = iter(BlobPart(reader.passage(layer, 0, layer.size), 0, layer.size, proofs.check(layer)))
    seen = bytes(next(pieces))
    path.chmod(0o600)
    assert seen + b"".join(pieces) == LAYER


def test_the_first_time_counts_by_digest(place: Place) -> None:
    """What was wrong from the start is never given whole, nor the second time."""
    reader, layer, path, offset = place
    _write(path, offset + 50, b"damage")
    proofs = Proofs(reader)
    for _ in range(2):
        with pytest.raises(EdgeliftError):
            _given(proofs, reader, layer)


@pytest.mark.parametrize("always_hash", [False, True])
def test_what_is_known(place: Place, always_hash: bool) -> None:
    """One who hashes always, as where a signature vouches for digests, knows nothing from the time before."""
    reader, layer, _, _ = place
    proofs = Proofs(reader, always_hash=always_hash)
    checks = [proofs.check(layer) for _ in range(2) if _given(proofs, reader, layer)]
    assert [check.is_known for check in checks] == [not always_hash] * 2
