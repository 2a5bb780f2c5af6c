"""A bundle that stands already is proved and left alone; anything else is written anew."""

from pathlib import Path

from edgelift.bundle.standing import ensure_bundle
from edgelift.bundle.writer import assemble_bundle
from tests.bundle.conftest import Assembled


def inode(path: Path) -> int:
    """Which file it is: a bundle that is written anew is another one."""
    return path.stat().st_ino


def test_the_same_lock_leaves_a_right_bundle_alone(mixed: Assembled) -> None:
    """Nothing is written, and the summary is the one of the first time."""
    before = inode(mixed.path)
    summary, is_new = ensure_bundle(mixed.lock, mixed.content, mixed.path)

    assert (summary, is_new, inode(mixed.path)) == (mixed.summary, False, before)


def test_a_damaged_bundle_is_written_anew(mixed: Assembled) -> None:
    """One wrong bit anywhere is found, however well the file begins and ends."""
    content = bytearray(mixed.path.read_bytes())
    content[len(content) // 2] ^= 1
    mixed.path.write_bytes(content)
    summary, is_new = ensure_bundle(mixed.lock, mixed.content, mixed.path)

    assert (summary, is_new) == (mixed.summary, True)
    assert summary.digest.hex in summary.digest.of(mixed.path.read_bytes())


def test_a_bundle_cut_short_is_written_anew(mixed: Assembled) -> None:
    """What a full disk or a broken copy left is no bundle."""
    mixed.path.write_bytes(mixed.path.read_bytes()[:-9])

    assert ensure_bundle(mixed.lock, mixed.content, mixed.path) == (mixed.summary, True)


def test_the_bundle_of_another_lock_is_replaced(mixed: Assembled, large: Assembled, tmp_path: Path) -> None:
    """It is whole, but not what was asked for."""
    path = tmp_path / "site.tar.zst"
    assemble_bundle(large.lock, large.content, path)
    summary, is_new = ensure_bundle(mixed.lock, mixed.content, path)

    assert (summary.digest, is_new) == (mixed.summary.digest, True)
    assert path.read_bytes() == mixed.path.read_bytes()


def test_where_nothing_stands_the_bundle_is_written(mixed: Assembled, tmp_path: Path) -> None:
    """The usual case."""
    summary, is_new = ensure_bundle(mixed.lock, mixed.content, tmp_path / "new" / "site.tar.zst")

    assert (summary.digest, is_new) == (mixed.summary.digest, True)
