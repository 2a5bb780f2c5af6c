"""What a lock names, as a table in the terminal."""

from typing import Any

from edgelift.cli.console import say, say_table
from edgelift.sizes import format_size


def show_lock(document: dict[str, Any]) -> None:
    """The images of a `summarise`d lock, their sum, and of a delta its base."""
    rows = [
        (image["reference"], image["digest"][:19], format_size(image["size"]), str(image["manifests"]))
        for image in document["images"]
    ]
    say_table(("IMAGE", "DIGEST", "SIZE", "MANIFESTS"), rows)
    totals = document["totals"]
    size = format_size(totals["unique_bytes"])
    say(f"{totals['images']} images, {totals['unique_blobs']} unique blobs, {size} unique")
    show_base(document["base"], totals["carried_bytes"])
    show_cluster_definition(document["cluster_definition"])


def show_cluster_definition(definition: dict[str, Any] | None) -> None:
    """The cluster definition, where there is one."""
    if definition is not None:
        profiles = ", ".join(f"{each['name']} {each['version']}" for each in definition["profiles"])
        say(f"cluster definition {definition['name']} of {profiles}: {format_size(definition['size'])}")


def show_base(base: dict[str, Any] | None, carried: int) -> None:
    """Of a delta, what it goes on top of and how much of its images is there; of another bundle nothing."""
    if base is not None:
        say(f"delta of {base['name']}, lock {base['lock']}")
        left_out = f"{base['left_out_blobs']} blobs, {format_size(base['left_out_bytes'])}"
        say(f"left out, since the site has them from there: {left_out}; carried: {format_size(carried)}")
