"""The options that say what need not be carried, or fetched, once more."""

from pathlib import Path
from typing import Annotated

import typer

from edgelift.access import default_place
from edgelift.bundle.source import is_object
from edgelift.cli.options import ACCESS, SOURCE
from edgelift.cli.stores import runs_of
from edgelift.delivery.base import read_base
from edgelift.errors import ConfigurationError
from edgelift.keys import find_public_key
from edgelift.store.opening import is_block

Base = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="RECEIPT|LOCK|BUNDLE",
        help="Leave out the blobs that the site has from this: what a receipt proves, or all of a lock or bundle.",
        rich_help_panel=SOURCE,
    ),
]
ExcludeProfiles = Annotated[
    str,
    typer.Option(
        "--exclude-profiles",
        metavar="ID,ID",
        help="Leave out the images and charts that these Palette profiles hold.",
        rich_help_panel=SOURCE,
    ),
]
ExcludeProfileFiles = Annotated[
    list[Path],
    typer.Option(
        "--exclude-profile-file",
        metavar="FILE",
        help="Leave out what this exported profile holds. Repeatable.",
        rich_help_panel=SOURCE,
    ),
]
ExistingBundles = Annotated[
    list[Path],
    typer.Option(
        "--existing-bundles",
        metavar="PATH",
        help="Take blobs from this bundle, or from the bundles in this folder, where they have them. Repeatable.",
        rich_help_panel=ACCESS,
    ),
]


def base_of(base: str | None, store: str | None) -> str | None:
    """The base as a flow takes it, looked at now: what is wrong with it is told before Prefect starts.

    But for a store that is in a block, which takes Prefect.
    """
    if base is None:
        return None
    place = base if is_object(base) else str(Path(base).absolute())
    if not is_block(store or default_place()):
        read_base(place, runs_of(store), find_public_key(None))
    return place


def existing_of(paths: list[Path]) -> tuple[str, ...]:
    """The existing bundles as a flow takes them; raises `ConfigurationError` where one is not there."""
    for path in paths:
        if not path.exists():
            raise ConfigurationError(f"--existing-bundles: there is no {path}")
    return tuple(str(path.absolute()) for path in paths)
