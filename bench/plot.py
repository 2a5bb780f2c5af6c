"""The plot: wall time of every client and work as bars with their spread, one picture for light and dark pages."""

from collections.abc import Iterator, Sequence
from html import escape

from bench.clients import ENGINE, KINDS, STATES
from bench.figures import TITLES, Figures, Results
from bench.rounds import Work

_WIDTH, _LEFT, _RIGHT = 860, 170, 70  # px; names stand to the left of the bars, figures to the right
_BAR, _GAP, _HEAD = 15, 14, 34  # px
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328; } .head { font-weight: 600; font-size: 14px; }
.end { text-anchor: end; } .soft { fill: #59636e; }
.page { fill: #ffffff; } .ours { fill: #0a6c5b; } .peer { fill: #9aa4ae; } .spread { stroke: #1f2328; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .soft { fill: #9198a1; }
  .page { fill: #0d1117; } .ours { fill: #3fb8a0; } .peer { fill: #57606a; } .spread { stroke: #e6edf3; }
}
"""


def to_svg(results: Results) -> str:
    """One panel for pull, push and copy each, with a group of bars for each state; every panel has its own scale."""
    drawn, height = [], 12
    for kind in KINDS:
        works = [Work(kind, state) for state in STATES]
        longest = max((figures.wall.high for work in works for _, figures in _rows(results, work)), default=0)
        if not longest:
            continue
        drawn.append(_text(12, height + 16, TITLES[kind].capitalize(), "head"))
        height += _HEAD
        for work in works:
            rows = list(_rows(results, work))
            if rows:
                drawn += [_text(12, height + 11, _NAMES[work.state], "soft"), *_bars(rows, height, longest)]
                height += len(rows) * _BAR + _GAP
    drawn.append(_text(12, height + 8, _LEGEND, "soft"))
    height += 20
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}"'
            f' height="{height}" role="img" aria-label="Wall time of each work">',
            f"<style>{_STYLE}</style>",
            f'<rect class="page" width="{_WIDTH}" height="{height}"/>',
            *drawn,
            "</svg>\n",
        )
    )


def _rows(results: Results, work: Work) -> Iterator[tuple[str, Figures]]:
    for client in (ENGINE, *results.peers):
        figures = results.figures(client, work)
        if figures is not None:
            yield client, figures


def _bars(rows: Sequence[tuple[str, Figures]], top: int, longest: float) -> Iterator[str]:
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    for place, (client, figures) in enumerate(rows):
        y, wall = top + place * _BAR, figures.wall
        kind = "ours" if client == ENGINE else "peer"
        yield _text(_LEFT - 6, y + 11, client, "end")
        yield f'<rect class="{kind}" x="{_LEFT}" y="{y + 2}" width="{wall.median * scale:.1f}" height="{_BAR - 4}"/>'
        low, high = (_LEFT + each * scale for each in (wall.low, wall.high))
        middle = y + _BAR / 2
        yield f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>'
        yield _text(max(high, _LEFT) + 6, y + 11, f"{wall.median:.2f}", "")


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}">{escape(text)}</text>'


_LEGEND = "seconds of wall time: median, and the least and greatest of the rounds"
_NAMES = {"first": "from nothing", "again": "again", "changed": "5 % changed"}
