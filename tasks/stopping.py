"""Stopping: a run that is cancelled, or whose worker is told to end, ends within seconds and can be continued.

Prefect raises in the flow, but waits for the tasks that are at work, and kills them after half a minute.
"""

import os
import signal
import threading
import time

from edgelift.stopping import stop_transfers, watch_signals

GRACE = 5.0  # seconds to end in good order; a worker looks every three whether the process has gone


def stop_in_time() -> None:
    """From now on a SIGTERM stops the transfers of this process, and after `GRACE` all else that goes on in it.

    It is what a worker sends. Only the main thread can see to it, where a flow runs; elsewhere nothing changes.
    """
    if threading.current_thread() is threading.main_thread():
        watch_signals(_watch)


def _watch(reader: int) -> None:
    while os.read(reader, 1)[0] != signal.SIGTERM:
        pass
    stop_transfers()
    time.sleep(GRACE)
    # Still here: a slow disk, or S3 gives no answer. Nothing half has a name in the store or at a registry.
    os._exit(128 + signal.SIGTERM)
