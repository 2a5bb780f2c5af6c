"""Bundles in parts, and bundles made again: the option that cuts, and `reassemble`."""

from pathlib import Path
from typing import Annotated

import typer

from edgelift.bundle.parts import check_part_size
from edgelift.bundle.remake import remake_parts
from edgelift.bundle.signed import check_lock
from edgelift.bundle.source import is_object
from edgelift.bundle.stream import BundleStream, open_for_lock, reassemble_bundle
from edgelift.cli import options
from edgelift.cli.console import say, say_json
from edgelift.cli.quantities import parse_size
from edgelift.cli.stores import open_standing_named
from edgelift.errors import ConfigurationError
from edgelift.keys import find_public_key
from edgelift.sizes import count, format_size

PartSizeOption = Annotated[
    str | None,
    typer.Option(
        "--part-size",
        metavar="SIZE",
        help="Write the bundle in parts of this size, for smaller media (4GB for FAT32): NAME.tar.zst.part-0001 … and "
        "NAME.tar.zst.parts.json, which stands for the bundle.",
        rich_help_panel=options.OUTPUT,
    ),
]


def part_size_of(text: str | None) -> int | None:
    """The bytes of a part; raises `ConfigurationError` where that is no size, or too small."""
    if text is None:
        return None
    size = parse_size(text, "--part-size")
    check_part_size(size, 0)
    return size


def reassemble(
    bundle: options.Bundle,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="NEW",
            help="Write the bundle here; with --part, the parts into this folder.",
        ),
    ] = None,
    part_size: PartSizeOption = None,
    part: Annotated[
        list[int],
        typer.Option(metavar="N", help="Make only part N again, of a bundle in parts, from its lock. Repeatable."),
    ] = [],  # noqa: B006 - typer copies it
    lock: Annotated[
        Path | None, typer.Option(metavar="L.json", help="With --part: its lock, where it is not beside the index.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(metavar="DIR", help="With --part: the store that has the content.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Make a bundle again what it was: one that another tool has compressed again, or lost parts of one in parts.

    Example: edgelift reassemble recompressed.tar.zst --output site-7.tar.zst

    Or, where the lock and the store are: edgelift reassemble site-7.tar.zst.parts.json --part 2 --part 3
    """
    if part:
        if is_object(bundle):
            raise ConfigurationError("parts are made again on a disk", hint="copy the index and the lock to a folder")
        if part_size is not None:
            raise ConfigurationError("--part makes parts of the size that the index says: leave out --part-size")
        made = remake_parts(Path(bundle), part, open_standing_named(store), lock, find_public_key(None), folder=output)
        if as_json:
            say_json({"parts": list(map(str, made))})
        for path in () if as_json else made:
            say(f"{path}: {format_size(path.stat().st_size)}")
        return
    if output is None:
        raise ConfigurationError(
            "where to is not said", hint="name the new file with --output, or parts to make again with --part"
        )
    if lock is not None or store is not None:
        raise ConfigurationError("--lock and --store are for parts: say which with --part")
    size = part_size_of(part_size)
    with open_for_lock(bundle) as opened:
        # The same open file, whatever has its name by now: what is checked is what is written.
        stream = opened if isinstance(opened, BundleStream) else BundleStream(opened.tar.source)
        check_lock(stream, find_public_key(None))
        summary = reassemble_bundle(stream, output, part_size=size)
    if as_json:
        say_json({"path": str(summary.path), "size": summary.size, "parts": list(map(str, summary.parts))})
        return
    parts = f" in {count(len(summary.parts), 'part')}" if summary.parts else ""
    say(f"{summary.path}: {count(summary.images, 'image')}, {format_size(summary.size)}{parts}")
