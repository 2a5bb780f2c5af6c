"""How many bytes a second moved, over the time of the run, as SVG.

Each transfer counts with its mean over its own time: what the registries sent in each second, nobody has written down.
"""

from collections.abc import Iterator
from typing import NamedTuple

from edgelift.report.axis import Scale, size_label, size_ticks, time_label, time_ticks
from edgelift.report.markup import Markup, element
from edgelift.report.model import RunReport, Verb
from edgelift.sizes import format_size

COLUMNS = 120
_WIDTH, _HEIGHT, _TOP, _BOTTOM = 1120, 220, 10, 26  # pixels, as all lengths here
_LEFT, _MARGIN = 300, 10  # as in the timeline, so that the same moment is at the same place
_VERBS: tuple[Verb, ...] = ("pull", "push")


class Throughput(NamedTuple):
    """Bytes a second in each column, and how many seconds a column has."""

    seconds: float
    pulled: list[float]
    pushed: list[float]

    @property
    def peak(self) -> float:
        """The most of both together."""
        return max(a + b for a, b in zip(self.pulled, self.pushed, strict=True))


def measure_throughput(report: RunReport) -> Throughput:
    """What moved when; a transfer without times is not in it."""
    seconds = max(report.seconds, 0.1) / COLUMNS
    columns = {verb: [0.0] * COLUMNS for verb in _VERBS}
    for verb in _VERBS:
        for step in report.steps(verb):
            if step.state == "done" and step.timing is not None and step.transfer.moved_bytes:
                begun, ended = (moment - report.started for moment in (step.timing.started, step.timing.ended))
                spread(columns[verb], seconds, begun, ended, step.transfer.moved_bytes)
    return Throughput(seconds, columns["pull"], columns["push"])


def draw_throughput(report: RunReport) -> Markup | None:
    """The picture; None where nothing moved."""
    found = measure_throughput(report)
    if not found.peak:
        return None
    ticks = size_ticks(found.peak)
    time = Scale(max(report.seconds, 0.1), _LEFT, _WIDTH - _MARGIN)
    rate = Scale(ticks[-1], _HEIGHT - _BOTTOM, _TOP)
    parts = (*_axes(ticks, time, rate), *_columns(found, time, rate))
    return element(
        "svg", *parts, class_="chart", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label="Throughput over time"
    )


def spread(columns: list[float], seconds: float, begun: float, ended: float, size: float) -> None:
    """Add `size`, evenly from `begun` to `ended`, to columns of so many `seconds`, as so much a second; all is kept."""
    whole = seconds * len(columns)
    begun = min(max(begun, 0.0), whole - seconds / 2)
    ended = min(max(ended, begun + seconds / 1000), whole)
    rate = size / (ended - begun)
    for column in range(int(begun / seconds), min(int(ended / seconds), len(columns) - 1) + 1):
        part = min(ended, (column + 1) * seconds) - max(begun, column * seconds)
        columns[column] += max(part, 0.0) * rate / seconds


def _axes(ticks: list[float], time: Scale, rate: Scale) -> Iterator[Markup]:
    for size in ticks:
        y = f"{rate.at(size):.1f}"
        yield element("line", class_="grid", x1=_LEFT, x2=_WIDTH - _MARGIN, y1=y, y2=y)
        label = f"{size_label(size)}/s" if size else "0"
        yield element("text", label, class_="tick", x=_LEFT - 10, y=f"{rate.at(size) + 4:.1f}", text_anchor="end")
    for seconds in time_ticks(time.longest):
        x = f"{time.at(seconds):.1f}"
        yield element("text", time_label(seconds), class_="tick", x=x, y=_HEIGHT - 8, text_anchor="middle")


def _columns(found: Throughput, time: Scale, rate: Scale) -> Iterator[Markup]:
    """A column for each moment: what was pulled at its foot, what was pushed on top of it."""
    width = (time.right - time.left) / COLUMNS
    for number, (pulled, pushed) in enumerate(zip(found.pulled, found.pushed, strict=True)):
        x, base = f"{time.left + number * width:.1f}", 0.0
        for verb, size in (("pull", pulled), ("push", pushed)):
            if size:
                top, foot = rate.at(base + size), rate.at(base)
                told = f"{time_label(round(number * found.seconds, 1))}: {verb}ed {format_size(round(size))}/s"
                place = {"x": x, "y": f"{top:.1f}", "width": f"{width + 0.3:.1f}", "height": f"{foot - top:.1f}"}
                yield element("rect", element("title", told), class_=f"{verb} column", **place)
                base += size
