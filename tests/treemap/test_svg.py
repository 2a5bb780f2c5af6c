"""The picture: well-formed, the same for the same lock, harmless whatever names it holds, and readable."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from edgelift.bundle.attribution import Asker
from edgelift.bundle.definition import Origin, RequestedImage
from edgelift.bundle.lock import BundleLock
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.treemap.svg import draw_treemap
from tests.bundle.asked import CALICO, LOCK, NGINX, TOOL, WEB, lock_of
from tests.bundle.content import GZIP, MemoryContent, mixed_content, noise

SVG = "{http://www.w3.org/2000/svg}"
WIDTH, HEIGHT = 1200, 800


def parse(lock: BundleLock) -> ElementTree.Element:
    """The picture of `lock`, as XML."""
    return ElementTree.fromstring(draw_treemap(lock))


def boxes(root: ElementTree.Element, kind: str) -> Iterator[tuple[float, float, float, float]]:
    """Where the boxes of a kind are, the one of the legend left out."""
    for group in root.iter(f"{SVG}g"):
        rectangle = group.find(f"{SVG}rect")
        if rectangle is not None and rectangle.get("class") == kind:
            x, y, width, height = (float(rectangle.get(name, "")) for name in ("x", "y", "width", "height"))
            yield x, y, width, height


def tooltips(root: ElementTree.Element) -> list[str]:
    """What the boxes say."""
    return [str(group.findtext(f"{SVG}title")) for group in root.iter(f"{SVG}g")]


def texts(root: ElementTree.Element) -> list[str]:
    """What is written in the picture."""
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def named(pack: str, reference: str = "quay.io/team/web:1") -> BundleLock:
    """A lock with an image that a pack of this name asks for."""
    lock = lock_of((WEB, (NGINX,)))
    asked = RequestedImage(reference=reference, origins=(Origin(profile="apps", pack=pack, path="x"),))
    return lock.model_copy(update={"definition": lock.definition.model_copy(update={"images": (asked,)})})


def test_it_is_drawn_as_it_is() -> None:
    """Packs, images and shared layers have boxes, names and tooltips; the total stands above them."""
    root = parse(LOCK)

    assert len(list(boxes(root, "pack"))) == 4
    assert len(list(boxes(root, "image"))) == 4
    assert len(list(boxes(root, "shared"))) == 2
    assert texts(root)[0] == "site: 13.4 KiB in 4 images"
    assert any(tip.startswith("apps > nginx\n") for tip in tooltips(root))
    assert any("apps > nginx" in text for text in texts(root))


def test_areas_are_as_bytes() -> None:
    """A pack of twice the bytes has twice the area."""
    content = MemoryContent()
    large, small = (
        content.add_image(f"quay.io/team/{name}:1", [content.add(noise(size, size), GZIP)])
        for name, size in (("large", 400_000), ("small", 200_000))
    )
    root = parse(lock_of((large, (NGINX,)), (small, (CALICO,))))
    areas = [width * height for _, _, width, height in boxes(root, "pack")]

    assert areas[0] / areas[1] == pytest.approx(large.size / small.size, rel=0.01)


def test_nothing_is_outside() -> None:
    """Every box is on the page."""
    for lock in (LOCK, mixed_content()[0]):
        for kind in ("pack", "image", "layer", "shared"):
            for x, y, width, height in boxes(parse(lock), kind):
                assert 0 <= x <= x + width <= WIDTH
                assert 0 <= y <= y + height <= HEIGHT


def test_the_same_lock_gives_the_same_bytes() -> None:
    """Nothing of the moment, the machine or the order of a set is in it."""
    again = BundleLock.from_json(LOCK.to_json())

    assert draw_treemap(LOCK) == draw_treemap(again)


def test_both_kinds_of_pages() -> None:
    """Colours are given for light pages and for dark ones, and each text has a colour in both."""
    style = str(parse(LOCK).findtext(f"{SVG}style"))
    light, dark, _ = re.split(r"@media \(prefers-color-scheme: dark\) \{|\}\n$", style)

    for scheme in (light, dark):
        assert all(rule in scheme for rule in ("text {", ".page {", ".hue0 .layer {", ".common .pack {", ".stripe {"))


def luminance(colour: str) -> float:
    """How light a colour is, 0 to 1 (WCAG 2, "relative luminance")."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_text_can_be_read_on_every_box() -> None:
    """Text has the contrast of 4.5 that WCAG asks for, on every colour of both kinds of pages."""
    style = str(parse(LOCK).findtext(f"{SVG}style"))
    for scheme in re.split("@media", style):
        text = re.findall(r"\btext \{[^}]*fill: (#\w+)", scheme)[0]
        grounds = re.findall(r"\.(?:pack|image|layer|ground|stripe|page) \{ fill: (#\w+)", scheme)

        assert len(grounds) > 25
        for ground in grounds:
            lighter, darker = sorted((luminance(text), luminance(ground)), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) > 4.5, (text, ground)


HOSTILE = {
    "markup": "</title><script>alert(1)</script>",
    "quotes": '"\' onload="x',
    "ampersands": "a & b &amp; c &#60;",
    "controls": "a\x00b\x1b[31mc\x7f",
    "reversed": "abc\u202etxt.exe",
    "no character": "a\ufffeb\uffffc",
    "lines": "a\nb\r\nc",
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_names_of_strangers_do_no_harm(name: str) -> None:
    """Whatever a pack is called: the picture stays well-formed, has no script, and turns no text around."""
    svg = draw_treemap(named(name)).decode()
    root = ElementTree.fromstring(svg)

    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "title", "style", "defs", "pattern", "rect", "g", "text")
    }
    assert all(not key.startswith("on") for element in root.iter() for key in element.attrib)
    assert not set("\x00\x1b\x7f\u202e\ufffe\uffff") & set(svg)


def test_names_are_whole_in_the_tooltips() -> None:
    """Markup in a name is shown as it is written; only absurdly long ones are cut."""
    tips = tooltips(parse(named("a <b> & 'c'")))

    assert tips[0].splitlines()[0] == "apps > a <b> & 'c'"
    assert max(len(line) for tip in tooltips(parse(named("x" * 10_000))) for line in tip.splitlines()) == 300


@pytest.mark.parametrize("name", ["n" * 500, "漢字" * 200, "ü" * 500], ids=["latin", "wide", "accents"])
def test_long_names_stay_in_their_boxes(name: str) -> None:
    """No text is longer than there is room for; what is cut is cut at its beginning."""
    root = parse(named(name))
    shown = [text for text in texts(root) if name[-3:] in text]

    assert shown
    for text in shown:
        width = sum(2 if each in "漢字" else 1 for each in text) * 6.7
        assert width <= WIDTH
        assert text.startswith("…")


def test_sizes_are_whole_or_not_there() -> None:
    """A size that is cut would be another one: where it has no room, it is left out."""
    content = MemoryContent()
    layers = [content.add(noise(size, size), GZIP) for size in range(20_000, 50_000, 1_000)]
    image = content.add_image("quay.io/team/layers:1", layers)
    shown = [text for text in texts(parse(lock_of((image, (NGINX,))))) if "KiB" in text]

    assert len(shown) > 10
    assert not [text for text in shown if text.startswith("…")]


def test_a_great_many_images_stay_a_small_file() -> None:
    """What is too small to be seen is put together, and counted."""
    content = MemoryContent()
    layer = Descriptor(media_type=GZIP, digest=Digest.of(b"large"), size=10**10)
    large = content.add_image("quay.io/team/large:1", [layer])
    small = [
        content.add_image(f"quay.io/team/small-{number}:1", [content.add(noise(10 + number % 7, number), GZIP)])
        for number in range(1_500)
    ]
    lock = lock_of((large, (NGINX,)), *((image, (NGINX,)) for image in small))
    svg = draw_treemap(lock)

    assert len(svg) < 100_000
    assert re.search(r"<title>\d+ smaller ones, ", svg.decode())


def test_one_image_and_none() -> None:
    """The smallest locks have a picture, too."""
    alone = lock_of((TOOL, (Asker("apps", "tool"),)))

    assert texts(parse(alone))[0].endswith("in 1 image")
    assert texts(parse(lock_of()))[0] == "site: 0 B in 0 images"
