"""Preflight: everything that would stop a delivery, found before the first blob moves."""

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from edgelift.bundle.container import contents_of
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.bundle.standing import has_bundle
from edgelift.delivery.base import find_base
from edgelift.delivery.target import Target, TargetName
from edgelift.errors import IntegrityError, MalformedReferenceError, RefusedError, RegistryError
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import DOCKER_MANIFEST
from edgelift.oci.push import OnConflict, tag_conflict
from edgelift.oci.registry import Registry
from edgelift.store.disk import disk_errors
from edgelift.store.working import WorkingStore

PARALLEL_TAGS = 8
_UNSUPPORTED_MEDIA_TYPE = 415


@dataclass(frozen=True)
class Delivery:
    """One image and the names it gets at the target."""

    image: LockedImage
    names: tuple[TargetName, ...]

    @property
    def tags(self) -> tuple[tuple[TargetName, Digest], ...]:
        """Every tag that is set for it, those of its referrers too, and what it will stand for."""
        image = self.image
        own = ((name, image.descriptor.digest) for name in self.names)
        tagged = [(each.tag, each.descriptor.digest) for each in image.referrers if each.tag is not None]
        beside = ((TargetName(name.repository, tag), digest) for name in self.names for tag, digest in tagged)
        return tuple(dict.fromkeys((*own, *beside)))


@dataclass(frozen=True)
class Preflight:
    """What each image is pushed as, what forbids it (`errors`), and what the operator should know (`warnings`).

    `homes` says in which repository the target has what a delta leaves out, `standing` how many of the tags, those of
    referrers included, stand there as they should.
    """

    deliveries: tuple[Delivery, ...]
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    homes: Mapping[Digest, str] = field(default_factory=dict)
    standing: int = 0


def check_delivery(lock: BundleLock, target: Target, registry: Registry, on_conflict: OnConflict) -> Preflight:
    """Names, clashes, standing tags, permission to write and media types, all reported together.

    The base of a delta comes before all that sends anything, and alone: without it nothing else counts.
    """
    deliveries, errors = name_deliveries(lock, target)
    try:
        registry.log_in()
    except RegistryError as error:
        return Preflight(deliveries, (*errors, str(error)))
    base = find_base(lock, target, registry)
    if base.error is not None:
        return Preflight(deliveries, (*errors, str(base.error)))
    conflicts, unknown, standing = _standing_tags(deliveries, registry)
    refusals = tuple(_refusals(deliveries, registry))
    if on_conflict == "fail":
        obstacles = (*errors, *map(str, conflicts), *unknown, *refusals)
        return Preflight(deliveries, obstacles, homes=base.homes, standing=standing)
    outcome = "it is left as it is" if on_conflict == "keep" else "it will be moved"
    warnings = tuple(f"{conflict.message}; {outcome}" for conflict in conflicts)
    return Preflight(deliveries, (*errors, *unknown, *refusals), warnings, base.homes, standing)


def name_deliveries(lock: BundleLock, target: Target) -> tuple[tuple[Delivery, ...], tuple[str, ...]]:
    """The target names of every image, and a line for each that has none or shares one with another digest."""
    deliveries, errors = [], []
    holders: dict[TargetName, dict[Digest, list[str]]] = defaultdict(lambda: defaultdict(list))
    for image in lock.images:
        try:
            names = target.names_of(image)
        except MalformedReferenceError as error:
            errors.append(f"{image.reference}: {error}")
            continue
        deliveries.append(Delivery(image, names))
        for name, digest in deliveries[-1].tags:
            holders[name][digest].append(image.reference)
    for name, digests in sorted(holders.items()):
        if len(digests) > 1:
            rivals = " and ".join(sorted(references[0] for references in digests.values()))
            errors.append(f"{target.registry}/{name} would be claimed by {rivals}, which differ; map one elsewhere")
    return tuple(deliveries), tuple(errors)


def check_disk(lock: BundleLock, store: WorkingStore, bundle: Path) -> str | None:
    """Why the disk is too small for the pull and the file `bundle`, or None.

    Both count together where they share a disk. What stands already as the bundle of `lock` need not be written, and
    how much a store elsewhere still takes is not known.
    """
    to_write = 0 if has_bundle(lock, bundle) else lock.carried_size
    folder, output = store.root, bundle.parent
    if folder is None:
        return _shortage(output, to_write)
    to_pull = sum(each.size for each in contents_of(lock) if not store.exists(each))
    if _device(folder) == _device(output):
        return _shortage(folder, to_pull + to_write)
    return _shortage(folder, to_pull) or _shortage(output, to_write)


def _shortage(folder: Path, need: int) -> str | None:
    with disk_errors(f"measure the disk of {folder}"):
        free = shutil.disk_usage(_existing(folder)).free
    if need <= free:
        return None
    return f"{folder} has {free:,} bytes free, {need:,} are needed; free some space or choose another folder"


def _device(folder: Path) -> int:
    with disk_errors(f"look at {folder}"):
        return _existing(folder).stat().st_dev


def _existing(folder: Path) -> Path:
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())


def _standing_tags(
    deliveries: tuple[Delivery, ...], registry: Registry
) -> tuple[tuple[RefusedError, ...], tuple[str, ...], int]:
    """The conflict of every tag that stands with another digest, and a line for each that could not be asked for.

    The last is how many stand as they should.
    """
    expected = [(each.image.reference, name, digest) for each in deliveries for name, digest in each.tags]
    with ThreadPoolExecutor(PARALLEL_TAGS, thread_name_prefix="preflight") as pool:
        found = list(pool.map(lambda item: _standing_tag(item[0], item[1], item[2], registry), expected))
    conflicts = tuple(each for each in found if isinstance(each, RefusedError))
    return conflicts, tuple(each for each in found if isinstance(each, str)), found.count(True)


def _standing_tag(reference: str, name: TargetName, wanted: Digest, registry: Registry) -> RefusedError | str | bool:
    """What is in the way, or why nobody knows; else whether the tag stands as it should."""
    try:
        standing = registry.describe(name.repository, name.tag)
    except (RegistryError, IntegrityError) as error:
        return f"{reference}: {error}"
    if standing is None or standing.digest == wanted:
        return standing is not None
    conflict = tag_conflict(registry.host, name.repository, name.tag, standing.digest, wanted)
    return RefusedError(f"{reference}: {conflict.message}", hint=conflict.hint)


def _refusals(deliveries: tuple[Delivery, ...], registry: Registry) -> Iterator[str]:
    """Permission is asked once for each project (the first path component), the media type once."""
    projects = {name.repository.partition("/")[0]: name.repository for each in deliveries for name in each.names}
    writable = []
    for repository in projects.values():
        try:
            registry.check_push(repository)
            writable.append(repository)
        except RegistryError as error:
            yield str(error)
    docker = any(each.media_type == DOCKER_MANIFEST for delivery in deliveries for each in delivery.image.manifests)
    if docker and writable and not _takes_docker_manifests(registry, writable[0]):
        yield (
            f"{registry.host} refuses Docker's manifest format, and converting images would change their digests; "
            'allow it there (Zot: "http.compat": ["docker2s2"]) or choose images in OCI format'
        )


def _takes_docker_manifests(registry: Registry, repository: str) -> bool:
    """Send a manifest whose blobs do not exist: every registry refuses it, but only one kind by its media type."""
    nowhere = {"mediaType": "application/octet-stream", "digest": Digest.of(b"edgelift probe"), "size": 14}
    probe = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": nowhere, "layers": [nowhere]}
    raw = json.dumps(probe).encode()
    try:
        registry.write_manifest(repository, Digest.of(raw), raw, DOCKER_MANIFEST)
    except RegistryError as error:
        return error.status != _UNSUPPORTED_MEDIA_TYPE
    return True
