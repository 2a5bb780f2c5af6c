"""Values that Prefect hands to a task as they are: else it looks into every part of them for futures, twice a task."""

from typing import TypeVar, cast

from prefect.utilities.annotations import opaque

T = TypeVar("T")


def as_is(value: T) -> T:
    """`value`, to be given to a task; where it is the result of another task, that one is still known to come first."""
    return cast(T, opaque(value))
