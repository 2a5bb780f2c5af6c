"""A bundle that stands already is proved and left alone; anything else is written anew."""

from pathlib import Path

import pytest

from edgelift.bundle.lock import BundleLock
from edgelift.bundle.standing import ensure_bundle, find_bundle, has_bundle
from edgelift.bundle.writer import assemble_bundle
from edgelift.oci.digest import Digest
from tests.bundle.conftest import Assembled


def inode(path: Path) -> int:
    """Which file it is: a bundle that is written anew is another one."""
    return path.stat().st_ino


def test_the_same_lock_leaves_a_right_bundle_alone(mixed: Assembled) -> None:
    """Nothing is written, and the summary is the one of the first time."""
    before = inode(mixed.path)
    summary, is_new = ensure_bundle(mixed.lock, mixed.content, mixed.path)

    assert (summary, is_new, inode(mixed.path)) == (mixed.summary, False, before)


def test_the_digest_of_a_bundle_that_stands_is_found_with_it(mixed: Assembled) -> None:
    """Who asks for it gets that of the very bytes that were verified; of one that is written there is none."""
    digest = Digest.of(mixed.path.read_bytes())

    standing, _ = ensure_bundle(mixed.lock, mixed.content, mixed.path, wants_digest=True)
    mixed.path.unlink()
    written, _ = ensure_bundle(mixed.lock, mixed.content, mixed.path, wants_digest=True)

    assert (standing.digest, written.digest) == (digest, None)


def test_a_damaged_bundle_is_written_anew(mixed: Assembled) -> None:
    """One wrong bit anywhere is found, however well the file begins and ends."""
    whole = mixed.path.read_bytes()
    content = bytearray(whole)
    content[len(content) // 2] ^= 1
    mixed.path.write_bytes(content)
    summary, is_new = ensure_bundle(mixed.lock, mixed.content, mixed.path)

    assert (summary, is_new) == (mixed.summary, True)
    assert mixed.path.read_bytes() == whole


def test_a_bundle_cut_short_is_written_anew(mixed: Assembled) -> None:
    """What a full disk or a broken copy left is no bundle."""
    mixed.path.write_bytes(mixed.path.read_bytes()[:-9])

    assert ensure_bundle(mixed.lock, mixed.content, mixed.path) == (mixed.summary, True)


def test_the_bundle_of_another_lock_is_replaced(mixed: Assembled, large: Assembled, tmp_path: Path) -> None:
    """It is whole, but not what was asked for."""
    path = tmp_path / "site.tar.zst"
    assemble_bundle(large.lock, large.content, path)
    summary, is_new = ensure_bundle(mixed.lock, mixed.content, path)

    assert (summary.size, is_new) == (mixed.summary.size, True)
    assert path.read_bytes() == mixed.path.read_bytes()


def test_where_nothing_stands_the_bundle_is_written(mixed: Assembled, tmp_path: Path) -> None:
    """The usual case."""
    summary, is_new = ensure_bundle(mixed.lock, mixed.content, tmp_path / "new" / "site.tar.zst")

    assert (summary.size, is_new) == (mixed.summary.size, True)


@pytest.mark.parametrize("damage", ["nothing", "a bit in the middle", "all but the beginning"])
def test_progress_ends_at_the_whole(damage: str, large: Assembled, tmp_path: Path) -> None:
    """Whatever was verified before damage was found, no byte is counted twice."""
    content = bytearray(large.path.read_bytes())
    if damage == "a bit in the middle":
        content[len(content) // 2] ^= 1
    path = tmp_path / "site.tar.zst"
    path.write_bytes(content[: 10 if damage == "all but the beginning" else None])
    steps: list[int] = []
    _, is_new = ensure_bundle(large.lock, large.content, path, progress=steps.append)

    assert (is_new, sum(steps)) == (damage != "nothing", large.lock.unique_size)


def test_a_bundle_that_takes_the_name_meanwhile_is_not_the_one_that_was_found(
    mixed: Assembled, large: Assembled, tmp_path: Path
) -> None:
    """Lock and content are those of one file, whatever has its name when the lock has been read."""
    path, other = tmp_path / "site.tar.zst", tmp_path / "other"
    path.write_bytes(mixed.path.read_bytes())
    other.write_bytes(large.path.read_bytes())

    class Watched(BundleLock):
        """A lock that is looked at in the moment before the file is replaced."""

        def __eq__(self, found: object) -> bool:
            if other.exists():
                other.replace(path)
            return found == mixed.lock

        __hash__ = BundleLock.__hash__

    found = find_bundle(Watched.model_construct(**dict(mixed.lock)), path)

    assert found is not None
    assert found.size == mixed.summary.size


def test_a_bundle_is_recognised_without_a_look_at_its_content(mixed: Assembled, large: Assembled) -> None:
    """The lock tells; a file that is none is no bundle of it."""
    assert has_bundle(mixed.lock, mixed.path)
    assert not has_bundle(large.lock, mixed.path)
    assert not has_bundle(mixed.lock, mixed.path.with_name("nothing"))
