"""Fan-in: every mapped task settles, every state is looked at, and all failures are raised as one error."""

from collections.abc import Sequence
from typing import TypeVar

from prefect.futures import PrefectFuture, PrefectFutureList, wait
from prefect.states import State

from edgelift.errors import EdgeliftError, IncompleteError

T = TypeVar("T")


def settle(verb: str, names: Sequence[str], futures: PrefectFutureList[T]) -> list[T]:
    """The results in order; raises `IncompleteError` with every failure where one of them failed.

    Asking for results one by one would give up at the first failure and leave the rest of the queue undone; handing
    futures to another task would let a failed pull end in a completed run.
    """
    wait(list(futures))
    failures = [
        f"{name}: {reason(future)}" for name, future in zip(names, futures, strict=True) if not _is_done(future)
    ]
    if failures:
        raise IncompleteError(
            f"{len(failures)} of {len(names)} images could not be {verb}; the others are done and stay done",
            failures,
            hint="run it again, or retry the run in Prefect: only these are repeated",
        )
    return [future.result() for future in futures]


def is_cached(future: PrefectFuture[T]) -> bool:
    """Whether the result was taken over from an earlier attempt of this run."""
    return future.state.name == "Cached"


def reason(future: PrefectFuture[T]) -> str:
    """Why a task failed, without a traceback."""
    return _explain(future.state)


def _is_done(future: PrefectFuture[T]) -> bool:
    return future.state.is_completed()


def _explain(state: State) -> str:
    if not state.is_final():
        return f"it never ended ({state.name})"
    try:
        outcome = state.result(raise_on_failure=False)
    except Exception as error:  # noqa: BLE001 - a state without a readable result still has to be reported
        outcome = error
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
