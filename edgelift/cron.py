"""Cron expressions: whether they can be, and when they start what. Read as Prefect does, without loading it."""

import re
from collections.abc import Iterator
from datetime import datetime
from heapq import merge
from itertools import groupby
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_EXAMPLE = "write five fields (minute, hour, day, month, day of the week), as in 15 2 * * *"
_FIELDS = 5
_DAY, _WEEKDAY = 2, 4
_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_BEGINNING = datetime(2000, 1, 1)  # noqa: DTZ001 - any will do to see whether an expression can be read


def check_cron(text: str) -> str:
    """`text`, where it is a cron expression; raises `ValueError` that says why it is none."""
    next(start_times(text, None, _BEGINNING), None)
    return text


def check_timezone(name: str) -> str:
    """`name`, where there is such a time zone; raises `ValueError`."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a whole region, which is a folder
        raise ValueError("there is no such time zone; take an IANA name, such as Europe/Berlin") from None
    return name


def start_times(text: str, timezone: str | None, after: datetime) -> Iterator[datetime]:
    """The times that `text` means beyond `after`, in order and in `timezone`; raises `ValueError` where it means none.

    Without a `timezone` they are as naive as `after`.
    """
    from cronsim import CronSim, CronSimError  # noqa: PLC0415 - most commands have nothing to do with schedules

    begin = after.astimezone(ZoneInfo(timezone)) if timezone is not None else after
    try:
        times = [CronSim(each, begin) for each in _alternatives(_fields_of(text))]
    except CronSimError as error:
        reason = str(error).replace("Bad ", "its ").replace("-", " ")
        raise ValueError(f"{reason} cannot be read; a range goes up (22-23,0-4), a step follows a slash") from None
    return (time for time, _ in groupby(merge(*times)))


def _fields_of(text: str) -> list[str]:
    fields = _NICKNAMES.get(text.strip().lower(), text).split()
    if len(fields) != _FIELDS:
        raise ValueError(f"it has {len(fields)} fields: {_EXAMPLE}")
    if "LW" in fields[_DAY].upper() or re.search("[0-7]L", fields[_WEEKDAY].upper()):
        # Prefect's own reader writes the last Friday in another way than others do, and knows no last working day.
        raise ValueError("the last weekday of a month cannot be asked for")
    return fields


def _alternatives(fields: list[str]) -> list[str]:
    """Expressions that together mean `fields`: where both days are limited, either is enough."""
    if "*" in (fields[_DAY], fields[_WEEKDAY]):
        return [" ".join(fields)]
    return [
        " ".join("*" if place == other else field for place, field in enumerate(fields)) for other in (_DAY, _WEEKDAY)
    ]
