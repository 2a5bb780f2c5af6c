"""Bundles that are here already: files, and folders of them."""

import logging
from pathlib import Path

import pytest

from edgelift.bundle.existing import open_bundles
from edgelift.errors import BundleError
from tests.bundle.conftest import Assembled
from tests.bundle.parted import make_parted


def test_files_and_folders_are_opened(mixed: Assembled, large: Assembled) -> None:
    """A file is one bundle, a folder all that lie in it."""
    opened = open_bundles([mixed.path, large.path.parent])

    assert [bundle.name for bundle in opened] == [str(mixed.path), str(large.path)]
    for bundle in opened:
        bundle.close()


def test_bundles_in_parts_are_found_in_a_folder(tmp_path: Path) -> None:
    """Each is one bundle, by its index, and gives all blobs it has; those beside it count as well."""
    parted = make_parted(tmp_path)
    whole = parted.path.with_name("other.tar.zst")
    whole.write_bytes(parted.whole)
    opened = open_bundles([parted.path.parent])

    assert len(opened) == 2
    for bundle in opened:
        with bundle:
            assert bundle.lock == parted.lock
            assert all(bundle.exists(blob) for blob in parted.lock.unique_blobs())


def test_what_is_none_in_a_folder_is_passed_over(mixed: Assembled, caplog: pytest.LogCaptureFixture) -> None:
    """A file that was cut short is no source, and no reason to stop: it is told."""
    cut = mixed.path.with_name("cut.tar.zst")
    cut.write_bytes(mixed.path.read_bytes()[:-100])
    with caplog.at_level(logging.WARNING):
        (bundle,) = open_bundles([mixed.path.parent])
    bundle.close()

    assert bundle.name == str(mixed.path)
    assert "cut.tar.zst" in caplog.text


def test_a_place_without_bundles_is_refused(mixed: Assembled, tmp_path: Path) -> None:
    """What was named has to be there: a folder with none, a file that is none, nothing at all."""
    empty, other = tmp_path / "empty", tmp_path / "other.tar.zst"
    empty.mkdir()
    other.write_bytes(b"something else")
    for place in (empty, other, tmp_path / "nothing.tar.zst"):
        with pytest.raises(BundleError):
            open_bundles([mixed.path, place])
