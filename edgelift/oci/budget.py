"""How many pulls a registry still allows, where it says so: Docker Hub counts every manifest that is read.

Its answers hold `ratelimit-limit: 100;w=21600`, `ratelimit-remaining: 37;w=21600` (a window in seconds) and
`docker-ratelimit-source`, which is the address or account that is counted (docs.docker.com, "Docker Hub pull usage and
limits"). HEAD is not counted, but answered with the same headers.
"""

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from edgelift.errors import RateLimitError
from edgelift.oci.pacing import Clock

_FRESH = 60.0  # seconds; older news of an empty budget keep nobody from asking
_FIELD = re.compile(r"\s*([0-9]{1,9})\s*(?:;\s*w\s*=\s*([0-9]{1,9})\s*)?")
_SHOWN = 64  # characters of what the registry says of who is counted


@dataclass(frozen=True)
class Budget:
    """What a registry has said last: pulls that `remain`, of `limit` in a `window` (seconds), counted for `counted`."""

    remaining: int
    limit: int | None = None
    window: int | None = None
    counted: str = ""

    def __str__(self) -> str:
        of = f" of {self.limit}" if self.limit is not None else ""
        when = f" for the next {_duration(self.window)}" if self.window else ""
        return f"{self.remaining}{of} pulls remain{when}{f', counted for {self.counted}' if self.counted else ''}"


def parse_budget(headers: Mapping[str, str]) -> Budget | None:
    """The budget that `headers` (with names in lower case) tell of; None where they do not, or not legibly."""
    remaining = _FIELD.fullmatch(headers.get("ratelimit-remaining", ""))
    if remaining is None:
        return None
    limit = _FIELD.fullmatch(headers.get("ratelimit-limit", ""))
    window = (limit and limit[2]) or remaining[2]
    counted = "".join(each for each in headers.get("docker-ratelimit-source", "") if each.isprintable())
    return Budget(
        int(remaining[1]), int(limit[1]) if limit else None, int(window) if window else None, counted[:_SHOWN]
    )


class Allowance:
    """The budget at one registry, kept from its answers, and not overdrawn; safe to share between threads."""

    def __init__(self, host: str, clock: Clock) -> None:
        self._host = host
        self._clock = clock
        self._newest: Budget | None = None
        self._noted_at = 0.0
        self._on_their_way = 0
        self._overlap = False  # whether several have been on their way at once since none was
        self._changed = threading.Condition()

    @property
    def newest(self) -> Budget | None:
        """What the registry said last; None where it has said nothing."""
        return self._newest

    @property
    def is_spent(self) -> bool:
        """Whether the registry has just said that no pull remains."""
        return self._left() <= 0

    def note(self, headers: Mapping[str, str]) -> None:
        """Keep what an answer of the registry says; of answers that may have overtaken each other, the smallest."""
        budget = parse_budget(headers)
        if budget is not None:
            with self._changed:
                if not self._overlap or budget.remaining <= self._left():
                    self._newest, self._noted_at = budget, self._clock.now()

    @contextmanager
    def spend(self) -> Iterator[None]:
        """Around a request that counts as a pull; raises `RateLimitError` in place of one that would be too many."""
        with self._changed:
            self._changed.wait_for(lambda: self._on_their_way < self._left() or not self._on_their_way)
            if self.is_spent:
                raise self.refusal()
            self._overlap = self._on_their_way > 0
            self._on_their_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._on_their_way -= 1
                self._changed.notify_all()

    def refusal(self) -> RateLimitError:
        """The error where no pull remains."""
        budget = self._newest or Budget(0)
        by = ""
        if budget.window:
            moment = datetime.now(UTC) + timedelta(seconds=budget.window)
            by = f", from {moment:%Y-%m-%d %H:%M} UTC at the latest"
        return RateLimitError(
            f"{self._host}: {budget}",
            hint=f"what is done is kept: run the same again when some remain{by}; "
            "log in, or use an account with a higher limit, to have more",
        )

    def _left(self) -> float:
        if self._newest is None or self._clock.now() - self._noted_at > _FRESH:
            return float("inf")
        return self._newest.remaining


def _duration(seconds: int) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
