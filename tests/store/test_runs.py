"""The locks that retries replay."""

import time
from pathlib import Path

import pytest

from edgelift.demo.content import make_image
from edgelift.errors import ConfigurationError
from edgelift.store.runs import RunLocks
from tests.store.content import lock_of, make_older

LOCK = lock_of(make_image("team/app"))


def test_a_lock_is_recalled(tmp_path: Path) -> None:
    """A run gets the lock that it kept, and no other run does."""
    runs = RunLocks(tmp_path)
    runs.keep("run", LOCK)

    assert (RunLocks(tmp_path).recall("run"), runs.recall("other")) == (LOCK, None)


def test_nothing_is_kept_yet(tmp_path: Path) -> None:
    """A store of no run has no locks."""
    assert (RunLocks(tmp_path).kept(), RunLocks(tmp_path).recall("run")) == ([], None)


def test_the_last_attempt_counts(tmp_path: Path) -> None:
    """Locks come in the order of their last use."""
    runs = RunLocks(tmp_path)
    for number, run in enumerate(("one", "two", "three")):
        runs.keep(run, LOCK)
        make_older(tmp_path / "runs" / run / "lock.json", 3 - number)
    runs.recall("one")

    assert [each.folder.name for each in runs.kept()] == ["two", "three", "one"]
    assert time.time() - runs.kept()[-1].used < 60


def test_a_damaged_lock(tmp_path: Path) -> None:
    """A retry must not plan anew unasked: the error names the file."""
    runs = RunLocks(tmp_path)
    runs.keep("run", LOCK)
    (tmp_path / "runs" / "run" / "lock.json").write_bytes(b"{}")

    with pytest.raises(ConfigurationError, match=r"runs/run/lock\.json is not a bundle lock"):
        runs.recall("run")
    assert [each.read() for each in runs.kept()] == [None]
