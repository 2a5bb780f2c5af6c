"""Where the rectangles of a treemap go. Pure; lengths are in pixels."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Rectangle(NamedTuple):
    """A rectangle by its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Square pixels."""
        return self.width * self.height

    def inside(self, border: float, heading: float = 0.0) -> "Rectangle":
        """What is left of it within a `border` and below a `heading`; nothing, where these take all of it."""
        width, height = self.width - 2 * border, self.height - 2 * border - heading
        return Rectangle(self.x + border, self.y + border + heading, max(width, 0.0), max(height, 0.0))


def squarify(sizes: Sequence[int], place: Rectangle) -> list[Rectangle]:
    """A rectangle for each of `sizes`, which are above zero and fall; they fill `place`, as square as may be.

    Rows are laid along the shorter side of what is left, and each is filled for as long as its rectangles get squarer
    by that (Bruls, Huizing and van Wijk, "Squarified Treemaps", 2000).
    """
    scale = place.area / sum(sizes)
    areas, laid = [size * scale for size in sizes], list[Rectangle]()
    while len(laid) < len(areas):
        row = _next_row(areas, len(laid), min(place.width, place.height))
        rectangles, place = _lay(row, place)
        laid += rectangles
    return laid


def _next_row(areas: Sequence[float], start: int, side: float) -> Sequence[float]:
    total, best = 0.0, math.inf
    for number in range(start, len(areas)):
        total += areas[number]
        worst = _worst_ratio(areas[start], areas[number], total, side)
        if worst > best:
            return areas[start:number]
        best = worst
    return areas[start:]


def _worst_ratio(largest: float, smallest: float, total: float, side: float) -> float:
    """That of the sides of the least square rectangle in a row along `side`."""
    depth = total / side
    return max(depth * depth / smallest, largest / (depth * depth))


def _lay(row: Sequence[float], place: Rectangle) -> tuple[list[Rectangle], Rectangle]:
    """The rectangles of a row along the shorter side of `place`, and what is left of that."""
    x, y, width, height = place
    if width >= height:
        depth, laid = sum(row) / height, list[Rectangle]()
        for area in row:
            laid.append(Rectangle(x, y, depth, area / depth))
            y += area / depth
        return laid, Rectangle(x + depth, place.y, width - depth, height)
    turned, rest = _lay(row, Rectangle(y, x, height, width))
    return [_turned(each) for each in turned], _turned(rest)


def _turned(place: Rectangle) -> Rectangle:
    return Rectangle(place.y, place.x, place.height, place.width)
