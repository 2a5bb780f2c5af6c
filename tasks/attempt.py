"""What belongs to one attempt at a run, in this process: its tasks share it, and no other attempt sees it."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from prefect.runtime import flow_run

T = TypeVar("T")


class PerAttempt(Generic[T]):
    """One of what `make` gives for each attempt that asks; outside of a run a new one for each question.

    Those of the latest `most` attempts are kept, as some end without letting go.
    """

    def __init__(self, make: Callable[[], T], most: int) -> None:
        self._make = make
        self._most = most
        self._made: dict[str, T] = {}
        self._guard = threading.Lock()

    def get(self) -> T:
        """That of the attempt which is running."""
        attempt = _attempt()
        if attempt is None:
            return self._make()
        with self._guard:
            if attempt not in self._made:
                while len(self._made) >= self._most:
                    del self._made[next(iter(self._made))]
                self._made[attempt] = self._make()
            return self._made[attempt]

    def forget(self) -> T | None:
        """Let go of that of the attempt which is running, and give it away; None where there is none."""
        with self._guard:
            return self._made.pop(str(_attempt()), None)


def _attempt() -> str | None:
    return f"{flow_run.id}/{flow_run.run_count}" if flow_run.id is not None else None
