"""`sizes`: what of a lock or bundle costs how much, as tables and as a picture."""

from pathlib import Path
from typing import Annotated

import typer

from edgelift.bundle.attribution import Cost, ImageCost, SizeAttribution, attribute_sizes
from edgelift.cli import options, signing
from edgelift.cli.console import say, say_json, say_table, tell
from edgelift.cli.lock import read_lock
from edgelift.documents import write_document
from edgelift.keys import find_public_key
from edgelift.sizes import format_size

_LAYERS = 10  # shared layers in the table; --json has all of them
_SHARERS = 5  # images of one of them there
_COST = ("TOTAL", "UNIQUE", "SHARED")


def sizes(
    place: Annotated[
        str,
        typer.Argument(
            metavar="LOCK|BUNDLE",
            help="A lock (.json), or a bundle: NAME.tar.zst, the index of its parts, or s3://bucket/key.",
        ),
    ],
    svg: Annotated[
        Path | None,
        typer.Option(
            "--svg",
            metavar="FILE",
            help="Draw a treemap, too: packs, in them images, in them layers.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    public_key: signing.PublicKeyFile = None,
    as_json: options.Json = False,
) -> None:
    """Show what each profile, pack and image costs, and which large layers they share.

    UNIQUE is what would not be carried without it; SHARED is what others need, too.

    Example: edgelift sizes site-7.tar.zst --svg site-7.svg
    """
    lock = read_lock(place, find_public_key(public_key))
    found = attribute_sizes(lock)
    if svg is not None:
        from edgelift.treemap.svg import draw_treemap  # noqa: PLC0415 - only where it is asked for

        write_document(svg, draw_treemap(lock))
        tell(f"treemap: {svg}")
    if as_json:
        say_json({"file": place, "name": lock.definition.name} | found.document())
    else:
        _print(found)


def _print(found: SizeAttribution) -> None:
    say_table(
        ("PROFILE", "PACKS", "IMAGES", *_COST),
        [(each.profile or "none", str(each.packs), str(each.images), *_row(each.cost)) for each in found.profiles],
    )
    say("")
    say_table(
        ("PACK", "IMAGES", *_COST), [(str(each.asker), str(each.images), *_row(each.cost)) for each in found.packs]
    )
    say("")
    say_table(
        ("IMAGE", *_COST, "ASKED FOR BY"),
        [(_name_of(each), *_row(each.cost), ", ".join(map(str, each.askers))) for each in found.images],
    )
    if found.shared:
        say("")
        say_table(("SHARED LAYER", "SIZE", "IMAGES", "NEEDED BY"), _shared_rows(found))
    left_out = f", {format_size(found.left_out)} left out" if found.left_out else ""
    say("")
    if found.cluster_definition is not None:
        say(f"cluster definition {found.cluster_definition.name}: {format_size(found.cluster_definition.size)}")
    say(f"{format_size(found.carried)} carried{left_out}; sharing saves {format_size(found.saved)}")


def _name_of(image: ImageCost) -> str:
    return image.reference if image.kind is None else f"{image.reference} ({image.kind})"


def _row(cost: Cost) -> tuple[str, ...]:
    return format_size(cost.total), format_size(cost.unique), format_size(cost.shared)


def _shared_rows(found: SizeAttribution) -> list[tuple[str, ...]]:
    rows = list[tuple[str, ...]]()
    for piece in found.shared[:_LAYERS]:
        rest = len(piece.images) - _SHARERS
        named = [*piece.images[:_SHARERS], *([f"and {rest} more"] if rest > 0 else [])]
        first = (piece.descriptor.digest[:19], format_size(piece.descriptor.size), str(len(piece.images)))
        rows += [(*(first if number == 0 else ("", "", "")), name) for number, name in enumerate(named)]
    return rows
