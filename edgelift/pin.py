"""Pin: from one reference to digests, sizes and blobs. The manifests that are read on the way stay in the store.

So the pull does not ask for them again, nor does the next plan: each manifest request counts against Docker Hub's
budget, which a HEAD does not.
"""

import json
from contextlib import suppress
from dataclasses import dataclass, field

from edgelift.bundle.definition import Architecture
from edgelift.bundle.lock import LockedImage
from edgelift.errors import IntegrityError, NotFoundError, RefusedError, RegistryError
from edgelift.oci.content import ContentStore
from edgelift.oci.descriptor import Descriptor, Platform
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import ImageIndex, ImageManifest, Manifest, is_foreign, parse_manifest
from edgelift.oci.pull import pull_blob
from edgelift.oci.reference import ImageReference
from edgelift.oci.source import Source

MAX_DEPTH = 16  # of indexes inside indexes
MAX_MANIFESTS = 10_000  # in one image
MAX_BLOBS = 100_000  # in one image
MAX_CONFIG = 8 * 2**20  # bytes


def pin_image(
    reference: ImageReference,
    architecture: Architecture | None,
    registry: Source,
    store: ContentStore,
    *,
    allow_external_layers: bool = False,
) -> LockedImage:
    """Resolve `reference` to digests, sizes and blobs.

    With an `architecture` the manifest for linux/`architecture` stands for the index, except where the reference
    pins the index by digest; an image for another platform is refused. Layers that may not be distributed are carried
    where the registry has them; where not, the image is refused, too, or pinned without them (`allow_external_layers`).
    Raises `RegistryError` or `IntegrityError`.
    """
    pinning = Pinning(registry, reference.repository, store, allow_external_layers)
    root = asked = pinning.resolve(reference)
    index = None
    wanted = Platform(architecture=architecture) if architecture is not None else None
    if wanted is not None and isinstance(root.parsed, ImageManifest):
        pinning.check_platform(root.parsed, wanted, reference)
    elif wanted is not None and isinstance(root.parsed, ImageIndex) and reference.digest is None:
        index, root = root.descriptor.digest, pinning.choose(root.parsed, wanted, reference)
    pinning.walk(root, 0)
    store.write(asked.descriptor, asked.raw)
    store.remember(str(reference), asked.descriptor)
    return LockedImage(
        reference=str(reference),
        descriptor=root.descriptor.plain(),
        manifests=tuple(pinning.manifests.values()),
        blobs=tuple(pinning.blobs.values()),
        external=tuple(pinning.external.values()),
        index=index,
    )


@dataclass
class Pinning:
    """The walk through one image, or what refers to one: what it consists of, children before parents."""

    registry: Source
    repository: str
    store: ContentStore
    allow_external_layers: bool
    manifests: dict[Digest, Descriptor] = field(default_factory=dict)
    blobs: dict[Digest, Descriptor] = field(default_factory=dict)
    external: dict[Digest, Descriptor] = field(default_factory=dict)
    _entered: set[Digest] = field(default_factory=set)

    def resolve(self, reference: ImageReference) -> Manifest:
        """What `reference` stands for now: one HEAD where an earlier plan has left it in the store, else one GET."""
        if self.store.recall(str(reference)) is not None and (kept := self._unchanged(reference)) is not None:
            return kept
        return self.registry.read_manifest(self.repository, reference.selector)

    def _unchanged(self, reference: ImageReference) -> Manifest | None:
        """The store's own copy of what the registry says that `reference` is; its word is all that is taken."""
        try:
            said = self.registry.peek(self.repository, reference.selector)
        except RegistryError as error:
            if not error.retryable:
                raise
            return None  # the larger request is the one that insists
        if said is None or said.digest != (reference.digest or said.digest):
            return None
        return self.kept(said)

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
        kept = self.kept(descriptor)
        if kept is not None:
            return kept
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

    def kept(self, descriptor: Descriptor) -> Manifest | None:
        """A manifest that is in the store, and whole; None where it is not."""
        if self.store.exists(descriptor):
            with suppress(IntegrityError):  # the store has put it aside: it is fetched anew
                raw = b"".join(self.store.read(descriptor))
                return parse_manifest(raw, descriptor.media_type, descriptor.digest)
        return None

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
        if len(self.blobs) + len(self.external) >= MAX_BLOBS:
            raise RefusedError(f"{self.registry.host}/{self.repository} has an image of more than {MAX_BLOBS:,} blobs")
        is_external = is_foreign(blob) and self.registry.blob_size(self.repository, blob.digest) is None
        if is_external and not self.allow_external_layers:
            raise RefusedError(
                f"a layer of {self.registry.host}/{self.repository} may not be distributed and is not in its registry",
                hint="leave such an image (Windows base layers) out of this bundle, or leave the layer to the hosts: "
                "--allow-external-layers",
            )
        known = (self.external if is_external else self.blobs).setdefault(blob.digest, blob.plain())
        if known.size != blob.size:
            raise IntegrityError(f"{blob.digest} is given two sizes, {known.size} and {blob.size}")


def _no_platform(reference: ImageReference, wanted: Platform, offered: tuple[Platform, ...]) -> NotFoundError:
    names = ("".join(each for each in str(platform)[:64] if each.isprintable()) for platform in offered)
    listed = f"it is for {', '.join(sorted(set(names)))}" if offered else "it names no platform at all"
    return NotFoundError(
        f"{reference} is not there for {wanted}; {listed}",
        hint="use a tag that has it, leave the image out, or build without --arch to carry all platforms",
    )
