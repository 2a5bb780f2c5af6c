"""Which images a pack declares, and where it says so. Pure: macros are not expanded here."""

from typing import NamedTuple

from edgelift.palette.content import Complaint, complain_about_key, list_entries
from edgelift.palette.values import Tree

_CONTAINER_SCHEME = "container://"
_NOT_AVAILABLE = "na"  # what Palette's OS pack holds where the host brings its own system


class DeclaredImage(NamedTuple):
    """One image as the values have it, macros and all, and its path in the values."""

    path: str
    text: str


def find_images(tree: Tree) -> tuple[list[DeclaredImage], list[Complaint]]:
    """The images in `pack.content.images` of a pack's values, and what is wrong with that list."""
    entries, complaints = list_entries(tree, "images")
    images = []
    for entry in entries:
        text = entry.fields.get("image", "")
        if "image" not in entry.fields:
            complaints.append(complain_about_key(entry, "image"))
        elif isinstance(text, str):
            images.append(DeclaredImage(f"{entry.path}.image", text))
        elif text is not None:
            complaints.append(Complaint(f"{entry.path}.image", "this is not a single text"))
    return images, complaints


def clean_reference(text: str) -> str | None:
    """The reference in `text`, without Palette's `container://`; None where it says that there is none (`NA`, "")."""
    reference = text.strip().removeprefix(_CONTAINER_SCHEME)
    return None if not reference or reference.lower() == _NOT_AVAILABLE else reference
