"""Assembling beside tar and zstd: what it is measured on, and how it is judged."""

from pathlib import Path

import pytest

from bench.assembly import CPU, ITSELF, OURS, WALL, WAYS, Ratio, make_layout, measure, to_markdown
from bench.image_set import MIB
from bench.measure import Usage
from edgelift.bundle.verify import verify_bundle
from edgelift.bundle.writer import assemble_bundle
from edgelift.store.local import LocalStore
from tests.bundle.crafting import container_of
from tests.real_parts import require_tool

SIZE = MIB // 2


def test_layers_go_in_as_raw_frames(tmp_path: Path) -> None:
    """The layout has the size that was asked for, nearly all of it in layers that are compressed already."""
    lock = make_layout(tmp_path / "layout", SIZE)
    assemble_bundle(lock, LocalStore(tmp_path / "layout"), tmp_path / "bundle.tar.zst")
    raw = [blob for blob in container_of(lock).blobs if blob.is_raw]

    assert abs(sum(blob.size for blob in raw) - SIZE) < 0.05 * SIZE
    assert len(raw) == len(lock.unique_blobs()) - len(lock.images)
    assert verify_bundle(tmp_path / "bundle.tar.zst").content_size == lock.unique_size


def test_the_same_size_gives_the_same_layout(tmp_path: Path) -> None:
    """So that figures of different days are of the same work."""
    assert make_layout(tmp_path / "one", SIZE) == make_layout(tmp_path / "other", SIZE)


@pytest.mark.parametrize(("wall", "cpu", "is_kept"), [(WALL, CPU, True), (1.01, 0.1, False), (0.1, 0.51, False)])
def test_a_promise_is_kept_by_the_middle_of_the_rounds(wall: float, cpu: float, is_kept: bool) -> None:
    """Both have to hold, and what ran in the same round is compared."""
    ours = [Usage(4 * wall, 8 * cpu, 0), Usage(9 * wall, 9 * cpu, 0), Usage(90.0, 90.0, 0)]
    theirs = [Usage(4.0, 8.0, 0), Usage(9.0, 9.0, 0), Usage(1.0, 1.0, 0)]

    ratio = Ratio.of([*ours, Usage(0.01, 0.01, 0)], [*theirs, Usage(1.0, 1.0, 0)], "peer")

    assert ratio.is_kept is is_kept


def test_all_ways_are_measured_in_every_round(tmp_path: Path) -> None:
    """The peers are the programs, ours is checked after each run, and the table tells of all of them."""
    for tool in ("tar", "zstd"):
        require_tool(tool)
    lock = make_layout(tmp_path / "layout", SIZE)
    (tmp_path / "lock.json").write_bytes(lock.to_json())

    usages = measure(tmp_path, 1)

    assert {ITSELF, OURS, *WAYS} == set(usages)
    assert all(len(taken) == 1 and taken[0].wall > 0 for taken in usages.values())
    assert all(f"| {name} |" in to_markdown(usages, lock.unique_size, 0.0) for name in usages)
