"""Where rectangles go: they fill their place, in the right sizes, and are not needlessly thin."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelift.treemap.layout import Rectangle, squarify

PLACE = Rectangle(10, 20, 600, 400)
SIZES = {
    "one": [7],
    "equal": [1] * 12,
    "of the paper": [6, 6, 4, 3, 2, 2, 1],
    "one giant": [1_000_000, 3, 2, 1],
    "bytes": [5_368_709_120, 1_073_741_824, 52_428_800, 4_096],
}


def assert_fills(rectangles: list[Rectangle], sizes: list[int], place: Rectangle) -> None:
    """Every rectangle has its share of `place`, is within it, and overlaps no other."""
    assert len(rectangles) == len(sizes)
    for rectangle, size in zip(rectangles, sizes, strict=True):
        assert rectangle.area == pytest.approx(place.area * size / sum(sizes), rel=1e-6)
        assert rectangle.x >= place.x - 1e-6
        assert rectangle.y >= place.y - 1e-6
        assert rectangle.x + rectangle.width <= place.x + place.width + 1e-6
        assert rectangle.y + rectangle.height <= place.y + place.height + 1e-6
    for number, one in enumerate(rectangles):
        for other in rectangles[number + 1 :]:
            apart_x = max(one.x, other.x) - min(one.x + one.width, other.x + other.width)
            apart_y = max(one.y, other.y) - min(one.y + one.height, other.y + other.height)
            assert max(apart_x, apart_y) >= -1e-6


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("place", [PLACE, Rectangle(0, 0, 40, 900)], ids=["wide", "high"])
def test_they_fill_their_place(sizes: list[int], place: Rectangle) -> None:
    """Areas are as sizes, nothing lies outside, nothing lies on something else."""
    assert_fills(squarify(sizes, place), sizes, place)


@settings(deadline=None)  # a busy machine has no say in what is right
@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=40))
def test_they_fill_their_place_whatever_the_sizes(sizes: list[int]) -> None:
    """So it is with any sizes that fall."""
    falling = sorted(sizes, reverse=True)

    assert_fills(squarify(falling, PLACE), falling, PLACE)


def test_the_example_of_the_paper() -> None:
    """Two at the left, above each other; then two beside each other, and so on."""
    found = squarify([6, 6, 4, 3, 2, 2, 1], Rectangle(0, 0, 6, 4))

    assert [tuple(round(each, 2) for each in rectangle) for rectangle in found[:4]] == [
        (0, 0, 3, 2),
        (0, 2, 3, 2),
        (3, 0, 1.71, 2.33),
        (4.71, 0, 1.29, 2.33),
    ]


def test_no_needless_strips() -> None:
    """Of equal sizes none is more than twice as long as it is wide."""
    ratios = [max(each.width / each.height, each.height / each.width) for each in squarify([1] * 30, PLACE)]

    assert max(ratios) < 2


def test_inside() -> None:
    """Borders and headings take their room, and never more than there is."""
    assert PLACE.inside(5, 10) == Rectangle(15, 35, 590, 380)
    assert Rectangle(0, 0, 8, 8).inside(5, 10).area == 0
