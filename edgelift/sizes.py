"""Sizes for people."""

_STEP = 1024


def format_size(count: int) -> str:
    """`count` bytes in binary units: `3.2 MiB`."""
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= _STEP and len(units) > 1:
        value, units = value / _STEP, units[1:]
    return f"{value:.0f} B" if units[0] == "B" else f"{value:.1f} {units[0]}"
