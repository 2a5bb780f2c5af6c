"""The command for editors: what may stand in a file that people write."""

from typing import Annotated

import typer

from edgelift.cli.console import say
from edgelift.schemas import Kind, schema_of


def schema(
    kind: Annotated[Kind, typer.Argument(help="The file that is written: a definition, or a site file.")],
) -> None:
    """Print the JSON schema of definitions or site files, for editors that check what one types.

    Example: edgelift schema definition > definition.schema.json
    """
    say(schema_of(kind).rstrip())
