"""How often a person is told how far long work is."""

import threading
import time

INTERVAL = 5.0  # seconds between two lines


class Pace:
    """Says when the next line is due; shared by the threads of one piece of work."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._lock = threading.Lock()
        self._told = time.monotonic()
        self._done = 0

    def add(self, count: int) -> int | None:
        """Count what was done; gives all that is done where a line is due, else None."""
        with self._lock:
            self._done += count
            if time.monotonic() - self._told < self._interval:
                return None
            self._told = time.monotonic()
            return self._done
