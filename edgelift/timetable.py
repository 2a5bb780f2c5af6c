"""When a site is synchronised: its schedules, and the window that runs keep to. Values; the clock is the caller's."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from edgelift.cron import check_cron, check_timezone, start_times
from edgelift.errors import WindowClosedError
from edgelift.forms import Form

_BEGINNING = datetime(2024, 1, 1, tzinfo=UTC)
_ALL_SEASONS = timedelta(days=366)
_MINUTES = 60


def _as_written(value: object) -> object:
    """YAML reads 22:00 without quotes as a number to the base of 60."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value // _MINUTES:02}:{value % _MINUTES:02}"
    return value


TimeZone = Annotated[str, AfterValidator(check_timezone)]
Cron = Annotated[str, AfterValidator(check_cron)]
TimeOfDay = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$"), BeforeValidator(_as_written)]
ScheduleName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class Window(Form):
    """The hours in which a site may be synchronised, by the clock on the wall; they may go past midnight."""

    start: TimeOfDay = Field(description="When it opens, HH:MM.")
    end: TimeOfDay = Field(description="When it closes, HH:MM; the next day where that is earlier than the start.")
    timezone: TimeZone = Field("UTC", description="IANA time zone, for example Europe/Berlin.")

    @model_validator(mode="after")
    def _is_sometimes_closed(self) -> Self:
        if self.start == self.end:
            raise ValueError("a window that is always open is none: leave it out, or give it another end")
        return self

    def is_open(self, at: datetime) -> bool:
        """Whether a run may be going on at the moment `at`."""
        start, end = time.fromisoformat(self.start), time.fromisoformat(self.end)
        local = at.astimezone(ZoneInfo(self.timezone)).time()
        return start <= local < end if start < end else not end <= local < start

    def opens(self, after: datetime) -> datetime:
        """When it opens next after the moment `after`."""
        local = after.astimezone(ZoneInfo(self.timezone))
        opening = datetime.combine(local.date(), time.fromisoformat(self.start), local.tzinfo)
        return opening if opening > local else opening + timedelta(days=1)  # by the clock, however long that day is

    def require_open(self, at: datetime) -> None:
        """Raises `WindowClosedError` that says when it opens, unless it is open at the moment `at`."""
        if not self.is_open(at):
            raise WindowClosedError(
                f"the window {self} is closed",
                hint=f"it opens at {self.opens(at):%Y-%m-%d %H:%M %Z}: the next run, or a retry of this one, goes on "
                "then; a run with ignore_window goes on now",
            )

    def __str__(self) -> str:
        return f"{self.start}-{self.end} {self.timezone}"


class Schedule(Form):
    """When a site is synchronised, and what is different in these runs."""

    name: ScheduleName = Field("site", description="Name of the schedule; no two of a site have the same.")
    cron: Cron = Field(description="Cron expression, for example 15 2 * * *.")
    timezone: TimeZone = Field("UTC", description="IANA time zone, for example Europe/Berlin.")
    active: bool = Field(True, description="Whether the schedule runs.")
    deep: bool = Field(False, description="These runs validate by reading every blob back.")
    ignore_window: bool = Field(False, description="These runs do not keep to the window of the site.")

    @property
    def parameters(self) -> dict[str, bool]:
        """The parameters of the flow that are different in these runs."""
        return {name: True for name, differs in (("deep", self.deep), ("ignore_window", self.ignore_window)) if differs}

    def starts(self, after: datetime) -> Iterator[datetime]:
        """When runs start after the moment `after`, in order, in the time zone of the schedule."""
        return start_times(self.cron, self.timezone, after)

    def __str__(self) -> str:
        return f"{self.cron} {self.timezone}"


Schedules = Schedule | tuple[Schedule, ...] | None  # one, several or none, as a site file says it


def check_schedules(said: Schedules, window: Window | None, other: Schedule | None) -> Schedules:
    """What is `said`; raises `ValueError` where two schedules have one name, or one never starts inside the `window`.

    Several cannot stand beside an `other` one.
    """
    schedules = said if isinstance(said, tuple) else (said,) if said is not None else ()
    if schedules and other is not None:
        raise ValueError("name all of them here, and leave out schedule")
    names = [schedule.name for schedule in schedules]
    for schedule in schedules:
        if names.count(schedule.name) > 1:
            raise ValueError(f"two schedules are called {schedule.name}: give each a name of its own")
        if window is not None and not schedule.ignore_window and not _ever_starts_in(window, schedule):
            raise ValueError(
                f"the schedule {schedule.name} never starts inside the window {window}: "
                "change one of them, or say ignore_window in the schedule"
            )
    return said


def _ever_starts_in(window: Window, schedule: Schedule) -> bool:
    for start in schedule.starts(_BEGINNING):
        if window.is_open(start):
            return True
        if start - _BEGINNING > _ALL_SEASONS:  # two time zones may differ in summer alone
            return False
    return False
