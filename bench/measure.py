"""One measured run: wall time, processor time and memory of a shell script with all its processes."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

LIMIT = 900.0  # seconds; what takes longer is ended and counts as failed
_PAUSE = 0.05  # seconds between two looks at memory and disk
_GROUP, _PAGES = 2, 21  # fields of /proc/PID/stat after the name (proc_pid_stat(5): pgrp and rss)


class RunError(Exception):
    """The script failed; the message is the end of what it said."""


@dataclass(frozen=True)
class Usage:
    """What a run took: seconds of wall and processor time; `memory` is the largest process's peak, in bytes."""

    wall: float
    cpu: float
    memory: int


@dataclass(frozen=True)
class Peaks:
    """The most seen at any one moment, in bytes: memory of all processes together, and growth of the folder."""

    memory: int
    disk: int


class Watch:
    """Looks, at intervals, at the files in one folder and at the memory of one process group."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._group = 0
        self._before = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_again_and_again)
        self.peaks = Peaks(0, 0)

    def begin(self, group: int) -> None:
        """Look at the process group `group` from now on."""
        self._group = group
        self._before = size_of(self._folder)
        self._thread.start()

    def end(self) -> None:
        """Look once more, for the last time."""
        self._stop.set()
        self._thread.join()
        self._look()

    def _look_again_and_again(self) -> None:
        while not self._stop.wait(_PAUSE):
            self._look()

    def _look(self) -> None:
        memory, disk = _memory_of(self._group), size_of(self._folder) - self._before
        self.peaks = Peaks(max(self.peaks.memory, memory), max(self.peaks.disk, disk))


def run(script: str, environment: Mapping[str, str], log: Path, watch: Watch | None = None) -> Usage:
    """Run `script` with bash in a process group of its own; raises `RunError` where any command in it fails."""
    with log.open("wb") as output:
        started = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 - the scripts are our own
            ["bash", "-euo", "pipefail", "-c", script],  # noqa: S607 - found on the PATH on purpose
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    timer = threading.Timer(LIMIT, os.killpg, (process.pid, signal.SIGKILL))
    timer.start()
    if watch is not None:
        watch.begin(process.pid)
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        timer.cancel()
        if watch is not None:
            watch.end()
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RunError(f"exit code {process.returncode}: {log.read_text(errors='replace')[-800:].strip()}")
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def size_of(folder: Path) -> int:
    """Bytes of all files below `folder`, by their apparent size."""
    return sum(_file_sizes(folder))


def _file_sizes(folder: Path) -> Iterator[int]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:  # what we look at is being changed
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _file_sizes(Path(entry.path))
            else:
                with contextlib.suppress(FileNotFoundError):
                    yield entry.stat(follow_symlinks=False).st_size


def _memory_of(group: int) -> int:
    """Resident bytes of all processes in a process group."""
    pages = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                pages += int(fields[_PAGES]) if int(fields[_GROUP]) == group else 0
    return pages * os.sysconf("SC_PAGE_SIZE")
