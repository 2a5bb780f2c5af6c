"""Values that Prefect hands to a task as they are: else it looks into every part of them for futures, twice a task."""

from typing import TypeVar, cast

from prefect.context import FlowRunContext
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import opaque

T = TypeVar("T")


def as_is(value: T) -> T:
    """`value`, to be given to a task; where it is the result of another task, that one is still known to come first.

    For a Dask cluster it is left unmarked, and looked into: Dask makes a bare tuple of what marks it.
    """
    context = FlowRunContext.get()
    if context is not None and not isinstance(context.task_runner, ThreadPoolTaskRunner):
        return value
    return cast(T, opaque(value))
