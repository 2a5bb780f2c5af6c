"""Ages and sizes as people write them on the command line."""

import re

from edgelift.errors import ConfigurationError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BYTES = {"": 1} | {
    f"{prefix}{unit}".lower(): step**power
    for power, prefix in enumerate("KMGT", 1)
    for unit, step in (("", 1024), ("iB", 1024), ("B", 1000))
}
_BYTES["b"] = 1


def parse_age(text: str, option: str) -> float:
    """Seconds: `30d`, `12h`, `90m`, `45s`, `2w`; raises `ConfigurationError` that names `option`."""
    return _parse(text, _SECONDS, option, "an age is a number and s, m, h, d or w: 30d")


def parse_size(text: str, option: str) -> int:
    """Bytes: `50GB` (10⁹ each), `50GiB` or `50G` (2³⁰ each), `10`; raises `ConfigurationError` that names `option`."""
    return int(_parse(text, _BYTES, option, "a size is a number and B, KB, MB, GB, TB, KiB, MiB, GiB or TiB: 50GB"))


def _parse(text: str, units: dict[str, int], option: str, hint: str) -> float:
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)\s*([A-Za-z]*)", text.strip(), re.ASCII)
    if found is None or found[2].lower() not in units:
        raise ConfigurationError(f"{option}: {text!r} cannot be read", hint=hint)
    return float(found[1]) * units[found[2].lower()]
