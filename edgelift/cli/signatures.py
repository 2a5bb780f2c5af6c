"""The options on signatures of images, and on whatever else refers to them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from edgelift.cli.options import SOURCE
from edgelift.errors import ConfigurationError
from edgelift.site import ContentSource

NoSignatures = Annotated[
    bool,
    typer.Option(
        "--no-signatures",
        help="Do not look for signatures, SBOMs and whatever else refers to the images; they are carried without.",
        rich_help_panel=SOURCE,
    ),
]
RequireSignatures = Annotated[
    bool,
    typer.Option("--require-signatures", help="Refuse images that have no signature.", rich_help_panel=SOURCE),
]
CosignKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--cosign-key",
        metavar="FILE",
        help="With --require-signatures: the public key (PEM) of cosign that has to have signed each image.",
        rich_help_panel=SOURCE,
    ),
]


def rules_of(*, leave_out: bool, require: bool, cosign_key: Path | None) -> dict[str, Any]:
    """What the options change of a `ContentSource`; raises `ConfigurationError` where they are at odds."""
    if leave_out and require:
        raise ConfigurationError("--no-signatures leaves out what --require-signatures asks for: drop one of them")
    if cosign_key is not None and not require:
        raise ConfigurationError("--cosign-key checks the signatures of --require-signatures: give both")
    if cosign_key is not None and not cosign_key.is_file():
        raise ConfigurationError(f"--cosign-key: there is no file {cosign_key}")
    rules: dict[str, Any] = {"signatures": False} if leave_out else {}
    rules |= {"require_signatures": True} if require else {}
    return rules | ({"cosign_key": str(cosign_key.absolute())} if cosign_key is not None else {})


def with_rules(source: ContentSource, rules: dict[str, Any]) -> ContentSource:
    """`source` under `rules`; raises `ConfigurationError` where a metadata file has its own."""
    if rules and source.definition_file is not None:
        raise ConfigurationError(
            "--metadata-file says what is done about signatures: leave out the options that say it, too",
            hint=f"set signatures, require_signatures or cosign_key (PEM) in {source.definition_file}",
        )
    return source.model_copy(update=rules)
