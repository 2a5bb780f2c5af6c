"""Cron expressions: which can be, and when they start what."""

from datetime import UTC, datetime
from itertools import islice

import pytest

from edgelift.cron import check_cron, check_timezone, start_times

FRIDAY = datetime(2026, 3, 27, 12, 0, tzinfo=UTC)  # two days before clocks go forward in Europe
STARTS = {
    "daily": ("15 2 * * *", "UTC", ["2026-03-28T02:15:00+00:00", "2026-03-29T02:15:00+00:00"]),
    "by the clock on the wall": (
        "0 22 * * *",
        "Europe/Berlin",
        ["2026-03-27T22:00:00+01:00", "2026-03-28T22:00:00+01:00", "2026-03-29T22:00:00+02:00"],
    ),
    "at a time that the clock skips": (
        "30 2 * * *",
        "Europe/Berlin",
        ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"],
    ),
    "by a nickname": ("@weekly", "UTC", ["2026-03-29T00:00:00+00:00", "2026-04-05T00:00:00+00:00"]),
    "by names": ("0 4 * apr SAT", "UTC", ["2026-04-04T04:00:00+00:00"]),
    "on either day": (
        "0 0 1 * 0",
        "UTC",
        ["2026-03-29T00:00:00+00:00", "2026-04-01T00:00:00+00:00", "2026-04-05T00:00:00+00:00"],
    ),
    "on a day that is both, once": ("0 0 29 3 0", "UTC", ["2026-03-29T00:00:00+00:00", "2027-03-07T00:00:00+00:00"]),
    "on the last day of a month": ("0 0 L * *", "UTC", ["2026-03-31T00:00:00+00:00", "2026-04-30T00:00:00+00:00"]),
    "on the second Tuesday": ("0 0 * * 2#2", "UTC", ["2026-04-14T00:00:00+00:00"]),
}


@pytest.mark.parametrize(("text", "timezone", "expected"), STARTS.values(), ids=STARTS)
def test_when_it_starts(text: str, timezone: str, expected: list[str]) -> None:
    """In order and in the schedule's own time zone, as Prefect will start its runs."""
    found = islice(start_times(text, timezone, FRIDAY), len(expected))

    assert expected == [each.isoformat() for each in found]


WRONG = {
    "no fields": ("", "it has 0 fields: write five"),
    "too few": ("15 2 * *", "it has 4 fields"),
    "with seconds": ("0 15 2 * * *", "it has 6 fields"),
    "no such minute": ("60 2 * * *", "its minute cannot be read"),
    "no such hour": ("0 24 * * *", "its hour cannot be read"),
    "no such day": ("0 0 32 * *", "its day of month cannot be read"),
    "no such month": ("0 0 1 13 *", "its month cannot be read"),
    "no such weekday": ("0 0 * * MOO", "its day of week cannot be read"),
    "a range that goes down": ("0 22-4 * * *", r"a range goes up \(22-23,0-4\)"),
    "no steps": ("*/0 * * * *", "its minute cannot be read"),
    "a day that never comes": ("0 0 31 2 *", "its day of month cannot be read"),
    "what readers differ in": ("0 0 * * 5L", "the last weekday of a month"),
    "what only some readers know": ("0 0 LW * *", "the last weekday of a month"),
    "text": ("every night at two o'clock", "it has 5 fields|cannot be read"),
}


@pytest.mark.parametrize(("text", "reason"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_without_its_text(text: str, reason: str) -> None:
    """The part that cannot be is named."""
    with pytest.raises(ValueError, match=reason):
        check_cron(text)


@pytest.mark.parametrize("name", ["", "Berlin", "Europe", "Europe/Berlim", "../UTC", "/etc/localtime", "CET\0"])
def test_a_time_zone_has_an_iana_name(name: str) -> None:
    """Regions, paths and misspelt names are none."""
    with pytest.raises(ValueError, match="there is no such time zone; take an IANA name"):
        check_timezone(name)


def test_what_is_right_stays_as_it_is() -> None:
    """Checks give back what they were given."""
    assert (check_cron("15 2 * * *"), check_timezone("Europe/Berlin")) == ("15 2 * * *", "Europe/Berlin")
