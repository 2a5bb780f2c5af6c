"""A lock, from wherever people keep it, and what it names as a table in the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelift.bundle.kinds import count_kinds, name_of
from edgelift.bundle.lock import ArtifactKind, BundleLock
from edgelift.bundle.part_files import find_index
from edgelift.bundle.signed import check_lock, read_signed
from edgelift.bundle.source import is_object
from edgelift.bundle.stream import open_for_lock
from edgelift.cli.console import say, say_table
from edgelift.sizes import count, format_size

if TYPE_CHECKING:
    from edgelift.bundle.signature import PublicKey


def read_lock(place: str, key: "PublicKey | None") -> BundleLock:
    """The lock at `place`, which is one (.json) or a bundle that holds one; with a `key` it has to be signed."""
    path = Path(place)
    if not is_object(place) and path.suffix == ".json" and find_index(path) is None:
        return BundleLock.from_json(read_signed(path, key), place)
    with open_for_lock(place) as opened:
        check_lock(opened, key)
        return opened.lock


def show_lock(document: dict[str, Any]) -> None:
    """The release of a `summarise`d lock, its images, their sum, and of a delta its base."""
    show_release(document["release"], document["annotations"])
    rows = [
        (_name_of(image), image["digest"][:19], format_size(image["size"]), str(image["manifests"]))
        for image in document["images"]
    ]
    say_table(("IMAGE", "DIGEST", "SIZE", "MANIFESTS"), rows)
    totals = document["totals"]
    size = format_size(totals["unique_bytes"])
    kinds = count_kinds(_kind_of(image) for image in document["images"])
    say(f"{kinds}, {count(totals['unique_blobs'], 'unique blob')}, {size} unique")
    if totals["referrers"]:
        signed = sum(image["signed"] for image in document["images"])
        say(
            f"signed images: {signed}; signatures and other referrers that are carried with them: {totals['referrers']}"
        )
    show_base(document["base"], totals["carried_bytes"])
    show_cluster_definition(document["cluster_definition"])


def show_cluster_definition(definition: dict[str, Any] | None) -> None:
    """The cluster definition, where there is one."""
    if definition is not None:
        profiles = ", ".join(f"{each['name']} {each['version']}" for each in definition["profiles"])
        say(f"cluster definition {definition['name']} of {profiles}: {format_size(definition['size'])}")


def _name_of(image: dict[str, Any]) -> str:
    return name_of(image["reference"], _kind_of(image))


def _kind_of(image: dict[str, Any]) -> ArtifactKind | None:
    kind: ArtifactKind | None = image["kind"] if image["kind"] != "image" else None
    return kind


def show_release(release: dict[str, str] | None, annotations: dict[str, str]) -> None:
    """What people have said of the bundle, where they have said something."""
    if release is not None:
        say(" ".join(filter(None, ("release", release.get("name"), release.get("version")))))
    for line in (release or {}).get("notes", "").splitlines():
        say(f"  {line}")
    for key, value in annotations.items():
        say(f"annotation {key}={value}")


def show_base(base: dict[str, Any] | None, carried: int) -> None:
    """Of a delta, what it goes on top of and how much of its images is there; of another bundle nothing."""
    if base is not None:
        say(f"delta of {base['name']}, lock {base['lock']}")
        left_out = f"{count(base['left_out_blobs'], 'blob')}, {format_size(base['left_out_bytes'])}"
        say(f"left out, since the site has them from there: {left_out}; carried: {format_size(carried)}")
