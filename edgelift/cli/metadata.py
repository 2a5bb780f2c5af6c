"""The options about definitions: written to be edited, built from, and what else is said of a bundle in them."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec

import typer
from pydantic import ValidationError

from edgelift.access import open_registries, palette_from_environment
from edgelift.bundle.definition import COMPRESSION_LEVEL, Release
from edgelift.carried import CarriedContent
from edgelift.cli.console import say, say_json, tell
from edgelift.cli.options import OUTPUT, SOURCE
from edgelift.cli.stores import open_named
from edgelift.define import define_bundle
from edgelift.definition_file import read_definition, write_definition
from edgelift.documents import LIMIT, read_text
from edgelift.errors import ConfigurationError
from edgelift.explain import explain
from edgelift.image_list import parse_image_list
from edgelift.site import ContentSource, RegistryAccess
from edgelift.sizes import count

MetadataFile = Annotated[
    Path | None,
    typer.Option(
        "--metadata-file",
        "-f",
        metavar="FILE",
        help="Build what this definition says, as --metadata-only writes it; it may have been edited.",
        rich_help_panel=SOURCE,
    ),
]
MetadataOnly = Annotated[
    bool,
    typer.Option(
        "--metadata-only",
        help="Write DIR/NAME.definition.yaml, to be edited, and move nothing.",
        rich_help_panel=OUTPUT,
    ),
]
ImagesFrom = Annotated[
    list[Path],
    typer.Option(
        "--images-from",
        metavar="FILE",
        help="Further images from a list: one a line, or YAML; - is standard input. Repeatable.",
        rich_help_panel=SOURCE,
    ),
]
ReleaseName = Annotated[
    str | None,
    typer.Option(
        "--application-release-name", metavar="TEXT", help="Release that the bundle carries.", rich_help_panel=SOURCE
    ),
]
ReleaseVersion = Annotated[
    str | None,
    typer.Option("--application-release-version", metavar="TEXT", help="Its version.", rich_help_panel=SOURCE),
]
ReleaseNotes = Annotated[
    str | None, typer.Option("--application-release-notes", metavar="TEXT", help="Its notes.", rich_help_panel=SOURCE)
]
Asked = ParamSpec("Asked")


def source_of(
    metadata_file: Path | None,
    release: Release | None,
    make: Callable[Asked, ContentSource],
    /,
    *positional: Asked.args,
    **asked: Asked.kwargs,
) -> ContentSource:
    """What `make` makes of all that is `asked`, or what a metadata file says; then nothing else may be asked.

    Raises `ConfigurationError`.
    """
    if metadata_file is None:
        return make(*positional, **asked).model_copy(update={"release": release})
    asked.pop("compliance_images", None)  # which the environment may ask for, of every command
    if any(value and (name, value) != ("compression_level", COMPRESSION_LEVEL) for name, value in asked.items()):
        raise ConfigurationError(
            "--metadata-file says all that is to be carried: leave out the options that say it, too",
            hint=f"add to {metadata_file}, or change there, what you want otherwise",
        )
    return ContentSource(definition_file=str(metadata_file.absolute()), release=release)


def name_of(name: str | None, metadata_file: Path | None) -> str | None:
    """The name that was given, else that in the metadata file."""
    return read_definition(metadata_file).name if name is None and metadata_file is not None else name


def release_of(name: str | None, version: str | None, notes: str | None) -> Release | None:
    """The release that the options name; raises `ConfigurationError` where one of them is too long."""
    said = {key: text for key, text in (("name", name), ("version", version), ("notes", notes)) if text}
    try:
        return Release.model_validate(said) if said else None
    except ValidationError as error:
        raise ConfigurationError(f"the application release cannot be told so: {explain(error)}") from None


def images_in(lists: list[Path]) -> list[str]:
    """The references in `lists`; raises `ConfigurationError` that names what is none, with its place."""
    return [reference for path in lists for reference in parse_image_list(*_read_list(path))]


def write(
    name: str,
    source: ContentSource | Path,
    access: RegistryAccess,
    folder: Path,
    store: str | None,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write the definition of what `source` asks for, and say where; raises what `define_bundle` does.

    Raises `ConfigurationError` for a lock, and for what no definition says.
    """
    if isinstance(source, Path):
        raise ConfigurationError("--metadata-only is of what is asked for, and a lock is made: leave out --lock")
    if source.has_attachments:
        raise ConfigurationError(
            "a definition says neither where local packs are nor what a cluster definition is made of",
            hint="leave out --packs and --cluster-definition-name, or --metadata-only",
        )
    with open_registries(access) as connections:
        defined = define_bundle(
            name,
            source,
            lambda: palette_from_environment(source.project, access),
            lambda: CarriedContent(connections.registries, open_named(store)),
        )
    path, definition = write_definition(defined.definition, folder), defined.definition
    if not quiet:
        for warning in defined.warnings:
            tell(f"warning: {warning}")
        packs = f", {count(len(definition.packs), 'pack')}" if definition.packs else ""
        images, charts = count(len(definition.images), "image"), count(len(definition.charts), "chart")
        tell(f"{images}, {charts}{packs}; nothing was moved")
    if as_json:
        say_json({"file": str(path), **definition.model_dump(mode="json", exclude_none=True)})
    else:
        say(str(path))


def _read_list(path: Path) -> tuple[str, str]:
    if path != Path("-"):
        return read_text(path), str(path)
    try:
        text = sys.stdin.buffer.read(LIMIT + 1).decode()
    except UnicodeDecodeError:
        text = "\0"
    if len(text) > LIMIT or "\0" in text:
        raise ConfigurationError("standard input is no list of images", hint="give one reference a line, in UTF-8")
    return text, "standard input"
