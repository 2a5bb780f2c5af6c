"""Images that packs use and do not declare: the option that carries them, the question, and the look at them."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from edgelift.access import open_registries, palette_from_environment
from edgelift.carried import CarriedContent
from edgelift.cli.console import say, say_json, say_table, tell
from edgelift.cli.options import OUTPUT, SOURCE
from edgelift.cli.stores import open_named
from edgelift.define import look_for_undeclared, read_exported
from edgelift.define_undeclared import fetch_charts
from edgelift.errors import ConfigurationError
from edgelift.oci.reference import ImageReference
from edgelift.palette.models import ClusterProfile, Pack
from edgelift.palette.resolve import resolve_profiles
from edgelift.palette.undeclared.choice import describe_tags
from edgelift.palette.undeclared.content import PackContent
from edgelift.palette.undeclared.findings import PackReport, UsedImage
from edgelift.palette.undeclared.folder import is_pack, read_local_pack
from edgelift.palette.undeclared.helm import find_helm
from edgelift.palette.undeclared.pack import profile_of
from edgelift.palette.undeclared.profiles import Charts, find_undeclared
from edgelift.site import ContentSource, RegistryAccess
from edgelift.sizes import count

IncludeUndeclared = Annotated[
    Literal["ask", "none", "confident", "all"] | None,
    typer.Option(
        "--include-undeclared",
        help="Carry images that packs use and do not declare: those that are certain or likely, all, or ask for each.",
        rich_help_panel=SOURCE,
    ),
]
FindUndeclared = Annotated[
    bool,
    typer.Option(
        "--undeclared", help="List the images that packs use and do not declare instead.", rich_help_panel=OUTPUT
    ),
]
FetchCharts = Annotated[
    bool,
    typer.Option(
        "--fetch-charts",
        help="With --undeclared: fetch the Helm charts that they declare, and look into these, too.",
        rich_help_panel=OUTPUT,
    ),
]
_Asked = TypeVar("_Asked", ContentSource, "ContentSource | Path")


def with_undeclared(source: _Asked, wanted: str | None, access: RegistryAccess, store: str | None) -> _Asked:
    """`source` with the policy of `--include-undeclared`; raises `ConfigurationError` where it cannot be followed.

    Who wants to be asked is asked of all that a build would look into, which comes into `store` for that.
    """
    if wanted is None:
        return source
    if isinstance(source, Path):
        raise ConfigurationError("--lock is built as it is: leave out --include-undeclared")
    if wanted != "ask":
        return source.model_copy(update={"include_undeclared": wanted})
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigurationError(
            "--include-undeclared ask needs a terminal to ask at", hint="take none, confident or all instead"
        )
    with open_registries(access) as connections:
        reports = look_for_undeclared(
            source,
            lambda: palette_from_environment(source.project, access),
            lambda: CarriedContent(connections.registries, open_named(store)),
        )
    return source.model_copy(update={"include_undeclared": tuple(_ask(reports))})


def show_undeclared(
    paths: Sequence[Path],
    settings: Mapping[str, str],
    access: RegistryAccess,
    store: str | None,
    *,
    fetch: bool,
    as_json: bool,
) -> None:
    """Print what is found in exported profiles and packs of this machine, whose charts are looked at, too.

    Where it may `fetch`, so are the charts that they name.
    """
    profiles: list[ClusterProfile] = []
    contents: dict[Pack, PackContent] = {}
    for path in paths:
        if is_pack(path):
            content = read_local_pack(path)
            profiles.append(profile_of(content))
            contents[profiles[-1].packs[0]] = content
        else:
            profiles += read_exported([str(path)])
    charts = _fetch(profiles, settings, access, store) if fetch else {}
    helm = find_helm() if contents or charts else None
    reports = find_undeclared(profiles, settings, contents=contents, charts=charts, helm=helm)
    if as_json:
        say_json({"packs": [report.model_dump(mode="json") for report in reports]})
        return
    _print(reports)


def _fetch(
    profiles: Sequence[ClusterProfile], settings: Mapping[str, str], access: RegistryAccess, store: str | None
) -> Charts:
    """The charts that `profiles` declare."""
    with open_registries(access) as connections:
        carried = CarriedContent(connections.registries, open_named(store))
        return fetch_charts(resolve_profiles(profiles, settings).charts, carried)


def _ask(reports: Sequence[PackReport]) -> Iterator[str]:
    """The references that the operator says yes to; each is asked for once."""
    asked: set[str] = set()
    for report in reports:
        for image in report.undeclared:
            is_askable = image.is_complete or image.untagged is not None
            if is_askable and image.image not in asked:
                asked.add(image.image)
                place = image.evidence[0] if image.evidence else ""
                tell(f"{report.pack}: {image.image} ({image.confidence}: {image.reason}; {place})")
                yield from _ask_for_tag(image) if image.untagged is not None else _ask_whether(image)


def _ask_whether(image: UsedImage) -> Iterator[str]:
    if typer.confirm("  carry it?", default=image.is_confident, err=True):
        yield image.image


def _ask_for_tag(image: UsedImage) -> Iterator[str]:
    question = f"  carry it with which tag{describe_tags(image)}? none leaves it out"
    tag = typer.prompt(question, default="", show_default=False, err=True).strip()
    if tag:
        yield str(ImageReference.parse(f"{image.untagged}:{tag}"))


def _print(reports: Sequence[PackReport]) -> None:
    rows = [row for report in reports for row in _rows(report)]
    if rows:
        say_table(("PACK", "IMAGE", "CONFIDENCE", "USED AT"), rows)
    for report in reports:
        for remark in report.remarks:
            tell(f"{_label(report)}: {remark.message}")
    images = {image.image: image for report in reports for image in report.undeclared}
    sure = sum(image.is_confident for image in images.values())
    used, packs = count(len(images), "image is", "images are"), count(len(reports), "pack")
    (say if not rows else tell)(f"{used} used and not declared, {sure} of them certain or likely, in {packs}")


def _rows(report: PackReport) -> Iterator[tuple[str, str, str, str]]:
    for position, image in enumerate(report.undeclared):
        place = str(image.evidence[0]) if image.evidence else ""
        yield (_label(report) if position == 0 else "", image.image, image.confidence, f"{place} ({_why(image)})")


def _why(image: UsedImage) -> str:
    floats = "; it changes with time" if image.is_floating else ""
    tags = f"; its tag may be {' or '.join(image.tags)}" if image.tags else ""
    declared = f"; declared is {', '.join(image.declared_as)}" if image.declared_as else ""
    return f"{image.reason}{floats}{tags}{declared}"


def _label(report: PackReport) -> str:
    return f"{report.profile} > {report.pack}" if report.profile else report.pack
