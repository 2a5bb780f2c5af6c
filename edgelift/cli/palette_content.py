"""The options about what Palette knows beside profiles: values of macros, edge hosts, images of its own services.

The names are those of Palette's CLI. Its defaults are not: what is not asked for here is not carried.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from edgelift.agent_services import AgentServices
from edgelift.cli.options import SOURCE
from edgelift.documents import read_document
from edgelift.errors import ConfigurationError

Settings = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Value of a macro or a variable: kubernetes.version=1.32.1, var.TAG=2.0, macro.registry=x. Repeatable.",
        rich_help_panel=SOURCE,
    ),
]
EdgeHosts = Annotated[
    str | None,
    typer.Option(
        "--edge-hosts",
        metavar="TAG",
        help="Where none are named: profiles and architecture of Palette's edge hosts with this tag (key:value).",
        rich_help_panel=SOURCE,
    ),
]
CoreImages = Annotated[
    bool,
    typer.Option(
        "--include-core-palette-images-only",
        help="Also carry the images of Palette's agent that create a cluster. Not the default; needs the API.",
        rich_help_panel=SOURCE,
    ),
]
ServiceImages = Annotated[
    bool,
    typer.Option(
        "--include-service-images",
        help="Also carry all images of Palette's agent and services. Not the default, as it is in Palette's CLI: "
        "without this, only what profiles declare is carried. Needs the API; exported profiles have none of them.",
        rich_help_panel=SOURCE,
    ),
]
ComplianceImages = Annotated[
    bool,
    typer.Option(
        "--include-compliance-images",
        envvar="INCLUDE_COMPLIANCE_IMAGES",
        help="Also carry the images of compliance scans, which the file of --agent-services has to list.",
        rich_help_panel=SOURCE,
    ),
]
Fips = Annotated[
    bool,
    typer.Option("--fips", help="Take the FIPS variants of those images of Palette's.", rich_help_panel=SOURCE),
]
AgentServicesFile = Annotated[
    Path | None,
    typer.Option(
        "--agent-services",
        metavar="FILE",
        help="YAML that says which services of Palette are core, day_two and compliance, instead of the default.",
        rich_help_panel=SOURCE,
    ),
]


def palette_content_of(
    edge_hosts: str | None, *, core: bool, services: bool, compliance: bool, fips: bool, file: Path | None
) -> dict[str, Any]:
    """The fields of a `ContentSource` that these options set; raises `ConfigurationError` where they make no sense."""
    if core and services:
        raise ConfigurationError(
            "--include-core-palette-images-only and --include-service-images exclude one another", hint="take one"
        )
    if not (core or services or compliance) and (fips or file is not None):
        raise ConfigurationError(
            "--fips and --agent-services are about the images of Palette's agent, and none are asked for",
            hint="ask for them with --include-service-images or --include-core-palette-images-only",
        )
    fields: dict[str, Any] = {
        "edge_hosts": edge_hosts,
        "agent_images": "core" if core else "all" if services else None,
        "compliance_images": compliance or None,
        "fips": fips or None,
        "agent_services": AgentServices.from_yaml(_text(file), str(file)) if file is not None else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _text(file: Path) -> str:
    try:
        return read_document(file).decode()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file} is not a text file in UTF-8") from None
