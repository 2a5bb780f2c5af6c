"""Sizes and numbers for people."""

_STEP = 1024


def format_size(size: int) -> str:
    """`size` bytes in binary units: `3.2 MiB`."""
    value, units = float(size), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= _STEP and len(units) > 1:
        value, units = value / _STEP, units[1:]
    return f"{value:.0f} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def count(number: int, noun: str, many: str = "") -> str:
    """`1 image`, `1,200 images`; `many` is the plural of `noun` where that is more than an s."""
    return f"{number:,} {noun if number == 1 else many or f'{noun}s'}"
