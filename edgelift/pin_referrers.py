"""Pin what refers to an image: its signatures, attestations and SBOMs, and whatever refers to those in turn.

It is looked for where cosign puts it, under tags that follow from a digest, and among the manifests that name the
digest as their subject; for the image itself and for all that its index names. Only a registry's word that there is
nothing counts as nothing: every other failure is one of the plan.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import chain, count

from edgelift.bundle.lock import LockedImage
from edgelift.bundle.referrer import PREDICATE, LockedReferrer
from edgelift.errors import NotFoundError, RateLimitError, RefusedError, RegistryError
from edgelift.oci.content import ContentStore
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import Manifest
from edgelift.oci.reference import ImageReference
from edgelift.oci.referrer_tags import cosign_tags
from edgelift.oci.source import Source
from edgelift.pin import MAX_MANIFESTS, Pinning

PARALLEL_SUBJECTS = 8  # digests for which it is asked at once what refers to them
MAX_REFERRERS = 1000  # of one image
MAX_DEPTH = 8  # of what refers to what refers …; the signature of an SBOM of an image is the second
_LONGEST = 255  # characters of a type or an annotation that the lock keeps
_HINT = "to carry images without signatures and other referrers, there is --no-signatures"


def pin_referrers(
    image: LockedImage, registry: Source, store: ContentStore, pool: Executor
) -> tuple[LockedReferrer, ...]:
    """All that refers to `image`, each after what it refers to; several digests are looked at together in `pool`.

    Raises `RegistryError` where that cannot be told, `RefusedError` where it is more than any image has, and
    `IntegrityError`.
    """
    search = _Search(registry, ImageReference.parse(image.reference).repository, store)
    found: dict[tuple[Digest, str | None, Digest], LockedReferrer] = {}
    known, asking = set[Digest](), [each.digest for each in image.manifests]
    for _ in range(MAX_DEPTH):
        known.update(asking)
        for each in chain.from_iterable(pool.map(search.look_at, asking)):
            found[each.subject, each.tag, each.descriptor.digest] = each
        digests = (each.descriptor.digest for each in found.values())
        asking = list(dict.fromkeys(digest for digest in digests if digest not in known))
        if not asking:
            return tuple(found.values())
    raise RefusedError(f"more than {MAX_DEPTH} things refer to each other in a row, beginning with the image")


@dataclass
class _Search:
    """Looks in one repository, from several threads."""

    registry: Source
    repository: str
    store: ContentStore
    _seen: Iterator[int] = field(default_factory=lambda: count(1))
    _manifests: int = 0

    def look_at(self, subject: Digest) -> list[LockedReferrer]:
        """What refers to `subject`, in an order that does not depend on the registry."""
        try:
            tagged = [(tag, self.registry.describe(self.repository, tag, certain=True)) for tag in cosign_tags(subject)]
            found = [self._pin(subject, descriptor, tag) for tag, descriptor in tagged if descriptor is not None]
            listed = self.registry.list_referrers(self.repository, subject) or ()
            found += [self._pin(subject, each) for each in sorted(listed, key=lambda each: each.digest)]
        except RateLimitError:
            raise
        except RegistryError as error:
            error.message = f"what refers to {subject[:19]}… cannot be told: {error.message}"
            error.hint = "; ".join(filter(None, (error.hint, _HINT)))
            raise
        return [each for each in found if each is not None]

    def _pin(self, subject: Digest, descriptor: Descriptor, tag: str | None = None) -> LockedReferrer | None:
        """The referrer with all that it needs; None where it stands on a list, but does not refer to `subject`."""
        if next(self._seen) > MAX_REFERRERS:
            raise RefusedError(f"more than {MAX_REFERRERS:,} things refer to the image")
        pinning = Pinning(self.registry, self.repository, self.store, allow_external_layers=False)
        manifest = pinning.kept(descriptor) or self._read(descriptor)
        if tag is None and manifest.subject != subject:
            return None
        pinning.walk(manifest, 0)
        self._manifests += len(pinning.manifests)  # no matter if two threads count at once: it is only a limit
        if self._manifests > MAX_MANIFESTS:
            raise RefusedError(f"what refers to the image has more than {MAX_MANIFESTS:,} manifests")
        return LockedReferrer(
            descriptor=manifest.descriptor.plain() if tag is not None else _described(manifest),
            manifests=tuple(pinning.manifests.values()),
            blobs=tuple(pinning.blobs.values()),
            subject=subject,
            tag=tag,
        )

    def _read(self, descriptor: Descriptor) -> Manifest:
        try:
            return self.registry.read_manifest(self.repository, descriptor.digest)
        except NotFoundError as error:
            raise NotFoundError(
                f"a referrer is listed that is not there: {error.message}",
                hint="have it pushed again, or taken off that list",
            ) from None


def _described(manifest: Manifest) -> Descriptor:
    """What the lock says of a referrer: its type, and of its annotations the one that tells signatures from others."""
    listed = manifest.listed
    kind, predicate = listed.artifact_type or "", (listed.annotations or {}).get(PREDICATE, "")
    return manifest.descriptor.plain().model_copy(
        update={
            "artifact_type": kind if 0 < len(kind) <= _LONGEST else None,
            "annotations": {PREDICATE: predicate} if 0 < len(predicate) <= _LONGEST else None,
        }
    )
