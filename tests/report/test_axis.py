"""Axes have few round numbers, whatever they are for."""

from itertools import pairwise

import pytest

from edgelift.report.axis import Scale, size_ticks, time_label, time_ticks
from edgelift.report.wording import format_duration

MIB = 2**20


@pytest.mark.parametrize("longest", [0.1, 0.7, 3, 59, 61, 3599, 7300, 90_000, 5_000_000])
def test_a_time_axis_has_few_round_ticks(longest: float) -> None:
    """From zero up to the longest time, at most eight steps of one size."""
    ticks = time_ticks(longest)
    steps = {round(after - before, 3) for before, after in pairwise(ticks)}

    assert (ticks[0], len(steps) <= 1, len(ticks) <= 9) == (0, True, True)
    assert ticks[-1] <= longest < ticks[-1] + (next(iter(steps)) if steps else 1e9)


SIZES = {
    "bytes": (3, [0, 1, 2, 3]),
    "mebibytes": (150 * MIB, [0, 50 * MIB, 100 * MIB, 150 * MIB]),
    "just above": (401, [0, 200, 400, 600]),
    "nothing": (0, [0, 1]),
}


@pytest.mark.parametrize(("largest", "ticks"), SIZES.values(), ids=SIZES)
def test_a_size_axis_has_few_round_ticks(largest: float, ticks: list[float]) -> None:
    """In round numbers of binary units, the last of which the largest value does not exceed."""
    assert size_ticks(largest) == ticks


def test_a_place_on_an_axis_is_never_beside_it() -> None:
    """What is before the beginning or after the end is at the ends, also where there is no length."""
    scale = Scale(10, 100, 200)

    assert [scale.at(value) for value in (-5, 0, 5, 10, 99)] == [100, 100, 150, 200, 200]
    assert Scale(0, 100, 200).at(3) == 100


DURATIONS = {0.04: "0.0 s", 9.94: "9.9 s", 9.96: "10 s", 59.4: "59 s", 59.6: "1 min 00 s", 3599: "59 min 59 s"}


def test_times_are_told_as_people_do() -> None:
    """Short ones to the tenth, long ones in minutes or hours."""
    assert {seconds: format_duration(seconds) for seconds in DURATIONS} == DURATIONS
    assert format_duration(7800) == "2 h 10 min"
    assert [time_label(seconds) for seconds in (0, 0.5, 30, 90, 7205)] == ["0", "0.5 s", "30 s", "1:30", "2:00:05"]
