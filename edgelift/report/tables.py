"""The images of a run as a table: for the page, and as rows for the orchestrator, which shows them by itself. Pure."""

from collections.abc import Callable
from typing import NamedTuple

from edgelift.report.markup import Markup, chip, code, element, join, note, table
from edgelift.report.model import ImageReport, Problem, RunReport, Step
from edgelift.report.wording import count, format_duration
from edgelift.sizes import format_size

MOST_ROWS = 1000
_STYLES = {"failed": "bad", "not begun": "plain", "pulled, not pushed": "care"}


class _Column(NamedTuple):
    """A column: its heading, the class of its cells, and what is in them; one that is empty is left out."""

    heading: str
    style: str | None
    cell: Callable[[ImageReport], str]


def image_table(report: RunReport) -> Markup:
    """All images, those with problems first."""
    images = report.problems_first
    shown = images[:MOST_ROWS]
    columns = [column for column in _COLUMNS if any(column.cell(image) for image in shown)]
    headings = (element("th", each.heading, class_=each.style) for each in columns)
    rows = (
        element("tr", *(element("td", column.cell(image), class_=column.style) for column in columns))
        for image in shown
    )
    rest = len(images) - len(shown)
    return join((table(headings, rows), note(f"{count(rest, 'more image')}: see the lock.") if rest else ""))


def image_rows(report: RunReport) -> list[dict[str, str]]:
    """The same for a table of the orchestrator, whose cells are Markdown."""
    return [
        {
            "image": code(image.name),
            "state": state_of(image),
            "size": format_size(image.size),
            "time": _times(image),
            "attempts": str(image.attempts or ""),
            "source": code(_source(image)),
            "why it failed": code(image.problem.reason if image.problem else ""),
            "next step": code(image.problem.next_step if image.problem else ""),
        }
        for image in report.problems_first[:MOST_ROWS]
    ]


def state_of(image: ImageReport) -> str:
    """What has become of it, in words."""
    if image.state == "failed":
        return "failed"
    if image.state == "done":
        return "pushed" if image.push is not None else "pulled" if image.pull is not None else "in the store"
    return "pulled, not pushed" if image.pull is not None else "not begun"


def told_problem(problem: Problem) -> Markup:
    """Why, and below it the next step."""
    step = element("span", problem.next_step, class_="step") if problem.next_step else Markup()
    return join((problem.reason, step))


def _chip(image: ImageReport) -> Markup:
    state = state_of(image)
    return chip(state, _STYLES.get(state, "good"))


def _outcome(step: Step | None) -> str:
    """How long it took and what moved; of an earlier attempt only that."""
    if step is None:
        return ""
    time = format_duration(step.timing.seconds) if step.timing is not None else "time unknown"
    if step.state == "failed":
        return f"failed after {time}"
    moved = step.transfer.moved_bytes
    told = f"{time}, {format_size(moved)}" if moved else f"{time}, nothing to move"
    if step.transfer.taken_bytes:
        told += f", {format_size(step.transfer.taken_bytes)} from bundles"
    return f"earlier attempt: {told}" if step.state == "earlier" else told


def _unbroken(told: str) -> Markup:
    """`told`, where a line may end after a comma only: a number stays with its unit."""
    parts = [element("span", part, class_="unbroken") for part in told.split(", ") if part]
    return Markup(", ".join(parts))


def _times(image: ImageReport) -> str:
    told = {"pull": image.pull, "push": image.push}
    return "; ".join(f"{verb} {_outcome(step)}" for verb, step in told.items() if step is not None)


def _source(image: ImageReport) -> str:
    return next((step.source for step in image.steps if step.source), "")


_COLUMNS = (
    _Column("Image", "name", lambda image: image.name),
    _Column("State", None, _chip),
    _Column("Size", "number", lambda image: format_size(image.size)),
    _Column("From", "source", _source),
    _Column("Pulled", "outcome", lambda image: _unbroken(_outcome(image.pull))),
    _Column("Pushed", "outcome", lambda image: _unbroken(_outcome(image.push))),
    _Column("Attempts", "number", lambda image: str(image.attempts or "")),
    _Column("Why, and what to do next", "reason", lambda image: told_problem(image.problem) if image.problem else ""),
)
