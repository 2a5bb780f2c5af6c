"""Windows and schedules of a site."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from edgelift.errors import WindowClosedError
from edgelift.timetable import Schedule, Window, check_schedules

NIGHT = Window(start="22:00", end="04:30", timezone="Europe/Berlin")
DAY = Window(start="09:00", end="17:00")


def moment(text: str) -> datetime:
    """A moment in UTC on a day in winter, when Berlin is an hour ahead; or of another day, when one is named."""
    return datetime.fromisoformat(text if "T" in text else f"2026-01-15T{text}").replace(tzinfo=UTC)


OPEN = {
    "by day": (DAY, "12:00", True),
    "at its start": (DAY, "09:00", True),
    "at its end": (DAY, "17:00", False),
    "before": (DAY, "08:59:59", False),
    "in the evening": (NIGHT, "21:00", True),
    "past midnight": (NIGHT, "03:29:59", True),
    "in the morning": (NIGHT, "03:30", False),
    "before the evening": (NIGHT, "20:59:59", False),
    "an hour earlier in summer": (NIGHT, "2026-07-15T20:00", True),
}


@pytest.mark.parametrize(("window", "at", "is_open"), OPEN.values(), ids=OPEN)
def test_a_window_goes_by_the_clock_on_the_wall(window: Window, at: str, is_open: bool) -> None:
    """Its start is inside, its end is not, and where that is earlier it is the next day's."""
    assert window.is_open(moment(at)) is is_open


OPENINGS = {
    "the same day": (DAY, "08:00", "2026-01-15T09:00:00+00:00"),
    "the next day": (DAY, "18:00", "2026-01-16T09:00:00+00:00"),
    "in its own time zone": (NIGHT, "12:00", "2026-01-15T22:00:00+01:00"),
    "after the clock was changed": (NIGHT, "2026-03-28T23:00", "2026-03-29T22:00:00+02:00"),
}


@pytest.mark.parametrize(("window", "at", "opening"), OPENINGS.values(), ids=OPENINGS)
def test_when_a_window_opens_next(window: Window, at: str, opening: str) -> None:
    """Whoever meets it closed is told when to come again."""
    assert window.opens(moment(at)).isoformat() == opening


def test_a_closed_window_says_when_it_opens() -> None:
    """The error can be resumed, says when, and what to do for now."""
    NIGHT.require_open(moment("23:00"))
    with pytest.raises(WindowClosedError) as caught:
        NIGHT.require_open(moment("12:00"))

    assert (caught.value.message, caught.value.exit_code) == ("the window 22:00-04:30 Europe/Berlin is closed", 3)
    assert "it opens at 2026-01-15 22:00 CET" in str(caught.value.hint)
    assert "ignore_window" in str(caught.value.hint)


def test_a_time_without_quotes_is_meant_as_one() -> None:
    """YAML takes 22:00 for a number to the base of 60, and 04:30 for a text."""
    assert Window.model_validate({"start": 1320, "end": "04:30"}) == Window(start="22:00", end="04:30")


WRONG_WINDOWS: dict[str, tuple[dict[str, Any], str]] = {
    "always open": ({"start": "22:00", "end": "22:00"}, "always open"),
    "no such hour": ({"start": "24:00", "end": "04:30"}, "start"),
    "a time with seconds": ({"start": "22:00:00", "end": "04:30"}, "start"),
    "a switch": ({"start": True, "end": "04:30"}, "start"),
    "no time zone": ({"start": "22:00", "end": "04:30", "timezone": "Berlin"}, "no such time zone"),
}


@pytest.mark.parametrize(("fields", "reason"), WRONG_WINDOWS.values(), ids=WRONG_WINDOWS)
def test_a_window_that_cannot_be(fields: dict[str, Any], reason: str) -> None:
    """A window opens and closes, at times of the day."""
    with pytest.raises(ValidationError, match=reason):
        Window.model_validate(fields)


def test_what_is_different_in_the_runs_of_a_schedule() -> None:
    """Only what a schedule says itself becomes a parameter of its runs."""
    assert Schedule(cron="@daily").parameters == {}
    assert Schedule(cron="@daily", deep=True, ignore_window=True).parameters == {"deep": True, "ignore_window": True}


FITTING = {
    "inside": Schedule(cron="15 2 * * *", timezone="Europe/Berlin"),
    "every hour, and so inside, too": Schedule(cron="0 * * * *"),
    "in summer alone": Schedule(cron="0 20 * * *"),
    "outside, on purpose": Schedule(cron="0 12 * * *", ignore_window=True),
}


@pytest.mark.parametrize("schedule", FITTING.values(), ids=FITTING)
def test_a_schedule_may_start_outside_the_window_now_and_then(schedule: Schedule) -> None:
    """One start inside the window in a year is enough, or none on purpose."""
    assert check_schedules(schedule, NIGHT, None) is schedule


@pytest.mark.parametrize("cron", ["0 12 * * *", "*/30 9-17 * * *", "0 12 1 1 *"])
def test_a_schedule_that_never_starts_in_the_window_is_wrong(cron: str) -> None:
    """All its runs would end at once."""
    with pytest.raises(ValueError, match="the schedule site never starts inside the window 22:00-04:30 Europe/Berlin"):
        check_schedules((Schedule(cron=cron),), NIGHT, None)
