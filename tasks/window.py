"""Window: a run begins inside the window of its site, and begins nothing more once that is closed."""

from collections.abc import Sequence
from datetime import UTC, datetime

from prefect.client.schemas.objects import State

from edgelift.errors import WindowClosedError
from edgelift.timetable import Window
from tasks.narrate import narrate


def enter_window(window: Window | None, *, ignored: bool) -> Window | None:
    """The window that this run keeps to, if there is one and it is not `ignored`; raises `WindowClosedError`."""
    if window is None or ignored:
        return None
    require_open(window)
    narrate(
        f"the window {window} is open; when it closes, what has begun is finished, and the rest left to the next run"
    )
    return window


def require_open(window: Window | None) -> None:
    """Raises `WindowClosedError` where there is a window, and it is closed by now."""
    if window is not None:
        window.require_open(datetime.now(UTC))


def stop_at_closed_window(verb: str, states: Sequence[State]) -> None:
    """Raises `WindowClosedError` where that is why all failed tasks have not begun, once for all of them."""
    outcomes = [_outcome(state) for state in states if not state.is_completed()]
    closed = [outcome for outcome in outcomes if isinstance(outcome, WindowClosedError)]
    waiting = len(outcomes)
    if closed and len(closed) == waiting:
        raise WindowClosedError(
            f"{closed[0].message}: {waiting} of {len(states)} images are not {verb} yet; "
            "the others are done and stay done",
            hint=closed[0].hint,
        )


def _outcome(state: State) -> object:
    try:
        return state.result(raise_on_failure=False)
    except Exception:  # noqa: BLE001 - a state without a readable result has another reason, which is told elsewhere
        return None
