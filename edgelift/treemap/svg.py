"""The treemap as SVG: one file without scripts, for light and dark pages. The same lock gives the same bytes. Pure."""

import colorsys
from collections.abc import Iterator, Sequence

from edgelift.bundle.kinds import count_kinds
from edgelift.bundle.lock import BundleLock
from edgelift.sizes import format_size
from edgelift.treemap.layout import Rectangle, squarify
from edgelift.treemap.text import clean, fit, width
from edgelift.treemap.tree import Node, content_tree

# All lengths are in pixels.
_WIDTH, _HEIGHT, _MARGIN = 1200, 800, 8
_TITLE = 26  # above the boxes
_HEADING = 16  # above what is in a box
_CHARACTER = 6.7  # of the font, whose characters are all as wide as each other
_LINE = 12  # from the top of a box to the foot of its text
_PADDING = 4
_SMALLEST = 36.0  # square pixels: smaller boxes are put together, so that the file has no more than can be seen
_LONGEST = 300  # characters of a line in a tooltip
_HUES = (210, 140, 35, 280, 0, 175, 60, 320)  # degrees; packs take them in turn

# All rules are for what is in the picture: a page that it is part of has others.
_STYLE = """
.treemap text { font: 11px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1f2328; }
.treemap .title { font-size: 13px; font-weight: 600; } .treemap .soft { fill: #59636e; }
.treemap .page { fill: #ffffff; } .treemap rect { stroke: #ffffff; stroke-width: 1; }
.treemap .ground { fill: #e4e6e9; stroke: none; } .treemap .stripe { fill: #d3d6da; stroke: none; }
.treemap .shared { fill: url(#stripes); }
"""
_DARK_STYLE = """
.treemap text { fill: #f0f3f6; } .treemap .soft { fill: #b1bac4; }
.treemap .page { fill: #0d1117; } .treemap rect { stroke: #0d1117; }
.treemap .ground { fill: #3d434b; stroke: none; } .treemap .stripe { fill: #4b525b; stroke: none; }
"""
_STRIPES = (
    '<defs><pattern id="stripes" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="ground" width="8" height="8"/><rect class="stripe" width="4" height="8"/></pattern></defs>'
)


def draw_treemap(lock: BundleLock) -> bytes:
    """What is carried, as boxes whose areas are as their bytes: packs, in them images, in them layers.

    Names of any length and with any characters fit and do no harm; all are whole in the tooltips.
    """
    boxes = content_tree(lock)
    total, name = format_size(sum(box.size for box in boxes)), lock.definition.name
    content = count_kinds(image.kind for image in lock.images)
    content += " and a cluster definition" if lock.cluster_definition is not None else ""
    page = Rectangle(0, 0, _WIDTH, _HEIGHT)
    lines = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
        ' class="treemap" role="img">',
        f"<title>{clean(f'{name}: {total} in {content}')}</title>",
        f"<style>{_STYLE}{_tints(0.77, 0.84, 0.92)}@media (prefers-color-scheme: dark) {{{_DARK_STYLE}"
        f"{_tints(0.3, 0.24, 0.18)}}}\n</style>",
        _STRIPES,
        _rect("page", page),
        *_title_line(f"{name}: {total} in {content}"),
        *_top_boxes(boxes, page.inside(_MARGIN, _TITLE)),
        "</svg>\n",
    )
    return "\n".join(lines).encode()


def _title_line(title: str) -> Iterator[str]:
    """What is shown, at the left, and what the stripes mean, at the right."""
    legend = "striped: several need it, shown once"
    right = _WIDTH - _MARGIN - len(legend) * _CHARACTER
    foot = _MARGIN + _TITLE - 10
    yield f'<text class="title" x="{_MARGIN}" y="{foot}">{clean(_fit(title, (right - 60) * 11 / 13))}</text>'
    yield _rect("shared", Rectangle(right - 24, foot - 11, 18, 13))
    yield f'<text class="soft" x="{right:.1f}" y="{foot}">{legend}</text>'


def _top_boxes(boxes: Sequence[Node], place: Rectangle) -> Iterator[str]:
    for number, (box, rectangle) in enumerate(_placed(boxes, place)):
        hue = "common" if box.kind == "shared" else f"hue{number % len(_HUES)}"
        yield from _box(box, rectangle, f' class="{hue}"')


def _box(box: Node, place: Rectangle, attributes: str = "") -> Iterator[str]:
    """A box, and in it those that it holds, below its name where there is room for both."""
    style = "pack" if box.kind == "shared" and box.children else box.kind
    details = "\n".join(clean(line[:_LONGEST]) for line in box.details)
    yield f"<g{attributes}><title>{details}</title>{_rect(style, place)}"
    within = place.inside(2, _HEADING)
    is_named = within.height > _HEADING or not box.children
    if is_named:
        yield from _text(box, place)
    yield from _boxes(box.children, within if is_named else place.inside(2))
    yield "</g>"


def _boxes(boxes: Sequence[Node], place: Rectangle) -> Iterator[str]:
    for box, rectangle in _placed(boxes, place):
        yield from _box(box, rectangle)


def _placed(boxes: Sequence[Node], place: Rectangle) -> list[tuple[Node, Rectangle]]:
    """The boxes, which are given largest first, and where they go; the small ones as one."""
    if place.area < _SMALLEST or not boxes:
        return []
    bytes_a_pixel = sum(box.size for box in boxes) / place.area
    shown = [box for box in boxes if box.size >= _SMALLEST * bytes_a_pixel]
    small = boxes[len(shown) :]
    if len(small) == 1:
        shown.append(small[0])
    elif small:
        size = sum(box.size for box in small)
        rest = Node("layer", f"{len(small)} more", (f"{len(small)} smaller ones, {format_size(size)}",), size)
        shown = sorted([*shown, rest], key=lambda box: -box.size)
    shown = [box for box in shown if box.size >= bytes_a_pixel]  # what has not even one pixel cannot be seen
    return list(zip(shown, squarify([box.size for box in shown], place), strict=True)) if shown else []


def _text(box: Node, place: Rectangle) -> Iterator[str]:
    """The name of a box, and its size where that has room; of a long name its end, which tells most."""
    room = place.width - 2 * _PADDING
    if place.height < _LINE + _PADDING:
        return
    sized = f"{box.label}  {format_size(box.size)}" if box.children else box.label
    short = _fit(box.label, room) if box.children else format_size(box.size)  # half a size would be a wrong one
    shown = sized if width(sized) * _CHARACTER <= room else short
    if shown and width(shown) * _CHARACTER <= room:
        yield f'<text x="{place.x + _PADDING:.1f}" y="{place.y + _LINE:.1f}">{clean(shown)}</text>'


def _fit(text: str, room: float) -> str:
    return fit(text, int(room / _CHARACTER))


def _rect(style: str, place: Rectangle) -> str:
    return (
        f'<rect class="{style}" x="{place.x:.1f}" y="{place.y:.1f}" '
        f'width="{place.width:.1f}" height="{place.height:.1f}"/>'
    )


def _tints(pack: float, image: float, layer: float) -> str:
    """The colours of packs, images and layers in each hue, so light as these numbers say (0 is black)."""
    tones = (("pack", pack), ("image", image), ("layer", layer))
    hues = [(f"hue{number}", hue, 0.45) for number, hue in enumerate(_HUES)]
    rules = [
        f".treemap .{name} .{kind} {{ fill: {_colour(hue, lightness, saturation)}; }}"
        for name, hue, saturation in (*hues, ("common", 0, 0.0))
        for kind, lightness in tones
    ]
    return "\n".join(rules) + "\n"


def _colour(hue: int, lightness: float, saturation: float) -> str:
    red, green, blue = colorsys.hls_to_rgb(hue / 360, lightness, saturation)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
