"""What the tasks of a run measure on the way, kept in this process until the run is reported; see `sum_up`.

It is cheap: a few numbers an image. Each attempt at a run has a record of its own; what an earlier attempt has measured
comes with the results that are taken over from it.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from prefect.runtime import task_run

from edgelift.bundle.lock import BundleLock
from edgelift.delivery.receipt import DeliveryReceipt
from edgelift.fleet.summary import FleetSummary
from edgelift.oci.transfer import Transfer
from edgelift.progress import Pace
from edgelift.report.model import Findings, Stage, Step, Timing, Verb
from edgelift.report.plan_page import Present
from tasks.attempt import PerAttempt

P = ParamSpec("P")
T = TypeVar("T")

MOST_WARNINGS = 500
_KEPT = 64  # attempts; those that are reported go by themselves


class RunRecord:
    """What is known of one attempt so far; its threads write into it.

    `folder` says where the report goes; without one nobody wants it. It is about `name`, and called so, unless it has a
    `stem` of its own. `steps` are found by their verb and the reference of the image.
    """

    def __init__(self) -> None:
        self.started = time.time()
        self.name = ""
        self.folder: str | None = None
        self.stem = ""
        self.place = ""
        self.archived: str | None = None
        self.expected: tuple[Verb, ...] = ()
        self.lock: BundleLock | None = None
        self.receipt: DeliveryReceipt | None = None
        self.findings: Findings | None = None
        self.fleet: FleetSummary | None = None
        self.present = Present()
        self.stages: list[Stage] = []
        self.steps: dict[tuple[Verb, str], Step] = {}
        self._warnings: dict[str, None] = {}
        self._paces: dict[tuple[Verb, str], Pace] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was warned of, each once."""
        return tuple(self._warnings)

    def warn(self, message: str) -> None:
        """Keep a warning, unless there are too many already."""
        if len(self._warnings) < MOST_WARNINGS:
            self._warnings[message] = None

    def pace(self, verb: Verb, reference: str) -> Pace:
        """What counts the bytes of an image; another attempt at it begins anew."""
        self._paces[verb, reference] = pace = Pace()
        return pace

    def arrived(self, verb: Verb, reference: str) -> int:
        """Bytes of one image that were done so far."""
        pace = self._paces.get((verb, reference))
        return pace.done if pace is not None else 0

    def done(self, verb: Verb, references: Iterable[str]) -> int:
        """Bytes of these images that were done so far, those that were there already included."""
        return sum(self.arrived(verb, reference) for reference in references)


def record() -> RunRecord:
    """The record of the attempt that is running; it begins with the first question for it."""
    return _records.get()


def forget_record() -> None:
    """Let go of the record of the attempt that is running."""
    _records.forget()


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Measure a stage of the run."""
    stages, started, is_failed = record().stages, time.time(), True
    try:
        yield
        is_failed = False
    finally:
        stages.append(Stage(name, started, time.time(), is_failed))


def staged(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Measure each call as a stage of the run: a decorator, below that of the task.

    `stage` could be one, too, but would keep a generator, and what has one cannot be sent to the workers of a cluster.
    """

    def decorate(act: Callable[P, T]) -> Callable[P, T]:
        @wraps(act)
        def measured_act(*args: P.args, **options: P.kwargs) -> T:
            with stage(name):
                return act(*args, **options)

        return measured_act

    return decorate


class Measured:
    """A step that is being measured."""

    def __init__(self) -> None:
        self._started = time.time()
        self._attempts = max(task_run.run_count, 1)

    def timing(self) -> Timing:
        """From its beginning to this moment."""
        return Timing(started=self._started, ended=time.time(), attempts=self._attempts)


@contextmanager
def measured(verb: Verb, reference: str) -> Iterator[Measured]:
    """Measure the pull or push of one image; where it fails, the record says when, and how far it got."""
    found, step = record(), Measured()
    try:
        yield step
    except BaseException:
        found.steps[verb, reference] = Step(
            "failed", step.timing(), Transfer(moved_bytes=found.arrived(verb, reference))
        )
        raise


_records = PerAttempt(RunRecord, _KEPT)
