"""Define: from what is asked for (profiles, files, single images) to the definition of a bundle."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from edgelift.bundle.definition import BundleDefinition, Origin, RequestedImage
from edgelift.documents import read_document
from edgelift.errors import ConfigurationError, MalformedReferenceError
from edgelift.oci.reference import ImageReference
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
    profiles = sorted(read_profiles(source, open_palette), key=lambda each: (each.name, each.version, each.uid))
    resolution = resolve_profiles(profiles, source.settings)
    resolution.raise_for_errors()
    definition = BundleDefinition(
        name=name,
        architecture=source.architecture,
        allow_external_layers=source.allow_external_layers,
        compression_level=source.compression_level,
        profiles=resolution.profiles,
        images=_merge(resolution, images),
        charts=resolution.charts,
    )
    if not definition.images:
        raise ConfigurationError(
            "nothing to carry: no pack of the profiles declares an image",
            hint="images stand under pack.content.images in a pack's values; add others with --image",
        )
    return Defined(definition, tuple(str(problem) for problem in resolution.problems))


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


def read_profiles(source: ContentSource, open_palette: Callable[[], PaletteClient]) -> list[ClusterProfile]:
    """The profiles of `source`, from Palette and from exported files."""
    exported = read_exported(source.profile_files)
    if not source.profiles:
        return exported
    with open_palette() as palette:
        return [*(palette.read_profile(profile) for profile in source.profiles), *exported]


def read_exported(paths: Sequence[str]) -> list[ClusterProfile]:
    """The profiles in exported files; raises `ConfigurationError` for a file that is none."""
    return [parse_exported_profile(_text(Path(path)), path) for path in paths]


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
