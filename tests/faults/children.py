"""Processes that do the jobs of `jobs.py`: started within other programs, or forked from one that has all loaded.

outcome = run_alone(job, within=["faketime", "-2d"])              # outcome.code, outcome.said
child = children.start(job); child.kill(); child.wait().code      # -9
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.faults.jobs import Job

PROJECT = Path(__file__).parents[2]
PATIENCE = 120  # seconds; only for what hangs
_COMMAND = [sys.executable, "-m", "tests.faults.jobs"]


@dataclass(frozen=True)
class Outcome:
    """How a job ended: the exit code, or minus the signal; what it said; its peak memory in bytes, where known."""

    code: int
    said: str
    memory: int = 0


def run_alone(
    job: Job, *, within: Sequence[str] = (), environment: Mapping[str, str] | None = None, patience: float = PATIENCE
) -> Outcome:
    """Do a job in a fresh process, started by the command `within`."""
    done = subprocess.run(
        [*within, *_COMMAND, json.dumps(asdict(job))],
        cwd=PROJECT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )
    return Outcome(done.returncode, done.stdout + done.stderr)


class Child:
    """One forked process at work."""

    def __init__(self, parent: subprocess.Popen[str], log: Path) -> None:
        self._parent = parent
        self._log = log
        self._outcome: Outcome | None = None
        self.number = int(_line(parent))

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal."""
        os.kill(self.number, number)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet; one that has ended waits for nobody."""
        try:
            state = Path(f"/proc/{self.number}/stat").read_text().rpartition(") ")[2][:1]
        except FileNotFoundError:
            return False
        return state not in ("Z", "X")

    def wait(self) -> Outcome:
        """How it ended."""
        if self._outcome is None:
            status, kibibytes = _line(self._parent).split()
            said = self._log.read_text() if self._log.exists() else ""  # killed before it had a log
            self._outcome = Outcome(os.waitstatus_to_exitcode(int(status)), said, int(kibibytes) * 1024)
        return self._outcome


class Children:
    """A process that has everything loaded and forks a child for each job, one at a time."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="edgelift-children-")
        self._count = 0
        self._parent = subprocess.Popen(
            [*_COMMAND, "serve"], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert _line(self._parent) == "ready"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parent.kill()
        self._parent.communicate()
        self._folder.cleanup()

    def start(self, job: Job) -> Child:
        """Let a child begin with `job`; wait for it before the next one."""
        assert self._parent.stdin is not None
        self._count += 1
        log = Path(self._folder.name) / str(self._count)
        self._parent.stdin.write(json.dumps({**asdict(job), "log": str(log)}) + "\n")
        self._parent.stdin.flush()
        return Child(self._parent, log)

    def run(self, job: Job) -> Outcome:
        """Do `job` to its end."""
        return self.start(job).wait()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
