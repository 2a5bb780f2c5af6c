"""What a lock names, as a table in the terminal."""

from typing import Any

from edgelift.bundle.kinds import count_kinds, name_of
from edgelift.bundle.lock import ArtifactKind
from edgelift.cli.console import say, say_table
from edgelift.sizes import format_size


def show_lock(document: dict[str, Any]) -> None:
    """The images of a `summarise`d lock, their sum, and of a delta its base."""
    rows = [
        (_name_of(image), image["digest"][:19], format_size(image["size"]), str(image["manifests"]))
        for image in document["images"]
    ]
    say_table(("IMAGE", "DIGEST", "SIZE", "MANIFESTS"), rows)
    totals = document["totals"]
    size = format_size(totals["unique_bytes"])
    kinds = count_kinds(_kind_of(image) for image in document["images"])
    say(f"{kinds}, {totals['unique_blobs']} unique blobs, {size} unique")
    show_base(document["base"], totals["carried_bytes"])


def _name_of(image: dict[str, Any]) -> str:
    return name_of(image["reference"], _kind_of(image))


def _kind_of(image: dict[str, Any]) -> ArtifactKind | None:
    kind: ArtifactKind | None = image["kind"] if image["kind"] != "image" else None
    return kind


def show_base(base: dict[str, Any] | None, carried: int) -> None:
    """Of a delta, what it goes on top of and how much of its images is there; of another bundle nothing."""
    if base is not None:
        say(f"delta of {base['name']}, lock {base['lock']}")
        left_out = f"{base['left_out_blobs']} blobs, {format_size(base['left_out_bytes'])}"
        say(f"left out, since the site has them from there: {left_out}; carried: {format_size(carried)}")
