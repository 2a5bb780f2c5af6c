"""Numbers and moments for people. Pure."""

from datetime import UTC, datetime

from edgelift.sizes import count

__all__ = ["count", "format_duration", "format_moment"]

_MINUTE, _HOUR = 60, 3600


def format_duration(seconds: float) -> str:
    """`seconds` as people say it: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = round(seconds)
    if seconds < 9.95:  # noqa: PLR2004 - what would be written as 10.0
        return f"{seconds:.1f} s"
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02} min"


def format_moment(moment: float) -> str:
    """A moment in UTC, to the second."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
