"""Where mapped tasks run, as the environment says; on a real cluster: tests/interop/test_dask.py."""

import sys

import pytest
from prefect.task_runners import ThreadPoolTaskRunner

from edgelift.errors import ConfigurationError
from tasks.runner import ADDRESS, choose_task_runner


def test_tasks_run_in_four_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody says otherwise: more would each hold bytes, and one registry serves no more at once."""
    monkeypatch.delenv(ADDRESS, raising=False)
    runner = choose_task_runner()

    assert isinstance(runner, ThreadPoolTaskRunner)
    assert runner._max_workers == 4


def test_a_cluster_needs_the_integration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the run says what to install, rather than quietly running here."""
    monkeypatch.setenv(ADDRESS, "tcp://127.0.0.1:8786")
    monkeypatch.setitem(sys.modules, "prefect_dask", None)

    with pytest.raises(ConfigurationError, match="prefect-dask is not installed"):
        choose_task_runner()
