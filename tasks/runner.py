"""Where the mapped tasks of a run are carried out: in threads of its own process, or on a Dask cluster."""

import os
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from edgelift.errors import ConfigurationError

ADDRESS = "EDGELIFT_DASK_ADDRESS"  # of the cluster's scheduler: tcp://HOST:8786
MAX_WORKERS = 4  # threads; a cluster has as many as its workers have


def choose_task_runner() -> TaskRunner[Any]:
    """The cluster at the address in EDGELIFT_DASK_ADDRESS, which is read when a flow is loaded; else threads.

    Raises `ConfigurationError` where Prefect's integration with Dask is not installed.
    """
    address = os.environ.get(ADDRESS)
    if not address:
        return ThreadPoolTaskRunner(max_workers=MAX_WORKERS)
    try:
        from prefect_dask import DaskTaskRunner  # noqa: PLC0415 - an extra, which few installations have
    except ImportError:
        raise ConfigurationError(
            f"{ADDRESS} is set, and prefect-dask is not installed",
            hint="install edgelift[dask] wherever flows and Dask's workers run, or leave that variable out",
        ) from None
    runner: TaskRunner[Any] = DaskTaskRunner(address=address)
    return runner
