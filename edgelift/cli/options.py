"""The options that several commands share, with Palette's names where the meaning is the same."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edgelift.errors import ConfigurationError

# What the options come to is loaded where they are read: most commands take few of them, and none of that.
if TYPE_CHECKING:
    from edgelift.site import ContentSource, OnConflict, TargetSettings

SOURCE = "What to carry"
TARGET = "Where to"
ACCESS = "How to get in"
OUTPUT = "Output"

Bundle = Annotated[
    str,
    typer.Argument(
        metavar="BUNDLE",
        help="A content bundle: NAME.tar.zst, NAME.tar.zst.parts.json or its folder, or s3://bucket/key.",
    ),
]
ProfileFiles = Annotated[
    list[Path],
    typer.Option(
        "--profile-file", metavar="FILE", help="Exported profile, JSON or YAML. Repeatable.", rich_help_panel=SOURCE
    ),
]
Profiles = Annotated[
    str,
    typer.Option(metavar="ID,ID", help="Palette profiles by uid, name or name@version.", rich_help_panel=SOURCE),
]
ProjectId = Annotated[
    str | None, typer.Option("--project-id", metavar="P", help="Palette project, uid or name.", rich_help_panel=SOURCE)
]
Images = Annotated[
    list[str], typer.Option("--image", metavar="REF", help="A further image. Repeatable.", rich_help_panel=SOURCE)
]
Arch = Annotated[
    Literal["amd64", "arm64"] | None,
    typer.Option(
        help="Only this architecture; all are kept without it, and signatures stay valid.", rich_help_panel=SOURCE
    ),
]
AllowExternalLayers = Annotated[
    bool,
    typer.Option(
        "--allow-external-layers",
        help="Carry images without the layers (of Windows) that may not be distributed and that their registry lacks.",
        rich_help_panel=SOURCE,
    ),
]
CompressionLevel = Annotated[
    int,
    typer.Option(
        "--compression-level",
        min=1,
        max=19,
        help="Of zstd, for what is not compressed already. Higher ones take long and gain little.",
        rich_help_panel=SOURCE,
    ),
]
RegistryOption = Annotated[
    str, typer.Option("--registry", "-r", metavar="HOST[:PORT][/BASE]", help="Target registry.", rich_help_panel=TARGET)
]
OptionalRegistry = Annotated[
    str | None,
    typer.Option(
        "--registry", "-r", metavar="HOST[:PORT][/BASE]", help="Check this target, too.", rich_help_panel=TARGET
    ),
]
Maps = Annotated[
    list[str],
    typer.Option(
        "--map",
        metavar="SRC=DST",
        help="Replace a source prefix by a path at the target. The longest match counts. Repeatable.",
        rich_help_panel=TARGET,
    ),
]
HubAliases = Annotated[
    bool,
    typer.Option("--docker-hub-aliases", help="Push docker.io/library/x as docker.io/x, too.", rich_help_panel=TARGET),
]
Conflict = Annotated[
    Literal["fail", "keep", "replace"],
    typer.Option("--on-conflict", help="A tag that stands with another digest.", rich_help_panel=TARGET),
]
Store = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|s3://BUCKET/PREFIX",
        help="Working store; the default is in your cache folder. Runs and `edgelift store` also take block:NAME.",
        rich_help_panel=OUTPUT,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output.", rich_help_panel=OUTPUT)]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Every request and decision.", rich_help_panel=OUTPUT)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.", rich_help_panel=OUTPUT)]


def source_of(
    *,
    profile_files: list[Path],
    profiles: str,
    project: str | None,
    images: list[str],
    arch: Literal["amd64", "arm64"] | None,
    allow_external_layers: bool,
    compression_level: int,
    settings: list[str],
    exclude_profiles: str = "",
    exclude_profile_files: Sequence[Path] = (),
    charts: Sequence[str] = (),
    **further: Any,
) -> "ContentSource":
    """What the source options ask for, those of other modules in `further`; raises `ConfigurationError` for nothing."""
    from edgelift.site import ContentSource  # noqa: PLC0415 - see above

    named = _names(profiles)
    local, beside = getattr(further.get("packs"), "paths", ()), further.keys() - {"packs", "cluster_definition"}
    if not (named or profile_files or images or charts or local or beside):
        raise ConfigurationError(
            "nothing is asked for", hint="name profiles with --profiles or --profile-file, or use --image or --chart"
        )
    return ContentSource(
        profiles=named,
        project=project,
        profile_files=tuple(str(path) for path in profile_files),
        images=tuple(images),
        charts=tuple(charts),
        architecture=arch,
        allow_external_layers=allow_external_layers,
        compression_level=compression_level,
        settings=settings_of(settings),
        exclude_profiles=_names(exclude_profiles),
        exclude_profile_files=tuple(str(path) for path in exclude_profile_files),
        **further,
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def settings_of(texts: list[str]) -> dict[str, str]:
    """The values given with --set; raises `ConfigurationError` for a malformed one."""
    return dict(_setting(text) for text in texts)


def target_settings(
    registry: str, *, maps: list[str], aliases: bool, conflict: "OnConflict", create: bool = False
) -> "TargetSettings":
    """The target, as the target options say; raises `ConfigurationError` where they name none, or make no sense."""
    from edgelift.delivery.target import Target  # noqa: PLC0415 - see above
    from edgelift.oci.ecr import parse_ecr_host  # noqa: PLC0415
    from edgelift.site import TargetSettings  # noqa: PLC0415

    target = Target.parse(registry, tuple(maps))
    if create and parse_ecr_host(target.registry) is None:
        raise ConfigurationError(
            f"--create-repositories is for Amazon ECR, and {target.registry} is none of its registries",
            hint="leave the option out: most registries make repositories by themselves, others in their own way",
        )
    return TargetSettings(
        registry=registry,
        rules=tuple(maps),
        docker_hub_aliases=aliases,
        on_conflict=conflict,
        create_repositories=create,
    )


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigurationError(f"{text!r} is not a setting", hint="write it as --set NAME=VALUE")
    return name.strip(), value
