"""The transfers of a run over time: one bar an image, as SVG. Of many images those that say most, the others as a sum.

Waiting is a thin line, pulling and pushing are bars, what failed has a mark. What an earlier attempt has done has no
place in this one's time: it is a hatched piece at the left.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from edgelift.report.axis import Scale, time_label, time_ticks
from edgelift.report.markup import Markup, element
from edgelift.report.model import ImageReport, RunReport, Step, Verb
from edgelift.report.throughput import spread
from edgelift.report.wording import count, format_duration
from edgelift.sizes import format_size
from edgelift.treemap.text import fit

MOST_BARS = 40
_WIDTH, _LABELS, _MARGIN = 1120, 300, 10  # pixels, as all lengths here
_CELLS = 42  # characters of a label
_ROW, _BAR, _TOP, _BOTTOM = 20, 12, 8, 26
_SUM_HEIGHT, _COLUMNS = 56, 160  # of the others: how many of them move at a time
_NARROWEST = 2.0  # what took no time can be seen, too
_EARLIER = 14
_HATCH = Markup(
    '<defs><pattern id="earlier-hatch" width="6" height="6" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(45)"><rect class="hatch" width="3" height="6"/></pattern></defs>'
)


class Timeline(NamedTuple):
    """The picture, and how many images have a bar of their own in it; the `others` are there as a sum."""

    picture: Markup
    shown: int
    others: int


def draw_timeline(report: RunReport) -> Timeline | None:
    """The timeline of `report`; None where nothing has begun to move."""
    moved = [image for image in report.images if any(step.timing is not None for step in image.steps)]
    if not moved:
        return None
    shown = _most_telling(moved)
    names = {image.name for image in shown}
    others = [image for image in moved if image.name not in names]
    scale = Scale(max(report.seconds, 0.1), _LABELS, _WIDTH - _MARGIN)
    foot = _TOP + len(shown) * _ROW + (_SUM_HEIGHT + 8 if others else 0)
    parts = (
        _HATCH,
        *_axis(scale, foot),
        *(_bar(report, image, _TOP + number * _ROW, scale) for number, image in enumerate(shown)),
        *(_sum_of(report, others, foot - _SUM_HEIGHT, scale) if others else ()),
    )
    height = foot + _BOTTOM
    picture = element(
        "svg", *parts, class_="chart", viewBox=f"0 0 {_WIDTH} {height}", role="img", aria_label="Timeline of transfers"
    )
    return Timeline(picture, len(shown), len(others))


def _most_telling(images: Sequence[ImageReport]) -> list[ImageReport]:
    """What failed and what took longest, in the order in which they began."""
    chosen = sorted(images, key=lambda each: (each.state != "failed", -each.seconds, each.name))[:MOST_BARS]
    return sorted(chosen, key=lambda each: (_begun(each), each.name))


def _begun(image: ImageReport) -> float:
    moments = [step.timing.started for step in image.steps if step.timing is not None and step.state != "earlier"]
    return min(moments, default=0.0)


def _axis(scale: Scale, foot: float) -> Iterator[Markup]:
    for seconds in time_ticks(scale.longest):
        x = f"{scale.at(seconds):.1f}"
        yield element("line", class_="grid", x1=x, x2=x, y1=0, y2=foot)
        yield element("text", time_label(seconds), class_="tick", x=x, y=foot + 16, text_anchor="middle")


def _bar(report: RunReport, image: ImageReport, top: float, scale: Scale) -> Markup:
    """The label of one image, the line on which it waits, and its steps."""
    middle = top + _ROW / 2
    label = element(
        "text", fit(image.name, _CELLS), class_="label", x=_LABELS - 10, y=f"{middle + 4:.1f}", text_anchor="end"
    )
    return element("g", label, *_waiting(report, image, middle, scale), *_steps(report, image, middle, scale))


def _waiting(report: RunReport, image: ImageReport, middle: float, scale: Scale) -> Iterator[Markup]:
    """From when its stage began to when it was its turn, step by step."""
    for verb, step in (("pull", image.pull), ("push", image.push)):
        stage = next((each for each in report.stages if each.name == verb), None)
        if stage is None or step is None or step.timing is None or step.state == "earlier":
            continue
        left, right = (scale.at(moment - report.started) for moment in (stage.started, step.timing.started))
        if right - left > 1:
            y = f"{middle:.1f}"
            yield element("line", class_="waiting", x1=f"{left:.1f}", x2=f"{right:.1f}", y1=y, y2=y)


def _steps(report: RunReport, image: ImageReport, middle: float, scale: Scale) -> Iterator[Markup]:
    earlier = 0.0
    for verb, step in (("pull", image.pull), ("push", image.push)):
        if step is None or step.timing is None:
            continue
        told = element("title", _told(verb, image, step))
        if step.state == "earlier":
            yield _box(f"earlier {verb}", scale.left + earlier, _EARLIER, middle, told)
            earlier += _EARLIER + 2
            continue
        left, right = (scale.at(moment - report.started) for moment in (step.timing.started, step.timing.ended))
        wide = max(right - left, _NARROWEST)
        yield _box(f"{verb} failed" if step.state == "failed" else verb, left, wide, middle, told)
        if step.state == "failed":
            yield element("text", "✕", class_="cross", x=f"{left + wide + 4:.1f}", y=f"{middle + 4:.1f}")


def _box(style: str, left: float, wide: float, middle: float, told: Markup) -> Markup:
    y = f"{middle - _BAR / 2:.1f}"
    return element("rect", told, class_=style, x=f"{left:.1f}", y=y, width=f"{wide:.1f}", height=_BAR, rx=2)


def _told(verb: str, image: ImageReport, step: Step) -> str:
    seconds = format_duration(step.timing.seconds) if step.timing is not None else "?"
    words = {"done": f"{verb}ed in {seconds}", "earlier": f"{verb}ed by an earlier attempt, in {seconds}"}
    outcome = words.get(step.state, f"{verb} failed after {seconds}")
    moved = f", {format_size(step.transfer.moved_bytes)} moved" if step.state != "failed" else ""
    tries = f", {step.timing.attempts} attempts" if step.timing is not None and step.timing.attempts > 1 else ""
    return f"{image.name}: {outcome}{moved}{tries}"


def _sum_of(report: RunReport, images: Sequence[ImageReport], top: float, scale: Scale) -> Iterator[Markup]:
    """How many of `images` are pulled, and pushed, at each moment: the mean of each column."""
    pulling, pushing = _at_a_time(report, images, "pull"), _at_a_time(report, images, "push")
    most = max(*(a + b for a, b in zip(pulling, pushing, strict=True)), 1.0)
    labels = (f"{count(len(images), 'more image')},", f"up to {most:.0f} at a time")
    for number, label in enumerate(labels):
        yield element("text", label, class_="label", x=_LABELS - 10, y=top + 26 + 16 * number, text_anchor="end")
    width, unit = (scale.right - scale.left) / _COLUMNS, (_SUM_HEIGHT - 6) / most
    for number, columns in enumerate(zip(pulling, pushing, strict=True)):
        x, foot = f"{scale.left + number * width:.1f}", float(top + _SUM_HEIGHT)
        for verb, many in zip(("pull", "push"), columns, strict=True):
            if many:
                foot -= many * unit
                size = {"width": f"{width + 0.3:.1f}", "height": f"{many * unit:.1f}"}
                yield element("rect", class_=f"{verb} column", x=x, y=f"{foot:.1f}", **size)


def _at_a_time(report: RunReport, images: Sequence[ImageReport], verb: Verb) -> list[float]:
    """How many of `images` are moved at a time in each column."""
    columns, seconds = [0.0] * _COLUMNS, max(report.seconds, 0.1) / _COLUMNS
    for image in images:
        step = image.pull if verb == "pull" else image.push
        if step is not None and step.timing is not None and step.state != "earlier":
            begun, ended = (moment - report.started for moment in (step.timing.started, step.timing.ended))
            spread(columns, seconds, begun, ended, step.timing.seconds)
    return columns


def legend(report: RunReport) -> Markup:
    """What the colours mean, of those that there are."""
    states = {step.state for image in report.images for step in image.steps}
    entries = {
        "waiting": ("waits for its turn", True),
        "pull": ("is pulled", bool(report.steps("pull"))),
        "push": ("is pushed", bool(report.steps("push"))),
        "earlier": ("was done by an earlier attempt", "earlier" in states),
        "failed": ("failed", "failed" in states),
    }
    shown = (
        element("span", element("i", class_=f"key {style}"), text, class_="entry")
        for style, (text, is_there) in entries.items()
        if is_there
    )
    return element("p", *shown, class_="legend")
