"""What is remembered of the pulls that remain: for the next run, and never longer than it can be true."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edgelift.oci.budget import Budget
from edgelift.store.budgets import KnownBudgets
from edgelift.store.check import check_store
from edgelift.store.local import LocalStore

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SOME = Budget(37, 100, 21_600, "203.0.113.7")
NONE = Budget(0, 100, 21_600)


def test_what_a_run_has_learned_is_told_to_the_next(tmp_path: Path) -> None:
    """With the moment it was true; with no pull left, also when there are more."""
    KnownBudgets(tmp_path / "budgets").keep({"docker.io": NONE, "mirror.example": SOME}, NOON)

    known = KnownBudgets(tmp_path / "budgets").recall(NOON + timedelta(hours=1))

    assert [str(each) for each in known] == [
        "docker.io: 0 of 100 pulls remained at 2026-03-01 12:00 UTC; 18:00 UTC at the latest there are more",
        "mirror.example: 37 of 100 pulls remained at 2026-03-01 12:00 UTC, counted for 203.0.113.7",
    ]


def test_the_last_word_counts(tmp_path: Path) -> None:
    """There is one file a registry, whoever wrote it."""
    budgets = KnownBudgets(tmp_path)
    budgets.keep({"docker.io": SOME}, NOON)
    budgets.keep({"docker.io": NONE}, NOON + timedelta(minutes=1))

    assert [each.budget for each in budgets.recall(NOON + timedelta(minutes=2))] == [NONE]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("later", [timedelta(hours=6), timedelta(minutes=-1)], ids=["its window is over", "the future"])
def test_what_cannot_be_true_any_more_is_forgotten(tmp_path: Path, later: timedelta) -> None:
    """After its window nothing that was counted is counted still; a clock that was wrong says nothing, either."""
    budgets = KnownBudgets(tmp_path)
    budgets.keep({"docker.io": NONE}, NOON)

    assert budgets.recall(NOON + later) == []


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff", b"[]"], ids=["empty", "no fields", "no text", "a list"])
def test_a_damaged_memory_is_none(tmp_path: Path, damage: bytes) -> None:
    """Nothing depends on it."""
    (tmp_path / "a.json").write_bytes(damage)

    assert KnownBudgets(tmp_path).recall(NOON) == []


def test_a_place_that_takes_no_file_fails_nothing(tmp_path: Path) -> None:
    """A hint that cannot be kept is no reason for a plan to fail."""
    (tmp_path / "budgets").write_bytes(b"a file stands there")

    KnownBudgets(tmp_path / "budgets").keep({"docker.io": NONE}, NOON)

    assert KnownBudgets(tmp_path / "budgets").recall(NOON) == []


def test_the_store_knows_its_own_memory(tmp_path: Path) -> None:
    """`fsck` does not take it for something that somebody has left there."""
    store = LocalStore(tmp_path)
    KnownBudgets(store.root / "budgets").keep({"docker.io": SOME}, NOON)

    assert check_store(store).strays == ()
