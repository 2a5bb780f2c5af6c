"""Attach: what goes into a bundle and comes from no registry, the cluster definition and local packs.

All of it is in the store once it is pinned, and is taken from there ever after: a lock with it is built again without
Palette. Where another store has to be filled, bundles that hold it serve as well, and local packs are read again.
"""

from collections.abc import Callable, Sequence

from edgelift.attachments import ClusterDefinitionSource
from edgelift.bundle.attached import Attached
from edgelift.bundle.cluster_definition import LockedClusterDefinition
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.define import sort_key
from edgelift.errors import ConfigurationError, IntegrityError
from edgelift.oci.content import ContentReader, ContentStore
from edgelift.oci.descriptor import Descriptor
from edgelift.packs.artifact import PackArtifact
from edgelift.packs.local import read_packs
from edgelift.packs.names import is_local
from edgelift.palette.client import PaletteClient
from edgelift.palette.cluster_definition import check_profiles
from edgelift.palette.resolve import version_of
from edgelift.site import ContentSource

OpenPalette = Callable[[], PaletteClient]


def attach_content(source: ContentSource, store: ContentStore, open_palette: OpenPalette) -> Attached:
    """Bring what `source` asks for into `store`; raises `ConfigurationError`, `ProfileError`, `PaletteError`."""
    artifacts = [PackArtifact.of(pack) for pack in read_packs(source.packs.paths)] if _carries_packs(source) else []
    definition: LockedClusterDefinition | None = None
    if source.cluster_definition is not None:
        definition, content = download_cluster_definition(source.cluster_definition, open_palette)
        store.write(definition.descriptor, content)
    for artifact in artifacts:
        artifact.keep(store)
    return Attached(cluster_definition=definition, packs=tuple(artifact.pinned for artifact in artifacts))


def download_cluster_definition(
    source: ClusterDefinitionSource, open_palette: OpenPalette
) -> tuple[LockedClusterDefinition, bytes]:
    """The cluster definition of the profiles that `source` names, whose rules are checked before it is asked for."""
    with open_palette() as palette:
        profiles = sorted((palette.read_profile(profile) for profile in source.profiles), key=sort_key)
        check_profiles(profiles)
        content = palette.download_cluster_definition(profiles)
    return LockedClusterDefinition.of(source.name, content, tuple(map(version_of, profiles))), content


def bring_attached(
    lock: BundleLock, store: ContentStore, *, bundles: Sequence[ContentReader] = (), packs: Sequence[str] = ()
) -> None:
    """See that `store` has what no registry has of `lock`: from `bundles`, or the local packs at the paths `packs`.

    Raises `ConfigurationError` that says what has to be given where something is missing.
    """
    local = [image for image in lock.images if is_local(image.reference)]
    wanted = [*lock.attached, *(each for image in local for each in (*image.blobs, *image.manifests))]
    for descriptor in _missing(wanted, store):
        _take(descriptor, bundles, store)
    if any(_missing((*image.blobs, *image.manifests), store) for image in local):
        _read_again(local, packs, store)
    if local:
        store.tag({image.reference: image.descriptor for image in local})
    definition = lock.cluster_definition
    if definition is not None and not store.exists(definition.descriptor):
        raise ConfigurationError(
            f"the bytes of the cluster definition {definition.name} ({definition.digest}) are not in the store",
            hint="name a bundle that holds it with --existing-bundles, or build from the profiles again",
        )


def _carries_packs(source: ContentSource) -> bool:
    return bool(source.packs.paths) and not source.packs.images_only


def _missing(descriptors: Sequence[Descriptor], store: ContentStore) -> list[Descriptor]:
    return [each for each in descriptors if not store.exists(each)]


def _take(descriptor: Descriptor, bundles: Sequence[ContentReader], store: ContentStore) -> None:
    """Copy `descriptor` from the first of `bundles` that has it as it should be, if there is one."""
    for bundle in bundles:
        if not bundle.exists(descriptor):
            continue
        try:
            content = b"".join(bundle.read(descriptor))
        except IntegrityError:  # that bundle is damaged; `edgelift verify` says where
            continue
        store.write(descriptor, content)
        return


def _read_again(local: Sequence[LockedImage], paths: Sequence[str], store: ContentStore) -> None:
    """Fill `store` with the packs at `paths`; raises `ConfigurationError` unless these are what is pinned."""
    found = {artifact.pinned.reference: artifact for artifact in map(PackArtifact.of, read_packs(paths))}
    problems = []
    for image in local:
        artifact = found.get(image.reference)
        if artifact is not None and artifact.pinned == image:
            artifact.keep(store)
        elif _missing((*image.blobs, *image.manifests), store):
            problems.append(f"{_called(image)} is {'another there' if artifact is not None else 'not in the store'}")
    if problems:
        raise ConfigurationError(
            f"local packs of this lock are missing: {'; '.join(problems)}",
            hint="give the packs that it was made with again, with --packs, or a bundle that holds them with "
            "--existing-bundles; archives stay the same everywhere, folders with the same release of zlib",
        )


def _called(image: LockedImage) -> str:
    name, _, version = image.reference.rpartition("/")[2].partition(":")
    return f"pack {name} {version}"
