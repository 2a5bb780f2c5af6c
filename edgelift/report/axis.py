"""Round numbers for axes, and where they go. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

_TIMES = (  # seconds between two ticks
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 14400, 21600, 43200, 86400),
)
_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_NAMES = ("B", "KiB", "MiB", "GiB", "TiB")
_UNIT, _UNITS = 1024, len(_NAMES)
_DAY = 86400


class Scale(NamedTuple):
    """From a value between 0 and `longest` to its place between `left` and `right`, in pixels; others to the ends."""

    longest: float
    left: float
    right: float

    def at(self, value: float) -> float:
        """The place of `value`."""
        share = min(max(value / self.longest, 0.0), 1.0) if self.longest > 0 else 0.0
        return self.left + share * (self.right - self.left)


def time_ticks(longest: float, most: int = 8) -> list[float]:
    """Round numbers of seconds from 0 up to `longest`, at most so many besides the first."""
    step = next((each for each in _TIMES if longest / each <= most), 0.0) or _DAY * -(-longest // (_DAY * most))
    return [number * step for number in range(int(longest / step) + 1)]


def size_ticks(largest: float, most: int = 4) -> list[float]:
    """Round numbers of bytes from 0 up; the last is the first that `largest` does not exceed."""
    steps: Sequence[float] = [each * _UNIT**power for power in range(_UNITS) for each in _STEPS]
    step = next((each for each in steps if largest / each <= most), largest / most)
    ticks = [0.0]
    while ticks[-1] < largest or len(ticks) == 1:
        ticks.append(ticks[-1] + step)
    return ticks


def size_label(size: float) -> str:
    """A tick: `0`, `512 B`, `50 MiB`."""
    power = next((each for each in range(_UNITS) if size < _UNIT ** (each + 1)), _UNITS - 1)
    return f"{size / _UNIT**power:g} {_NAMES[power]}" if size else "0"


def time_label(seconds: float) -> str:
    """A tick: `0`, `0.5 s`, `90 s` as `1:30`, hours as `2:00:00`."""
    if seconds < 60:  # noqa: PLR2004 - seconds of a minute
        return f"{seconds:g} s" if seconds else "0"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
