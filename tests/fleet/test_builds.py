"""Old bundles of a fleet, which nothing replaces."""

import os
from pathlib import Path

import pytest

from edgelift.fleet.builds import remove_old_builds
from tests.delivery.test_receipt import proof, receipt

NOW = 1_000_000_000.0
DAY = 86_400
USED, UNUSED, SPARED = (f"fleet-{number:012x}" for number in range(3))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Bundles of three builds, two days old; a receipt names one of them."""
    for name in (USED, UNUSED, SPARED):
        for suffix in (".tar.zst", ".tar.zst.sig", ".tar.zst.part-0001", ".tar.zst.parts.json", ".lock.json"):
            path = tmp_path / f"{name}{suffix}"
            path.touch()
            os.utime(path, (NOW - 2 * DAY,) * 2)
    delivered = receipt([proof("ok")]).model_copy(update={"bundle": USED})
    (tmp_path / "harbour.receipt.json").write_bytes(delivered.to_json())
    return tmp_path


def test_what_no_receipt_names_goes(folder: Path) -> None:
    """With its parts and signatures; its lock stays, and so do all others' files."""
    others = ["harbour.tar.zst", "fleet-1.tar.zst", "fleet-0000000000ff.tar.zst.txt"]
    for name in others:
        (folder / name).touch()
        os.utime(folder / name, (0, 0))
    before = {path.name for path in folder.iterdir()}

    removed = remove_old_builds(folder, {SPARED}, NOW)

    suffixes = (".sig", ".parts.json", ".part-0001", "")
    assert list(removed) == [f"{UNUSED}.tar.zst{suffix}" for suffix in suffixes]
    assert {path.name for path in folder.iterdir()} == before - set(removed)


def test_what_is_young_stays(folder: Path) -> None:
    """Another fleet may be about to push it."""
    assert remove_old_builds(folder, set(), NOW - 1.5 * DAY) == ()


def test_nothing_goes_where_a_receipt_cannot_be_read(folder: Path) -> None:
    """Nobody knows what it names."""
    (folder / "plant.receipt.json").write_text("{")

    assert remove_old_builds(folder, set(), NOW) == ()
