"""A clock for tests of the registry client: nobody really waits, and the test can move time on."""

import threading

from edgelift.oci.pacing import Clock


class Hands:
    """The hands of a clock: sleeping moves them, and is noted."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []
        self._lock = threading.Lock()
        self.clock = Clock(lambda: self.time, self.sleep)

    def sleep(self, seconds: float) -> None:
        """Move the hands on, and take no time for it."""
        with self._lock:
            self.slept.append(seconds)
            self.time += seconds
