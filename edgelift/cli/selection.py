"""The option that says which entries of a bundle are meant."""

from typing import Annotated

import typer

from edgelift.cli.options import TARGET

Selector = Annotated[
    str | None,
    typer.Option(
        "--annotation-selector",
        metavar="KEY=VALUE,…",
        help="Only the entries with all of these annotations, such as edgelift.profile=apps.",
        rich_help_panel=TARGET,
    ),
]
