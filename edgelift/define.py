"""Define: from what is asked for (profiles, files, single images) to the definition of a bundle."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from edgelift.bundle.definition import BundleDefinition, Origin, RequestedImage
from edgelift.documents import read_document
from edgelift.errors import ConfigurationError, MalformedReferenceError
from edgelift.oci.reference import ImageReference
from edgelift.packs.local import LocalPack, profile_of, read_packs
from edgelift.packs.request import request_local, request_packs
from edgelift.palette.client import PaletteClient
from edgelift.palette.export import parse_exported_profile
from edgelift.palette.models import ClusterProfile
from edgelift.palette.resolve import Resolution, resolve_profiles
from edgelift.site import ContentSource

BY_NAME = Origin(profile="", pack="", path="name")  # of an image that is no profile's: it is asked for by name


@dataclass(frozen=True)
class Defined:
    """A definition, and one line for each thing the operator should know of it."""

    definition: BundleDefinition
    warnings: tuple[str, ...]


def define_bundle(name: str, source: ContentSource, open_palette: Callable[[], PaletteClient]) -> Defined:
    """Read the profiles of `source` and list what they declare; `open_palette` is called only where it is needed.

    The order in which things are asked for does not matter: the same content gives the same definition. Raises
    `ProfileError` with every problem that makes a reference unusable, `ConfigurationError`, `PaletteError`.
    """
    check_name(name)
    images = _parse_images(source.images)
    local = read_packs(source.packs.paths)
    profiles, excluded = read_profiles(source, open_palette)
    resolution = resolve_with_packs(profiles, local, source.settings)
    resolution.raise_for_errors()
    held = [resolve_profiles([profile], source.settings) for profile in excluded]
    for each in held:
        each.raise_for_errors()
    remaining = _subtract(resolution, held)
    packs = _packs(source, profiles, excluded, local, open_palette)
    definition = BundleDefinition(
        name=name,
        architecture=source.architecture,
        allow_external_layers=source.allow_external_layers,
        compression_level=source.compression_level,
        profiles=resolution.profiles,
        excluded_profiles=tuple(version for each in held for version in each.profiles) or None,
        images=tuple(each for each in _merge(remaining, images) if each.reference not in packs),
        charts=remaining.charts,
        packs=tuple(packs[reference] for reference in sorted(packs)) or None,
    )
    if not definition.requested and resolution.images:
        raise ConfigurationError(
            "nothing to carry: the excluded profiles hold every image", hint="exclude only what the site has already"
        )
    if not definition.requested:
        raise ConfigurationError(
            "nothing to carry: no pack of the profiles declares an image",
            hint="images stand under pack.content.images in a pack's values; add others with --image",
        )
    return Defined(definition, tuple(str(problem) for problem in remaining.problems))


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
    source: ContentSource, open_palette: Callable[[], PaletteClient]
) -> tuple[list[ClusterProfile], list[ClusterProfile]]:
    """The profiles of `source`, and those that it excludes, from Palette and from exported files; both sorted."""
    wanted, excluded = read_exported(source.profile_files), read_exported(source.exclude_profile_files)
    if source.profiles or source.exclude_profiles:
        with open_palette() as palette:
            wanted += [palette.read_profile(profile) for profile in source.profiles]
            excluded += [palette.read_profile(profile) for profile in source.exclude_profiles]
    return sorted(wanted, key=sort_key), sorted(excluded, key=sort_key)


def resolve_with_packs(
    profiles: Sequence[ClusterProfile], local: Sequence[LocalPack], settings: Mapping[str, str]
) -> Resolution:
    """What `profiles` declare, and local packs as if they were in a profile of their own, which has no name."""
    if not local:
        return resolve_profiles(profiles, settings)
    resolution = resolve_profiles([*profiles, profile_of(local)], settings)
    return resolution.model_copy(update={"profiles": tuple(each for each in resolution.profiles if each.name)})


def read_exported(paths: Sequence[str]) -> list[ClusterProfile]:
    """The profiles in exported files; raises `ConfigurationError` for a file that is none."""
    return [parse_exported_profile(_text(Path(path)), path) for path in paths]


def sort_key(profile: ClusterProfile) -> tuple[str, str, str]:
    """The order of profiles, in whatever order they are asked for."""
    return profile.name, profile.version, profile.uid


def _packs(
    source: ContentSource,
    profiles: Sequence[ClusterProfile],
    excluded: Sequence[ClusterProfile],
    local: Sequence[LocalPack],
    open_palette: Callable[[], PaletteClient],
) -> dict[str, RequestedImage]:
    """The packs that are carried, by reference."""
    if source.packs.images_only:
        return {}
    packs = {each.reference: each for each in request_local(local)}
    if source.packs.include:
        held = request_packs(excluded, source.packs, open_palette)
        wanted = request_packs(profiles, source.packs, open_palette)
        packs |= {reference: each for reference, each in wanted.items() if reference not in held}
    return packs


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


def _text(path: Path) -> str:
    try:
        return read_document(path).decode()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not a text file in UTF-8") from None


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


def _merge(resolution: Resolution, images: Sequence[str]) -> tuple[RequestedImage, ...]:
    requested = {image.reference: image for image in resolution.images}
    for reference in images:
        known = requested.get(reference, RequestedImage(reference=reference))
        requested[reference] = known.model_copy(update={"origins": (*known.origins, BY_NAME)})
    return tuple(requested[reference] for reference in sorted(requested))
