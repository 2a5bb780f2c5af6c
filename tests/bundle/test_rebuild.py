"""Bundles assembled again from their own content: the same bytes, or the first that is another."""

from pathlib import Path

import pytest

from edgelift.bundle.reader import BundleReader
from edgelift.bundle.rebuild import first_difference
from edgelift.bundle.writer import Progress
from tests.bundle.conftest import Assembled
from tests.bundle.crafting import craft, parts_of, tar_of_parts


def difference(path: Path, progress: Progress | None = None) -> int | None:
    """The first difference in the file at `path`."""
    with BundleReader.open(path) as bundle:
        return first_difference(bundle, progress=progress)


@pytest.mark.parametrize("name", ["mixed", "large"])
def test_what_was_assembled_is_assembled_again(request: pytest.FixtureRequest, name: str) -> None:
    """The content comes out of the bundle itself, and each of its bytes is counted as progress."""
    bundle: Assembled = request.getfixturevalue(name)
    steps: list[int] = []

    assert difference(bundle.path, progress=steps.append) is None
    assert sum(steps) == bundle.summary.content_size


def test_another_form_of_the_same_content_differs(mixed: Assembled, tmp_path: Path) -> None:
    """A bundle that another tool has cut otherwise is told from the one that its lock gives, at its first such byte."""
    other = craft(tmp_path, tar_of_parts(parts_of(mixed.lock, mixed.content)))
    same = zip(mixed.path.read_bytes(), other.read_bytes(), strict=False)

    assert difference(other) == next(at for at, (a, b) in enumerate(same) if a != b)


def test_damage_is_a_difference(large: Assembled, tmp_path: Path) -> None:
    """What has changed within a blob shows at the latest in the checksum of its frame."""
    file = bytearray(large.path.read_bytes())
    file[len(file) // 2] ^= 1
    damaged = tmp_path / "damaged.tar.zst"
    damaged.write_bytes(file)

    at = difference(damaged)

    assert at is not None
    assert at > len(file) // 2


def test_another_seal_differs(mixed: Assembled, tmp_path: Path) -> None:
    """What closes the file is compared like all that stands before it."""
    file = bytearray(mixed.path.read_bytes())
    seal = file.rindex(b"\x5d\x2a\x4d\x18") + 8  # the sha256 of the compressed frames, see docs/format.md
    file[seal] ^= 1
    other = tmp_path / "other.tar.zst"
    other.write_bytes(file)

    assert difference(other) == seal
