"""Ages and sizes as people write them."""

import pytest

from edgelift.cli.quantities import parse_age, parse_size
from edgelift.errors import ConfigurationError

AGES = {"0d": 0, "45s": 45, "90m": 5_400, "12h": 43_200, "30d": 2_592_000, "2w": 1_209_600, "1.5 D": 129_600}
SIZES = {
    "0": 0,
    "1000": 1_000,
    "10B": 10,
    "50GB": 50_000_000_000,
    "1kb": 1_000,
    "2TB": 2_000_000_000_000,
    "1KiB": 1_024,
    "1.5GiB": 1_610_612_736,
    "3 MiB": 3_145_728,
    "1G": 1_073_741_824,
}
NEITHER = ["", "9" * 400, "d", "GB", "-1d", "1e3B", "30 days", "1,5GB", "٣d", "nan", "1d2h", "1.GB"]


@pytest.mark.parametrize(("text", "seconds"), AGES.items(), ids=AGES)
def test_ages(text: str, seconds: float) -> None:
    """A number and a unit, in either case."""
    assert seconds == parse_age(text, "--grace")


@pytest.mark.parametrize(("text", "size"), SIZES.items(), ids=SIZES)
def test_sizes(text: str, size: int) -> None:
    """Decimal and binary units are not mixed up."""
    assert size == parse_size(text, "--max-size")


@pytest.mark.parametrize("text", NEITHER)
def test_what_is_neither(text: str) -> None:
    """The error names the option and shows how it is written."""
    for parse in (parse_age, parse_size):
        with pytest.raises(ConfigurationError, match="--option") as caught:
            parse(text, "--option")
        assert ": " in str(caught.value.hint)


@pytest.mark.parametrize("text", ["30", "30GB"])
def test_an_age_needs_its_unit(text: str) -> None:
    """A bare number may mean days to one and seconds to another."""
    with pytest.raises(ConfigurationError):
        parse_age(text, "--grace")
