"""From what people name as the place of bundles to the archive there: a bucket, a registry, a directory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgelift.access import open_registries
from edgelift.archive.directory import DirectoryArchive
from edgelift.archive.place import BrowsableArchive, ListableArchive, RestorableArchive
from edgelift.bundle.source import is_object
from edgelift.errors import ConfigurationError
from edgelift.oci.reference import ImageReference, names_registry
from edgelift.site import RegistryAccess

if TYPE_CHECKING:
    from edgelift.archive.artifact import ArtifactArchive
    from edgelift.archive.s3 import S3Archive

OCI = "oci://"


def open_place(place: str) -> BrowsableArchive:
    """The archive at s3://bucket/prefix or in a directory; raises `ConfigurationError` for one in a registry."""
    if place.startswith(OCI):
        raise ConfigurationError(
            "what a registry keeps is not pruned from here", hint="let go of old tags with the registry's own rules"
        )
    return _bucket(place) if is_object(place) else DirectoryArchive(Path(place))


@contextmanager
def listable(place: str, access: RegistryAccess) -> Iterator[ListableArchive]:
    """As `open_place`, and the archive at oci://HOST/REPOSITORY, as long as the block lasts."""
    if not place.startswith(OCI):
        yield open_place(place)
        return
    with _artifacts(_parse_repository(place), access) as archive:
        yield archive


@contextmanager
def restorable(bundle: str, access: RegistryAccess) -> Iterator[tuple[RestorableArchive, str]]:
    """The archive that `bundle` is in, and its name there; raises `ConfigurationError` where it names none."""
    if bundle.startswith(OCI):
        reference = parse_kept(bundle)
        with _artifacts(reference, access) as archive:
            yield archive, reference.selector
        return
    url, _, name = bundle.rpartition("/")
    if not is_object(bundle) or not name:
        raise ConfigurationError(
            f"{bundle[:200]!r} does not name an object",
            hint="write it as s3://bucket/key, or as oci://HOST/REPOSITORY:TAG",
        )
    yield _bucket(url), name


def parse_kept(bundle: str) -> ImageReference:
    """What oci://HOST/REPOSITORY:TAG names; raises `ConfigurationError`."""
    reference = _parse_repository(bundle)
    if reference.tag is None or not bundle.endswith(f":{reference.tag}"):
        raise ConfigurationError(
            f"{bundle[:200]!r} names no bundle", hint="write it as oci://HOST/REPOSITORY:TAG; edgelift list shows them"
        )
    return reference


def _parse_repository(place: str) -> ImageReference:
    text = place.removeprefix(OCI).rstrip("/")
    host, _, rest = text.partition("/")
    if not rest or not names_registry(host):
        raise ConfigurationError(
            f"{place[:200]!r} names no repository of a registry", hint="write it as oci://HOST/REPOSITORY"
        )
    return ImageReference.parse(text)


@contextmanager
def _artifacts(reference: ImageReference, access: RegistryAccess) -> "Iterator[ArtifactArchive]":
    from edgelift.archive.artifact import ArtifactArchive  # noqa: PLC0415 - loads oras, which nothing else here needs

    with open_registries(access) as connections:
        yield ArtifactArchive(connections.registry(reference.registry), reference.repository)


def _bucket(url: str) -> "S3Archive":
    from edgelift.archive.s3 import S3Archive  # noqa: PLC0415 - loads boto3, which no directory needs

    return S3Archive.at(url)
