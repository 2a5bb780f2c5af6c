"""What became of a run in a few lines of Markdown, and where its report is. Pure."""

from collections.abc import Mapping

from edgelift.report.markup import code
from edgelift.report.model import Problem, RunReport, Verb
from edgelift.report.wording import count, format_duration
from edgelift.sizes import format_size

MOST_TOLD = 20  # problems; the report has more
_VERBS: tuple[Verb, ...] = ("pull", "push")


def summary_page(report: RunReport, places: Mapping[str, str]) -> str:
    """The outcome, the figures, the first problems, and the `places` of what the run has left behind."""
    lines = [f"- {name}: {code(place)}" for name, place in places.items()]
    sections = [
        f"# {report.name}: {report.outcome}",
        f"{headline(report)}.",
        *(["## What went wrong", _problems(report)] if report.problems else []),
        *(["## Where to look", "\n".join(lines)] if lines else []),
    ]
    return "\n\n".join(sections)


def headline(report: RunReport) -> str:
    """The figures in one line: `45 of 46 images are done, 1.2 GiB pulled, in 3 min 05 s`."""
    if report.fleet is not None:
        return f"{report.fleet.headline}; in {format_duration(report.seconds)}"
    done = sum(image.state == "done" for image in report.images)
    parts = [f"{done:,} of {count(len(report.images), 'image')} are done"] if report.images else []
    parts += [f"{format_size(moved)} {verb}ed" for verb in _VERBS if (moved := report.moved(verb))]
    parts += [report.findings.said] if report.findings is not None else []
    return ", ".join([*parts, f"in {format_duration(report.seconds)}"])


def _problems(report: RunReport) -> str:
    rest = len(report.problems) - MOST_TOLD
    lines = [_line(each) for each in report.problems[:MOST_TOLD]]
    return "\n".join([*lines, f"- and {rest:,} more: see the report"] if rest > 0 else lines)


def _line(problem: Problem) -> str:
    told = " ".join(code(part) for part in (problem.subject, problem.reason) if part)
    return f"- {told} → {code(problem.next_step)}" if problem.next_step else f"- {told}"
