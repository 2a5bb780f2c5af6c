"""Define: from what is asked for (profiles, files, single images) to the definition of a bundle."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgelift.bundle.definition import BundleDefinition, Origin, RequestedImage
from edgelift.documents import read_document
from edgelift.errors import ConfigurationError
from edgelift.oci.reference import ImageReference
from edgelift.palette.client import PaletteClient
from edgelift.palette.export import parse_exported_profile
from edgelift.palette.models import ClusterProfile
from edgelift.palette.resolve import Resolution, resolve_profiles
from edgelift.site import ContentSource


@dataclass(frozen=True)
class Defined:
    """A definition, and one line for each thing the operator should know of it."""

    definition: BundleDefinition
    warnings: tuple[str, ...]


def define_bundle(name: str, source: ContentSource, open_palette: Callable[[], PaletteClient]) -> Defined:
    """Read the profiles of `source` and list what they declare; `open_palette` is called only where it is needed.

    Raises `ProfileError` with every problem that makes a reference unusable, `ConfigurationError`, `PaletteError`.
    """
    resolution = resolve_profiles(read_profiles(source, open_palette), source.settings)
    resolution.raise_for_errors()
    definition = BundleDefinition(
        name=name,
        architecture=source.architecture,
        profiles=resolution.profiles,
        images=_merge(resolution, source.images),
        charts=resolution.charts,
    )
    if not definition.images:
        raise ConfigurationError(
            "nothing to carry: no pack of the profiles declares an image",
            hint="images stand under pack.content.images in a pack's values; add others with --image",
        )
    return Defined(definition, tuple(str(problem) for problem in resolution.problems))


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


def _merge(resolution: Resolution, images: Sequence[str]) -> tuple[RequestedImage, ...]:
    requested = {image.reference: image for image in resolution.images}
    for text in images:
        reference = str(ImageReference.parse(text))
        origin = Origin(profile="", pack="", path="asked for by name")
        known = requested.get(reference, RequestedImage(reference=reference))
        requested[reference] = known.model_copy(update={"origins": (*known.origins, origin)})
    return tuple(requested[reference] for reference in sorted(requested))
