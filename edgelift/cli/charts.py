"""The option that asks for Helm charts by name."""

from typing import Annotated

import typer

from edgelift.cli.options import SOURCE

Charts = Annotated[
    list[str],
    typer.Option(
        "--chart",
        metavar="CHART",
        help="A further Helm chart: oci://HOST/PATH/NAME:VERSION, or URL#NAME:VERSION with the URL of its repository "
        "or archive. VERSION may be a range, such as ^1.2. Repeatable.",
        rich_help_panel=SOURCE,
    ),
]
