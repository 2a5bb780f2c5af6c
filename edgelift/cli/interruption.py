"""Being interrupted: a command that is told to stop ends within seconds, however long a socket stays silent.

Nothing is lost by that: what is in the store or at a registry has its name only when it is whole.
"""

import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path

from edgelift.cli.console import say_error, tell
from edgelift.stopping import watch_signals

GRACE = 5.0  # seconds to end in good order
_MOMENT = 1.0  # seconds; an end that takes longer is announced
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM  # exit codes, as shells count


def say_interrupted() -> None:
    """What is to be known after an interruption."""
    say_error("interrupted; run the same command again: it continues")


def end_in_time() -> None:
    """From now on SIGINT and SIGTERM end this process after `GRACE`, a second one after a moment.

    The signals are seen on their way to whoever handles them: Prefect has its own handlers, and waits for every task.
    """
    watch_signals(_watch)


def _watch(reader: int) -> None:
    number = 0
    while number not in (signal.SIGINT, signal.SIGTERM):
        number = os.read(reader, 1)[0]
    if not select.select([reader], [], [], _MOMENT)[0]:
        tell("interrupted: stopping …")
        select.select([reader], [], [], GRACE - _MOMENT)
    time.sleep(_MOMENT)  # a second signal may be the echo of the first: uvicorn raises it again once it has ended
    say_interrupted()
    _end_children()
    os._exit(128 + number)


def _end_children() -> None:
    """End what we started: Prefect's embedded server would outlive us."""
    with suppress(OSError):  # gone meanwhile, or a system without /proc
        for children in Path("/proc/self/task").glob("*/children"):
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGTERM)
