"""How often a person is told how far long work is, and how long it will still take."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import NamedTuple

from edgelift.sizes import format_size

INTERVAL = 5.0  # seconds between two lines
STEP = 5.0  # per cent between two updates that cost something
LONGEST = 60.0  # seconds after which one is due all the same, where anything is new
WINDOW = 30.0  # seconds whose rate says how long the rest will take
_LAST_WORD = 1.0  # seconds that the end of the work waits for the last update to be taken
_MINUTE = 60


class Pace:
    """Says when the next line is due; shared by the threads of one piece of work."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._lock = threading.Lock()
        self._told = time.monotonic()
        self._done = 0

    @property
    def done(self) -> int:
        """All that is done."""
        return self._done

    def add(self, count: int) -> int | None:
        """Count what was done; gives all that is done where a line is due, else None."""
        with self._lock:
            self._done += count
            if time.monotonic() - self._told < self._interval:
                return None
            self._told = time.monotonic()
            return self._done


class Standing(NamedTuple):
    """How far work is: bytes done of `total`, and the `rate` (bytes a second) of late."""

    done: int
    total: int
    rate: float = 0.0

    @property
    def share(self) -> float:
        """Per cent of it; all of nothing is done."""
        return 100.0 * self.done / self.total if self.total else 100.0

    @property
    def remaining(self) -> float | None:
        """Seconds that the rest takes at this rate; None where nothing moves."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None

    def __str__(self) -> str:
        told = f"{format_size(self.done)} of {format_size(self.total)}"
        rest = self.remaining
        if self.done >= self.total:
            return told
        if rest is None:
            return f"{told}, nothing moves at the moment"
        return f"{told}, {format_size(round(self.rate))}/s, about {_roughly(rest)} left"


class Outlook:
    """From what was done at which moments to a rate, and from there to the time that the rest takes. No clock."""

    def __init__(self, total: int, window: float = WINDOW) -> None:
        self._total = total
        self._window = window
        self._seen = deque[tuple[float, int]]()

    def see(self, moment: float, done: int) -> Standing:
        """How it stands at `moment` (seconds), where so many bytes are `done`; what goes beyond the total is not."""
        done = min(done, self._total)
        self._seen.append((moment, done))
        while len(self._seen) > 2 and moment - self._seen[1][0] >= self._window:  # noqa: PLR2004 - two give a rate
            self._seen.popleft()
        begun, before = self._seen[0]
        rate = (done - before) / (moment - begun) if moment > begun else 0.0
        return Standing(done, self._total, max(rate, 0.0))


class Thrift:
    """When an update that costs something is due: the first after `interval` seconds.

    Each further one is when so many have gone by again, and `step` per cent as well; after `longest` seconds it is
    enough that anything has changed. No clock.
    """

    def __init__(
        self, begun: float, *, interval: float = INTERVAL, step: float = STEP, longest: float = LONGEST
    ) -> None:
        self._told_at, self._told = begun, float("-inf")  # nothing was told yet: whatever is done is new
        self._interval, self._step, self._longest = interval, step, longest

    def is_due(self, moment: float, share: float) -> bool:
        """Whether one is due now, with this `share` (per cent) done; the next is then counted from here."""
        waited, further = moment - self._told_at, abs(share - self._told)
        if waited < self._interval or (further < self._step and (waited < self._longest or not further)):
            return False
        self._told_at, self._told = moment, share
        return True


@contextmanager
def watching(
    total: int,
    done: Callable[[], int],
    tell: Callable[[Standing], None],
    *,
    interval: float = INTERVAL,
    look: float = 1.0,
) -> Iterator[None]:
    """While the block runs, a thread looks at `done` every `look` seconds, and calls `tell` as seldom as `Thrift` says.

    Work that ends before anything was told is never told of; else `tell` has the last word. What `tell` raises ends the
    telling, and nothing else; the block waits for no answer, but for a moment at its end.
    """
    ended = threading.Event()
    watch = _Watch(total, done, tell, ended, interval=interval, look=look)
    thread = threading.Thread(target=copy_context().run, args=(watch.run,), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        if watch.has_told:
            thread.join(_LAST_WORD)


class _Watch:
    def __init__(
        self,
        total: int,
        done: Callable[[], int],
        tell: Callable[[Standing], None],
        ended: threading.Event,
        *,
        interval: float,
        look: float,
    ) -> None:
        self.has_told = False
        self._done, self._tell, self._ended, self._look = done, tell, ended, look
        begun = time.monotonic()
        self._outlook, self._thrift = Outlook(total), Thrift(begun, interval=interval)
        self._outlook.see(begun, 0)

    def run(self) -> None:
        """Look until it has ended."""
        while not self._ended.wait(self._look):
            standing = self._outlook.see(time.monotonic(), self._done())
            if self._thrift.is_due(time.monotonic(), standing.share) and not self._told(standing):
                return
        if self.has_told:
            self._told(self._outlook.see(time.monotonic(), self._done()))

    def _told(self, standing: Standing) -> bool:
        self.has_told = True
        try:
            self._tell(standing)
        except Exception:  # noqa: BLE001 - whoever shows progress may be away; the work goes on
            return False
        return True


def _roughly(seconds: float) -> str:
    """A time to come, which nobody knows to the second."""
    if seconds < _MINUTE:
        return f"{max(5, round(seconds / 5) * 5)} s"
    minutes = round(seconds / _MINUTE)
    return f"{minutes} min" if minutes < _MINUTE else f"{minutes // _MINUTE} h {minutes % _MINUTE:02} min"
