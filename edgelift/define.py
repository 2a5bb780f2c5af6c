"""Define: from what is asked for (profiles, files, single images) to the definition of a bundle."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from edgelift.agent_images import AgentContent, read_agent_images
from edgelift.bundle.definition import BundleDefinition, Origin, Release, RequestedChart, RequestedImage
from edgelift.carried import CarriedContent
from edgelift.charts.repository import ChartName
from edgelift.define_packs import ask_for_packs, resolve_with_packs
from edgelift.define_undeclared import Carried, find_used
from edgelift.definition_file import read_definition
from edgelift.derive import derive_source
from edgelift.documents import read_text
from edgelift.errors import ConfigurationError, MalformedReferenceError
from edgelift.image_list import parse_image_list
from edgelift.keys import read_cosign_key
from edgelift.oci.reference import ImageReference
from edgelift.packs.local import LocalPack, read_packs
from edgelift.packs.names import is_local
from edgelift.palette.client import PaletteClient
from edgelift.palette.export import parse_exported_profile
from edgelift.palette.models import ClusterProfile
from edgelift.palette.resolve import Resolution, resolve_profiles
from edgelift.palette.undeclared.choice import choose, tell
from edgelift.palette.undeclared.findings import PackReport
from edgelift.site import ContentSource

OpenPalette = Callable[[], PaletteClient]
OpenCarried = Callable[[], CarriedContent]

BY_NAME = Origin(profile="", pack="", path="name")  # of what is no profile's: it is asked for by name


@dataclass(frozen=True)
class Defined:
    """A definition, a line for each thing the operator should mind, and one for each that was found out on the way."""

    definition: BundleDefinition
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()


def define_bundle(
    name: str, source: ContentSource, open_palette: OpenPalette, open_carried: OpenCarried | None = None
) -> Defined:
    """Read the profiles of `source` and list what they declare; `open_palette` is called only where it is needed.

    Or read its definition file, which says all of it but the `name`. Where undeclared images are to be carried, they
    are looked for in the charts and packs, too, that `open_carried` reads.

    The order in which things are asked for does not matter: the same content gives the same definition. Raises
    `ProfileError` with every problem that makes a reference unusable, `ConfigurationError`, `PaletteError`.
    """
    check_name(name)
    if source.definition_file is not None:
        return Defined(_renamed(read_definition(Path(source.definition_file)), name, source.release), ())
    asked = _Asked.of(source, open_palette)
    source, images, packs = asked.source, asked.images, asked.packs
    resolution, held = asked.resolve()
    reader = open_carried() if source.include_undeclared != "none" and open_carried is not None else None
    undeclared = asked.find_undeclared(resolution, held, reader)
    chosen = choose(undeclared, source.include_undeclared)
    if source.include_undeclared != "none":
        resolution = _with_undeclared(resolution, chosen)
        held = [
            _with_undeclared(each, _undeclared_in(profile, each, source, reader))
            for each, profile in zip(held, asked.excluded, strict=True)
        ]
    remaining = _subtract(resolution, held)
    definition = BundleDefinition(
        name=name,
        architecture=source.architecture,
        allow_external_layers=source.allow_external_layers,
        compression_level=source.compression_level,
        signatures=source.signatures,
        require_signatures=source.require_signatures,
        cosign_key=read_cosign_key(Path(source.cosign_key)) if source.cosign_key is not None else None,
        release=source.release,
        profiles=resolution.profiles,
        excluded_profiles=tuple(version for each in held for version in each.profiles) or None,
        images=tuple(
            each for each in _merge((*remaining.images, *asked.agent.images), images) if each.reference not in packs
        ),
        charts=_merge_charts(remaining, asked.charts),
        packs=tuple(packs[reference] for reference in sorted(packs)) or None,
    )
    is_empty = not (definition.requested or definition.charts)
    if is_empty and (resolution.images or resolution.charts):
        raise ConfigurationError(
            "nothing to carry: the excluded profiles hold every image", hint="exclude only what the site has already"
        )
    if is_empty:
        raise ConfigurationError(
            "nothing to carry: no pack of the profiles declares an image",
            hint="images stand under pack.content.images in a pack's values; add others with --image",
        )
    warnings = (*(str(problem) for problem in remaining.problems), *asked.agent.warnings)
    told = tell(undeclared, chosen, source.include_undeclared)
    return Defined(definition, (*warnings, *told), asked.notes)


def look_for_undeclared(
    source: ContentSource, open_palette: OpenPalette, open_carried: OpenCarried
) -> tuple[PackReport, ...]:
    """What the packs of `source` use and do not declare; reads and raises what `define_bundle` does."""
    if source.definition_file is not None:
        raise ConfigurationError(f"{source.definition_file} says all that is carried: leave out --include-undeclared")
    asked = _Asked.of(source, open_palette)
    return asked.find_undeclared(*asked.resolve(), open_carried())


@dataclass(frozen=True)
class _Asked:
    """What a `source` leads to, with what its edge hosts give: all that is read, and nothing resolved."""

    source: ContentSource
    images: tuple[str, ...]
    charts: Sequence[ChartName]
    local: Sequence[LocalPack]
    profiles: Sequence[ClusterProfile]
    excluded: Sequence[ClusterProfile]
    agent: AgentContent
    packs: Mapping[str, RequestedImage]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, source: ContentSource, open_palette: OpenPalette) -> Self:
        """All of it, from files and from Palette."""
        images = _parse_images((*source.images, *read_image_lists(source.image_files)))
        charts = [ChartName.parse(text) for text in source.charts]
        local = read_packs(source.packs.paths)
        with ExitStack() as stack:
            palette = cache(lambda: stack.enter_context(open_palette()))  # one client, where something needs it
            notes = list[str]()
            if source.edge_hosts is not None:
                source, notes = derive_source(source, palette().find_edge_hosts(source.edge_hosts))
            profiles, excluded = read_profiles(source, palette)
            agent = read_agent_images(source, palette)
            packs = ask_for_packs(source.packs, profiles, excluded, local, palette)
        return cls(source, images, charts, local, profiles, excluded, agent, packs, tuple(notes))

    def resolve(self) -> tuple[Resolution, list[Resolution]]:
        """What is declared by what is asked for, and by each profile that is excluded."""
        resolution = resolve_with_packs(self.profiles, self.local, self.source.settings)
        held = [resolve_profiles([profile], self.source.settings) for profile in self.excluded]
        for each in (resolution, *held):
            each.raise_for_errors()
        return resolution, held

    def find_undeclared(
        self, resolution: Resolution, held: Sequence[Resolution], reader: CarriedContent | None
    ) -> tuple[PackReport, ...]:
        """What the packs use, and neither they nor the site's older content declare."""
        fetched = [pack for reference, pack in self.packs.items() if not is_local(reference)]
        return find_used(
            self.profiles,
            self.local,
            self.source.settings,
            declared=_references(*held, also=self.images),
            carried=Carried(_merge_charts(resolution, self.charts), fetched, reader),
        )


def check_name(name: str) -> None:
    """Raises `ConfigurationError` unless `name` can be the name of a bundle, and so of its file."""
    try:
        BundleDefinition(name=name)
    except ValidationError:
        raise ConfigurationError(
            f"{name!r} cannot be the name of a bundle",
            hint="take up to 100 letters, digits, dots, dashes and underscores, a letter or digit first; "
            "the folder goes into --output",
        ) from None


def read_profiles(
    source: ContentSource, palette: Callable[[], PaletteClient]
) -> tuple[list[ClusterProfile], list[ClusterProfile]]:
    """The profiles of `source`, and those that it excludes, from Palette and from exported files; both sorted."""
    wanted, excluded = read_exported(source.profile_files), read_exported(source.exclude_profile_files)
    wanted += [palette().read_profile(profile) for profile in source.profiles]
    excluded += [palette().read_profile(profile) for profile in source.exclude_profiles]
    return sorted(wanted, key=sort_key), sorted(excluded, key=sort_key)


def read_exported(paths: Sequence[str]) -> list[ClusterProfile]:
    """The profiles in exported files; raises `ConfigurationError` for a file that is none."""
    return [parse_exported_profile(read_text(Path(path)), path) for path in paths]


def read_image_lists(paths: Sequence[str]) -> list[str]:
    """The references in files; raises `ConfigurationError` that names what is none, with its place."""
    return [reference for path in paths for reference in parse_image_list(read_text(Path(path)), path)]


def _renamed(definition: BundleDefinition, name: str, release: Release | None) -> BundleDefinition:
    """`definition` under another name; what is said of the `release` goes before what it says itself."""
    said = [each.model_dump(exclude_none=True) for each in (definition.release, release) if each is not None]
    merged = Release.model_validate({key: value for each in said for key, value in each.items()}) if said else None
    return definition.model_copy(update={"name": name, "release": merged})


def sort_key(profile: ClusterProfile) -> tuple[str, str, str]:
    """The order of profiles, in whatever order they are asked for."""
    return profile.name, profile.version, profile.uid


def _subtract(resolution: Resolution, held: Sequence[Resolution]) -> Resolution:
    """What `resolution` declares and none of `held` does; what else was found out about profiles stays."""
    images = {image.reference for each in held for image in each.images}
    charts = {(chart.repository, chart.name, chart.version) for each in held for chart in each.charts}
    return resolution.model_copy(
        update={
            "images": tuple(each for each in resolution.images if each.reference not in images),
            "charts": tuple(
                each for each in resolution.charts if (each.repository, each.name, each.version) not in charts
            ),
        }
    )


def _undeclared_in(
    profile: ClusterProfile, resolution: Resolution, source: ContentSource, reader: CarriedContent | None
) -> tuple[RequestedImage, ...]:
    """The undeclared images of an excluded profile, which are at the site already."""
    found = find_used([profile], (), source.settings, declared=(), carried=Carried(resolution.charts, (), reader))
    return choose(found, source.include_undeclared)


def _references(*resolutions: Resolution, also: Sequence[str]) -> frozenset[str]:
    return frozenset(also).union(image.reference for each in resolutions for image in each.images)


def _with_undeclared(resolution: Resolution, images: Sequence[RequestedImage]) -> Resolution:
    """`resolution` with images that its packs use and do not declare."""
    requested = {image.reference: image for image in images} | {image.reference: image for image in resolution.images}
    return resolution.model_copy(update={"images": tuple(requested[reference] for reference in sorted(requested))})


def _parse_images(texts: Sequence[str]) -> tuple[str, ...]:
    """The references in their canonical form, each once; raises `MalformedReferenceError` that names all bad ones."""
    references, malformed = dict[str, None](), list[MalformedReferenceError]()
    for text in texts:
        try:
            references[str(ImageReference.parse(text))] = None
        except MalformedReferenceError as error:
            malformed.append(error)
    if malformed:
        raise MalformedReferenceError("\n".join(each.message for each in malformed), hint=malformed[0].hint)
    return tuple(references)


def _merge(declared: Sequence[RequestedImage], named: Sequence[str]) -> tuple[RequestedImage, ...]:
    requested: dict[str, RequestedImage] = {}
    for image in declared:
        same = requested.get(image.reference, RequestedImage(reference=image.reference))
        requested[image.reference] = same.model_copy(update={"origins": (*same.origins, *image.origins)})
    for reference in named:
        known = requested.get(reference, RequestedImage(reference=reference))
        requested[reference] = known.model_copy(update={"origins": (*known.origins, BY_NAME)})
    return tuple(requested[reference] for reference in sorted(requested))


def _merge_charts(resolution: Resolution, named: Sequence[ChartName]) -> tuple[RequestedChart, ...]:
    requested = {(chart.repository, chart.name, chart.version): chart for chart in resolution.charts}
    for each in dict.fromkeys(named):
        key = (each.repository, each.name, each.version)
        known = requested.get(key, RequestedChart(repository=each.repository, name=each.name, version=each.version))
        requested[key] = known.model_copy(update={"origins": (*known.origins, BY_NAME)})
    return tuple(requested[key] for key in sorted(requested))
