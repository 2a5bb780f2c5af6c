"""A bundle that was changed anywhere, in any way: verification refuses it, and reading never gives wrong bytes."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelift.bundle.reader import BundleReader
from edgelift.bundle.verify import verify_bundle
from edgelift.errors import BundleError, IntegrityError
from tests.bundle.conftest import Assembled
from tests.bundle.crafting import container_of, craft, parts_of, tar_of_parts

REFUSALS = (BundleError, IntegrityError)


def _flip(file: bytearray, chance: random.Random) -> None:
    file[chance.randrange(len(file))] ^= 1 << chance.randrange(8)


def _zero_out(file: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(file) - 64)
    file[start : start + 64] = bytes(64) if any(file[start : start + 64]) else b"\1" * 64


def _cut(file: bytearray, chance: random.Random) -> None:
    del file[chance.randrange(len(file)) :]


def _extend(file: bytearray, chance: random.Random) -> None:
    file += chance.randbytes(chance.randrange(1, 200))


def _insert(file: bytearray, chance: random.Random) -> None:
    position = chance.randrange(len(file))
    file[position:position] = chance.randbytes(chance.randrange(1, 50))


def _take_out(file: bytearray, chance: random.Random) -> None:
    position = chance.randrange(len(file) - 50)
    del file[position : position + chance.randrange(1, 50)]


def _move(file: bytearray, chance: random.Random) -> None:
    start, stop = sorted(chance.sample(range(0, len(file), 16), 2))
    file[:] = file[:start] + file[stop:] + file[start:stop]


@pytest.mark.parametrize("damage", [_flip, _zero_out, _cut, _extend, _insert, _take_out, _move])
@pytest.mark.parametrize("seed", range(3))
def test_random_damage_is_refused(
    mixed: Assembled, tmp_path: Path, damage: Callable[[bytearray, random.Random], None], seed: int
) -> None:
    """Twenty-five random changes of a kind: all refused by `verify`, and what can still be read is right."""
    chance = random.Random(seed)
    path = tmp_path / "damaged"
    for _ in range(25):
        file = bytearray(mixed.path.read_bytes())
        damage(file, chance)
        path.write_bytes(file)

        with pytest.raises(REFUSALS):
            verify_bundle(path)
        _check_what_can_be_read(path, mixed)


def test_every_bit_of_the_first_block_counts(mixed: Assembled, tmp_path: Path) -> None:
    """No bit at the start of compressed content can change, though some of them do not change what it decodes to."""
    path = tmp_path / "damaged"
    good = mixed.path.read_bytes()
    for position in range(8 * 10, 8 * 30):
        file = bytearray(good)
        file[position // 8] ^= 1 << position % 8
        path.write_bytes(file)

        with pytest.raises(REFUSALS):
            verify_bundle(path)


def test_changed_tar_under_a_right_seal_is_refused(mixed: Assembled, tmp_path: Path) -> None:
    """A byte changed by someone who then makes frames, checksums and seal anew is found by what the lock says."""
    chance = random.Random(4)
    good = tar_of_parts(parts_of(mixed.lock, mixed.content))
    spans = list(container_of(mixed.lock).frames())
    for _ in range(150):
        tar = bytearray(good)
        tar[chance.randrange(len(tar))] ^= chance.randrange(1, 256)
        path = craft(tmp_path, bytes(tar), spans)

        with pytest.raises(REFUSALS):
            verify_bundle(path)
        _check_what_can_be_read(path, mixed)


def _check_what_can_be_read(path: Path, bundle: Assembled) -> None:
    """Every blob that can be read to its end is right; all that fails, fails with an error of ours."""
    try:
        reader = BundleReader.open(path)
    except REFUSALS:
        return
    with reader:
        for blob in container_of(bundle.lock).blobs:
            try:
                content = b"".join(reader.read(blob.descriptor))
            except REFUSALS:
                continue
            assert bundle.content.blobs[blob.descriptor.digest] == content
