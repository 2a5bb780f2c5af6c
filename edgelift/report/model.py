"""What is known of a run: its stages, its images, and what went wrong. All of it may be missing but the name. Pure.

Moments are seconds since 1970 (UTC), durations seconds, sizes bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from edgelift.bundle.kinds import name_of
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.delivery.receipt import DeliveryReceipt
from edgelift.errors import EdgeliftError, ManyError
from edgelift.fleet.summary import FleetSummary
from edgelift.oci.transfer import Transfer
from edgelift.packs.names import is_local

Verb = Literal["pull", "push"]
StepState = Literal["done", "earlier", "failed"]
ImageState = Literal["failed", "unfinished", "done"]
NOTHING_MOVED = Transfer()
_HINT = "\n  → "  # as errors are written


class Timing(BaseModel):
    """When an image was moved, and at which of the attempts that one run gives it."""

    model_config = ConfigDict(frozen=True)

    started: float
    ended: float
    attempts: int = 1

    @property
    def seconds(self) -> float:
        """How long it took; clocks that are set back make it no less than nothing."""
        return max(0.0, self.ended - self.started)


class Problem(NamedTuple):
    """What went wrong, with what, and the next step; subject and step may be empty."""

    subject: str
    reason: str
    next_step: str = ""


class Step(NamedTuple):
    """The pull or the push of one image.

    What an `earlier` attempt at the run has done was taken over from there. `timing` is None where nobody measured it,
    `source` is where the bytes came from, `problem` says why it `failed`.
    """

    state: StepState
    timing: Timing | None = None
    transfer: Transfer = NOTHING_MOVED
    source: str = ""
    problem: Problem | None = None


class Stage(NamedTuple):
    """A part of the run; one that overlaps another is told as it was."""

    name: str
    started: float
    ended: float
    is_failed: bool = False

    @property
    def seconds(self) -> float:
        """How long it took."""
        return max(0.0, self.ended - self.started)


class Findings(NamedTuple):
    """What a run has found out beside what it moved: under a heading, what is `said` of it, and rows of a table."""

    heading: str
    said: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...] = ()


class ImageReport(NamedTuple):
    """One entry of the lock, and what was done with it. `expected` says which steps the run wanted."""

    name: str
    size: int
    expected: tuple[Verb, ...]
    pull: Step | None = None
    push: Step | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that were begun, in their order."""
        return tuple(step for step in (self.pull, self.push) if step is not None)

    @property
    def state(self) -> ImageState:
        """Whether all that the run wanted was done."""
        if any(step.state == "failed" for step in self.steps):
            return "failed"
        done: dict[Verb, Step | None] = {"pull": self.pull, "push": self.push}
        return "done" if all(done[verb] is not None for verb in self.expected) else "unfinished"

    @property
    def problem(self) -> Problem | None:
        """Why it failed."""
        return next((step.problem for step in self.steps if step.problem is not None), None)

    @property
    def seconds(self) -> float:
        """How long moving it took in this attempt, without waiting."""
        return sum(step.timing.seconds for step in self.steps if step.timing is not None and step.state != "earlier")

    @property
    def attempts(self) -> int:
        """The most attempts that a step needed; 0 where nobody counted."""
        return max((step.timing.attempts for step in self.steps if step.timing is not None), default=0)


class RunReport(NamedTuple):
    """What is known of one attempt at a run. `outcome` is the orchestrator's word for how it ended.

    The `headline` is about the `problems` as a whole, where there are many.
    """

    name: str
    flow: str
    run: str
    started: float
    ended: float
    is_failed: bool = False
    outcome: str = "Completed"
    attempt: int = 1
    place: str = ""
    headline: Problem | None = None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    stages: tuple[Stage, ...] = ()
    images: tuple[ImageReport, ...] = ()
    lock: BundleLock | None = None
    receipt: DeliveryReceipt | None = None
    findings: Findings | None = None
    fleet: FleetSummary | None = None

    @property
    def seconds(self) -> float:
        """How long the attempt took."""
        return max(0.0, self.ended - self.started)

    def moved(self, verb: Verb) -> int:
        """Bytes that came over the wire, or went over it, in this attempt."""
        return sum(step.transfer.moved_bytes for step in self.steps(verb) if step.state == "done")

    def steps(self, verb: Verb) -> tuple[Step, ...]:
        """Every pull or every push that was begun."""
        return tuple(step for each in self.images if (step := each.pull if verb == "pull" else each.push) is not None)

    @property
    def problems_first(self) -> tuple[ImageReport, ...]:
        """The images: those that failed, those that were not finished, then the others; large ones first."""
        order: dict[ImageState, int] = {"failed": 0, "unfinished": 1, "done": 2}
        return tuple(sorted(self.images, key=lambda each: (order[each.state], -each.size, each.name)))


def report_images(
    images: Sequence[LockedImage], expected: Sequence[Verb], steps: Mapping[tuple[Verb, str], Step]
) -> tuple[ImageReport, ...]:
    """One for each of `images`, with its `steps` by its reference; a local pack is in the store, and never pulled."""
    return tuple(
        ImageReport(
            name_of(image.reference, image.kind),
            image.size,
            tuple(verb for verb in expected if verb != "pull" or not is_local(image.reference)),
            steps.get(("pull", image.reference)),
            steps.get(("push", image.reference)),
        )
        for image in images
    )


def merge_stages(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """One of each name, from its first beginning to its last end, in the order in which they began."""
    merged = dict[str, Stage]()
    for stage in sorted(stages, key=lambda each: each.started):
        known = merged.get(stage.name, stage)
        merged[stage.name] = known._replace(
            ended=max(known.ended, stage.ended), is_failed=known.is_failed or stage.is_failed
        )
    return tuple(merged.values())


def problems_of(error: BaseException) -> tuple[Problem, ...]:
    """What `error` says, problem by problem. Of an error that is none of ours only its name and first line."""
    if isinstance(error, ManyError) and error.failures:
        parts = [_split(failure) for failure in error.failures]
        return tuple(part._replace(next_step=part.next_step or error.hint or "") for part in parts)
    if isinstance(error, EdgeliftError):
        return (Problem("", error.message, error.hint or ""),)
    first = str(error).partition("\n")[0]
    return (Problem("", f"{type(error).__name__}: {first}" if first else type(error).__name__),)


def headline_of(error: BaseException) -> Problem | None:
    """What an error that has many problems says of them as a whole; None for the others."""
    if isinstance(error, ManyError) and error.failures:
        return Problem("", error.message, error.hint or "")
    return None


def with_problems(
    steps: Mapping[tuple[Verb, str], Step],
    problems: Sequence[Problem],
    images: Sequence[LockedImage],
    expected: Sequence[Verb],
) -> dict[tuple[Verb, str], Step]:
    """The `steps`, with those of the `problems` that are about one of `images`: its first step that is not done."""
    found, references = dict(steps), {image.reference for image in images}
    for problem in problems:
        if problem.subject not in references:
            continue
        for verb in expected:
            step = found.get((verb, problem.subject), Step("failed"))
            if step.state == "failed":
                found[verb, problem.subject] = step._replace(problem=problem)
                break
    return found


def _split(failure: str) -> Problem:
    """A failure as it is written: `SUBJECT: REASON`, and the next step below; a subject has no spaces."""
    text, _, hint = failure.partition(_HINT)
    subject, colon, reason = text.partition(": ")
    return Problem(subject, reason, hint) if colon and " " not in subject else Problem("", text, hint)
