"""The processes that another one has started, for tests that wait for their end or bring it about."""

import os
import signal
from pathlib import Path


def descendants(process: int) -> list[int]:
    """The ids of all processes that `process` has started, and of what these have started, in that order."""
    found = [process]
    for each in found:
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            found.extend(map(int, children.read_text().split()))
    return found[1:]


def is_gone(process: int) -> bool:
    """Whether a process has ended, also where nobody has asked how."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


def kill_all(process: int) -> None:
    """Kill a process and all that it has started, at once and beyond recall."""
    for each in (process, *descendants(process)):
        os.kill(each, signal.SIGKILL)
