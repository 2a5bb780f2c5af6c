"""How fast one registry is asked: back-off after failures, and the pause it orders with `Retry-After`."""

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from edgelift.errors import RateLimitError
from edgelift.stopping import sleep

FIRST_DELAY = 0.5  # seconds; doubled with every further attempt
LONGEST_DELAY = 60.0  # seconds
LONGEST_PAUSE = 300.0  # seconds; a registry that wants longer is left for another run
_ABSURD = 366 * 86400.0  # seconds; as far as a pause is told in words


@dataclass(frozen=True)
class Clock:
    """Time that never runs backwards, in seconds, and sleeping."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = sleep


def choose_delay(attempt: int) -> float:
    """Seconds to wait after the failed `attempt` (from 1): anything up to a bound that doubles ("full jitter")."""
    return random.uniform(0, min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(attempt - 1, 16)))  # noqa: S311 - no secret


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from now that `Retry-After` asks for (RFC 9110 §10.2.3), if it says so legibly.

    A date is read against the server's own `Date`, since the two clocks need not agree.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), _ABSURD)
    moment, now = _parse_date(text), _parse_date(headers.get("date", "")) or datetime.now(UTC)
    return None if moment is None else min(max(0.0, (moment - now).total_seconds()), _ABSURD)


def _parse_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Pause:
    """The time until which a registry wants no request, shared by every thread that talks to it."""

    def __init__(self, host: str, clock: Clock) -> None:
        self._host = host
        self._clock = clock
        self._until = 0.0
        self._lock = threading.Lock()

    def extend(self, seconds: float) -> None:
        """Pause for at least `seconds` from now."""
        with self._lock:
            self._until = max(self._until, self._clock.now() + seconds)

    def wait(self, longest: float = LONGEST_PAUSE) -> None:
        """Sleep until the pause is over; raises `RateLimitError` where that takes more than `longest` seconds."""
        while (rest := self._until - self._clock.now()) > 0:
            if rest > longest:
                moment = datetime.now(UTC) + timedelta(seconds=rest)
                raise RateLimitError(
                    f"{self._host}: rate limited until {moment:%Y-%m-%d %H:%M:%S} UTC",
                    hint="what is done is kept: run the same again then, or log in for a higher limit",
                    retryable=True,
                )
            # All waiting threads wake here: spread them, or the registry refuses them all again.
            self._clock.sleep(rest + random.uniform(0, min(1.0, rest / 4)))  # noqa: S311 - no secret
