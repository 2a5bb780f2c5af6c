"""Plan: from a definition to its lock. Every reference is pinned, and every problem found, before any blob moves.

The manifests that are read on the way go into the store, so that the pull does not ask for them again: each manifest
request counts against Docker Hub's budget.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from edgelift.bundle.definition import Architecture, BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.errors import (
    EdgeliftError,
    IntegrityError,
    NotFoundError,
    PlanError,
    RefusedError,
    RegistryError,
    UnreachableError,
)
from edgelift.oci.content import ContentStore
from edgelift.oci.descriptor import Descriptor, Platform
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import ImageIndex, ImageManifest, Manifest, is_foreign, parse_manifest
from edgelift.oci.pull import pull_blob
from edgelift.oci.reference import ImageReference
from edgelift.oci.registries import Registries
from edgelift.oci.registry import Registry

PARALLEL_IMAGES = 8
MAX_DEPTH = 16  # of indexes inside indexes
MAX_MANIFESTS = 10_000  # in one image
MAX_BLOBS = 100_000  # in one image
MAX_CONFIG = 8 * 2**20  # bytes
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """The lock, and one line for each reference that could not be pinned or that deserves a warning."""

    lock: BundleLock
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def raise_for_errors(self) -> None:
        """Raises `PlanError` with every problem; nothing has been moved then."""
        if self.errors:
            many = f"{len(self.errors)} problems stand" if len(self.errors) > 1 else "a problem stands"
            raise PlanError(f"{many} in the way; nothing was moved", self.errors)


def plan_bundle(definition: BundleDefinition, registries: Registries, store: ContentStore) -> Plan:
    """Pin every image of `definition` at its registry, several at a time; the lock holds those that could be.

    Raises `ConfigurationError` where the settings are no way into a registry: nothing can be told of its images then.
    """
    hosts = sorted({ImageReference.parse(image.reference).registry for image in definition.images})
    with ThreadPoolExecutor(PARALLEL_IMAGES, thread_name_prefix="plan") as pool:
        # Asked once: else each of its images would wait for a registry that is not there.
        absences = dict(zip(hosts, pool.map(lambda host: _absence(registries.registry(host)), hosts), strict=True))
        pin = partial(_pin_or_explain, definition.architecture, registries, store, absences)
        outcomes = list(pool.map(pin, definition.images))
    pinned = tuple(outcome for outcome in outcomes if isinstance(outcome, LockedImage))
    errors = tuple(outcome for outcome in outcomes if isinstance(outcome, str))
    return Plan(BundleLock(definition=definition, images=pinned), errors, tuple(_warnings(definition, pinned)))


def pin_image(
    reference: ImageReference, architecture: Architecture | None, registry: Registry, store: ContentStore
) -> LockedImage:
    """Resolve `reference` to digests, sizes and blobs.

    With an `architecture` the manifest for linux/`architecture` stands for the index, except where the reference
    pins the index by digest; an image for another platform is refused. Raises `RegistryError` or `IntegrityError`.
    """
    pinning = _Pinning(registry, reference.repository, store)
    root = registry.read_manifest(reference.repository, reference.selector)
    index = None
    wanted = Platform(architecture=architecture) if architecture is not None else None
    if wanted is not None and isinstance(root.parsed, ImageManifest):
        pinning.check_platform(root.parsed, wanted, reference)
    elif wanted is not None and isinstance(root.parsed, ImageIndex) and reference.digest is None:
        index, root = root.descriptor.digest, pinning.choose(root.parsed, wanted, reference)
    pinning.walk(root, 0)
    return LockedImage(
        reference=str(reference),
        descriptor=root.descriptor.plain(),
        manifests=tuple(pinning.manifests.values()),
        blobs=tuple(pinning.blobs.values()),
        index=index,
    )


@dataclass
class _Pinning:
    """The walk through one image: what it consists of, children before parents."""

    registry: Registry
    repository: str
    store: ContentStore
    manifests: dict[Digest, Descriptor] = field(default_factory=dict)
    blobs: dict[Digest, Descriptor] = field(default_factory=dict)
    _entered: set[Digest] = field(default_factory=set)

    def walk(self, manifest: Manifest, depth: int) -> None:
        """Collect `manifest` and all that it names; a manifest met twice is walked once."""
        digest = manifest.descriptor.digest
        if digest in self._entered:
            return
        self._entered.add(digest)
        if depth > MAX_DEPTH or len(self._entered) > MAX_MANIFESTS:
            raise RefusedError(f"{self.registry.host}/{self.repository} nests its indexes too deep or has too many")
        for child in manifest.children:
            self.walk(self.read(child), depth + 1)
        for blob in manifest.blobs:
            self._add_blob(blob)
        self.store.write(manifest.descriptor, manifest.raw)
        self.manifests[digest] = manifest.descriptor.plain()

    def read(self, descriptor: Descriptor) -> Manifest:
        """A manifest that an index names, from the store where it is there and whole."""
        if self.store.exists(descriptor):
            with suppress(IntegrityError):  # the store has put it aside: it is fetched anew
                raw = b"".join(self.store.read(descriptor))
                return parse_manifest(raw, descriptor.media_type, descriptor.digest)
        try:
            manifest = self.registry.read_manifest(self.repository, descriptor.digest)
        except NotFoundError as error:
            raise NotFoundError(
                f"its index names a manifest that is not there: {error.message}",
                hint="build with --arch to carry one architecture alone, or have the image pushed again",
            ) from None
        if manifest.descriptor.size != descriptor.size:
            raise IntegrityError(
                f"its index gives {descriptor.digest} {descriptor.size} bytes, but it has {manifest.descriptor.size}"
            )
        return manifest

    def choose(self, index: ImageIndex, wanted: Platform, reference: ImageReference) -> Manifest:
        """The manifest of `index` for the platform `wanted`."""
        entry = index.select(wanted)
        if entry is None:
            raise _no_platform(reference, wanted, index.platforms)
        return self.read(entry)

    def check_platform(self, manifest: ImageManifest, wanted: Platform, reference: ImageReference) -> None:
        """Raises `NotFoundError` where a single-platform image is for another platform; artifacts have none."""
        if manifest.config.size > MAX_CONFIG or "image" not in manifest.config.media_type:
            return
        pull_blob(self.registry, self.repository, manifest.config, self.store)
        try:
            config = json.loads(b"".join(self.store.read(manifest.config)))
            offered = Platform(os=config["os"], architecture=config["architecture"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return  # what says nothing of its platform is carried as it is
        if (offered.os, offered.architecture) != (wanted.os, wanted.architecture):
            raise _no_platform(reference, wanted, (offered,))

    def _add_blob(self, blob: Descriptor) -> None:
        if len(self.blobs) >= MAX_BLOBS:
            raise RefusedError(f"{self.registry.host}/{self.repository} has an image of more than {MAX_BLOBS:,} blobs")
        known = self.blobs.setdefault(blob.digest, blob.plain())
        if known.size != blob.size:
            raise IntegrityError(f"{blob.digest} is given two sizes, {known.size} and {blob.size}")
        if is_foreign(blob) and self.registry.blob_size(self.repository, blob.digest) is None:
            raise RefusedError(
                f"a layer of {self.registry.host}/{self.repository} may not be distributed and is not in its registry",
                hint="such an image (Windows base layers) cannot be bundled; leave it out of this bundle",
            )


def _absence(registry: Registry) -> UnreachableError | None:
    try:
        registry.log_in()
    except UnreachableError as error:
        return error
    except RegistryError:
        return None  # it is there; what it lets us do is told image by image
    return None


def _pin_or_explain(
    architecture: Architecture | None,
    registries: Registries,
    store: ContentStore,
    absences: Mapping[str, UnreachableError | None],
    image: RequestedImage,
) -> LockedImage | str:
    reference = ImageReference.parse(image.reference)
    absence = absences[reference.registry]
    try:
        if absence is not None:
            raise absence
        return pin_image(reference, architecture, registries.registry(reference.registry), store)
    except NotFoundError as error:
        hint = error.hint or "check repository and tag where the image is asked for"
        return f"{reference}{_asked_by(image)}: {NotFoundError(error.message, hint=hint)}"
    except EdgeliftError as error:
        return f"{reference}{_asked_by(image)}: {error}"


def _asked_by(image: RequestedImage) -> str:
    first, others = next(iter(image.origins), None), len(image.origins) - 1
    more = f" and {others} more" if others > 0 else ""
    return f" (asked for by {first}{more})" if first is not None else ""


def _no_platform(reference: ImageReference, wanted: Platform, offered: tuple[Platform, ...]) -> NotFoundError:
    names = ("".join(each for each in str(platform)[:64] if each.isprintable()) for platform in offered)
    listed = f"it is for {', '.join(sorted(set(names)))}" if offered else "it names no platform at all"
    return NotFoundError(
        f"{reference} is not there for {wanted}; {listed}",
        hint="use a tag that has it, leave the image out, or build without --arch to carry all platforms",
    )


def _warnings(definition: BundleDefinition, images: tuple[LockedImage, ...]) -> Iterator[str]:
    chosen = sum(image.index is not None for image in images)
    if chosen:
        yield (
            f"{chosen} of {len(images)} images were reduced to {definition.architecture}: "
            "signatures on their indexes will not verify at the target; build without --arch to keep them"
        )
    if definition.charts:
        yield f"{len(definition.charts)} Helm charts are declared and listed in the definition, but not carried yet"
