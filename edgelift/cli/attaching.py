"""The options that say what goes with the images: packs, and the cluster definition."""

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from edgelift.access import palette_from_environment
from edgelift.attach import download_cluster_definition
from edgelift.attachments import ClusterDefinitionSource, PackSource
from edgelift.bundle.signed import write_signed
from edgelift.cli.console import say, say_json
from edgelift.cli.options import SOURCE
from edgelift.errors import ConfigurationError
from edgelift.explain import explain
from edgelift.keys import read_private_key
from edgelift.site import RegistryAccess, SigningSettings

IncludePacks = Annotated[
    bool,
    typer.Option(
        "--include-packs",
        help="Carry the packs of the profiles, too, from their OCI pack registries.",
        rich_help_panel=SOURCE,
    ),
]
PackRegistryOption = Annotated[
    str | None,
    typer.Option(
        "--pack-registry",
        metavar="HOST[:PORT][/BASE]",
        help="Where the packs of the profiles are; Palette is asked without it.",
        rich_help_panel=SOURCE,
    ),
]
Packs = Annotated[
    list[Path],
    typer.Option(
        "--packs",
        metavar="PATH",
        help="A local pack, with the images it declares: folder or .tar.gz. Repeatable.",
        rich_help_panel=SOURCE,
    ),
]
ImagesOnly = Annotated[
    bool,
    typer.Option("--images-only", help="Of local packs only what they declare, not the packs.", rich_help_panel=SOURCE),
]
ClusterDefinitionName = Annotated[
    str | None,
    typer.Option(
        "--cluster-definition-name",
        metavar="NAME",
        help="Name of the cluster definition that goes with the bundle; its file is NAME.tgz.",
        rich_help_panel=SOURCE,
    ),
]
ClusterDefinitionProfiles = Annotated[
    str,
    typer.Option(
        "--cluster-definition-profile-ids",
        metavar="ID,ID",
        help="The profiles that Palette makes it of, by uid, name or name@version.",
        rich_help_panel=SOURCE,
    ),
]
DownloadClusterConfigOnly = Annotated[
    bool,
    typer.Option(
        "--download-cluster-config-only",
        help="Make the cluster definition alone, and its signature; no bundle.",
        rich_help_panel=SOURCE,
    ),
]


def attached_of(
    *,
    include: bool,
    registry: str | None,
    packs: list[Path],
    images_only: bool,
    definition: ClusterDefinitionSource | None,
) -> dict[str, Any]:
    """The parts of a source that the options ask for; raises `ConfigurationError` where they contradict each other."""
    attached: dict[str, Any] = {"cluster_definition": definition} if definition is not None else {}
    if include or registry or packs or images_only:
        paths = tuple(str(path.absolute()) for path in packs)
        try:
            attached["packs"] = PackSource(include=include, registry=registry, paths=paths, images_only=images_only)
        except ValidationError as error:
            raise ConfigurationError(
                f"--include-packs, --pack-registry, --packs and --images-only do not fit: {explain(error)}"
            ) from None
    return attached


def cluster_definition_of(name: str | None, profiles: str) -> ClusterDefinitionSource | None:
    """The cluster definition that the options ask for; raises `ConfigurationError` where one of them is missing."""
    named = tuple(each.strip() for each in profiles.split(",") if each.strip())
    if name is None and not named:
        return None
    if name is None or not named:
        raise ConfigurationError(
            "a cluster definition has a name and profiles: give --cluster-definition-name and "
            "--cluster-definition-profile-ids"
        )
    try:
        return ClusterDefinitionSource(name=name, profiles=named)
    except ValidationError:
        raise ConfigurationError(
            f"{name[:200]!r} cannot be the name of a cluster definition",
            hint="take up to 100 letters, digits, dots, dashes and underscores, a letter or digit first",
        ) from None


def download_alone(
    source: ClusterDefinitionSource | None,
    project: str | None,
    access: RegistryAccess,
    signing: SigningSettings | None,
    output: Path,
    *,
    as_json: bool,
) -> None:
    """Write the cluster definition into `output`, signed where there is a key, and nothing else; say where it is.

    Raises `ConfigurationError`, `ProfileError`, `PaletteError`, `StoreError`.
    """
    if source is None:
        raise ConfigurationError(
            "--download-cluster-config-only makes a cluster definition, and none is asked for",
            hint="give --cluster-definition-name and --cluster-definition-profile-ids",
        )
    if signing is not None and signing.file is None:
        raise ConfigurationError(
            "a cluster definition alone is made without Prefect, where the block of the key is",
            hint="give the key with --signing-key or --signing-key-fd",
        )
    key = None
    if signing is not None and signing.file is not None:
        passphrase = signing.passphrase_file
        key = read_private_key(Path(signing.file), Path(passphrase) if passphrase else None)
    definition, content = download_cluster_definition(source, lambda: palette_from_environment(project, access))
    path = output / definition.file_name
    write_signed(path, content, key)
    if as_json:
        say_json({"cluster_definition": str(path), **definition.model_dump(mode="json")})
    else:
        say(str(path))
