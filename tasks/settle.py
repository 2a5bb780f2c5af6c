"""Fan-in: every mapped task settles, every state is looked at, and all failures are raised as one error."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, NamedTuple, TypeVar

from prefect.client.schemas.objects import State
from prefect.futures import PrefectFutureList, wait

from edgelift.errors import EdgeliftError, IncompleteError
from tasks.window import stop_at_closed_window

T = TypeVar("T")


class Settled(NamedTuple, Generic[T]):
    """The result of one mapped task, and whether it was taken over from an earlier attempt of this run."""

    result: T
    is_cached: bool


def settle(
    verb: str,
    names: Sequence[str],
    futures: PrefectFutureList[T],
    note: Callable[[str, Settled[T]], None] | None = None,
) -> list[Settled[T]]:
    """The outcomes in order; raises `IncompleteError` with every failure where one of them failed.

    Raises `WindowClosedError` where the others have not begun since the window of the site is closed. `note` is told
    of each that is done, also where others failed.

    Asking for results one by one would give up at the first failure and leave the rest of the queue undone; handing
    futures to another task would let a failed pull end in a completed run.
    """
    wait(list(futures))
    states = [future.state for future in futures]
    failures = [
        f"{name}: {_explain(state)}" for name, state in zip(names, states, strict=True) if not state.is_completed()
    ]
    if failures:
        with suppress(Exception):  # a result that cannot be read must not hide why the others failed
            _settled(names, futures, states, note)
        stop_at_closed_window(verb, states)
        raise IncompleteError(
            f"{len(failures)} of {len(names)} images could not be {verb}; the others are done and stay done",
            failures,
            hint="run it again, or retry the run in Prefect: only these are repeated",
        )
    return _settled(names, futures, states, note)


def _settled(
    names: Sequence[str],
    futures: PrefectFutureList[T],
    states: Sequence[State],
    note: Callable[[str, Settled[T]], None] | None,
) -> list[Settled[T]]:
    """The outcomes of those that are done, in order."""
    settled = list[Settled[T]]()
    for name, future, state in zip(names, futures, states, strict=True):
        if state.is_completed():
            settled.append(Settled(future.result(), state.name == "Cached"))
            if note is not None:
                note(name, settled[-1])
    return settled


def outcome_of(state: State) -> object:
    """What a task gave, or the error that it ended with."""
    try:
        return state.result(raise_on_failure=False)
    except Exception as error:  # noqa: BLE001 - a state without a readable result still has to be reported
        return error


def _explain(state: State) -> str:
    """Why a task failed, without a traceback."""
    if not state.is_final():
        return f"it never ended ({state.name})"
    outcome = outcome_of(state)
    if isinstance(outcome, EdgeliftError):
        return str(outcome)
    return f"{type(outcome).__name__}: {outcome}" if isinstance(outcome, BaseException) else str(state.message)


def is_retryable(task: object, task_run: object, state: State) -> bool:  # noqa: ARG001 - Prefect's signature
    """Whether Prefect should try the task again by itself: only what may well succeed later."""
    try:
        state.result()
    except EdgeliftError as error:
        return error.retryable
    except Exception:  # noqa: BLE001 - a defect of ours does not get better by repeating it
        return False
    return False
