"""What differs between two locks: images by their references, and content by digest. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgelift.bundle.cluster_definition import LockedClusterDefinition
from edgelift.bundle.definition import Origin
from edgelift.bundle.kinds import origins_of
from edgelift.bundle.lock import ArtifactKind, BundleLock, LockedImage
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest


@dataclass(frozen=True)
class Content:
    """Some content, each counted once: how many manifests and blobs (layers and configs), and the bytes of both."""

    manifests: int
    blobs: int
    size: int


@dataclass(frozen=True)
class ImageChange:
    """An image, or artifact of another `kind`, that one lock has and the other has not, or has with another digest.

    `before` is None where it was added, `after` where it was removed. `origins` are those of the later lock, if it has
    the image. `size` are its bytes that the other lock has nowhere; what several changed images share counts in each.
    """

    reference: str
    before: Digest | None
    after: Digest | None
    origins: tuple[Origin, ...]
    size: int
    kind: ArtifactKind | None = None


@dataclass(frozen=True)
class ReferrerChange:
    """An image that both locks have alike, and how many signatures, SBOMs … on it came, and went."""

    reference: str
    added: int
    removed: int


@dataclass(frozen=True)
class DefinitionChange:
    """A cluster definition that came, went, or is another: `before` and `after` are None where there is none."""

    before: LockedClusterDefinition | None
    after: LockedClusterDefinition | None


@dataclass(frozen=True)
class LockDiff:
    """The way from one lock to another: `arriving` is what only the later has, `leaving` what only the earlier has.

    `unchanged` counts the images that both have alike; `referrers` names those of them to which others refer now.
    `cluster_definition` is None where both have the same one, or neither has any. It is in no `Content`.
    """

    added: tuple[ImageChange, ...]
    removed: tuple[ImageChange, ...]
    moved: tuple[ImageChange, ...]
    unchanged: int
    arriving: Content
    leaving: Content
    shared: Content
    referrers: tuple[ReferrerChange, ...] = ()
    cluster_definition: DefinitionChange | None = None


def compare_locks(before: BundleLock, after: BundleLock) -> LockDiff:
    """What changes on the way from `before` to `after`; every list is in the order of its lock."""
    earlier, later = _Side.of(before), _Side.of(after)
    changed = [
        _change(image, earlier.images.get(image.reference), later, earlier)
        for image in after.images
        if not _is_same(image, earlier.images.get(image.reference))
    ]
    removed = [image for image in before.images if image.reference not in later.images]
    return LockDiff(
        added=tuple(change for change in changed if change.before is None),
        removed=tuple(_removal(image, earlier, later) for image in removed),
        moved=tuple(change for change in changed if change.before is not None),
        unchanged=len(after.images) - len(changed),
        arriving=later.without(earlier),
        leaving=earlier.without(later),
        shared=later.within(earlier),
        referrers=tuple(_referrer_changes(after, earlier.images)),
        cluster_definition=_definition_change(before.cluster_definition, after.cluster_definition),
    )


@dataclass(frozen=True)
class _Side:
    """One of the two locks, by what is looked up in it."""

    images: Mapping[str, LockedImage]
    origins: Mapping[str, tuple[Origin, ...]]
    manifests: Mapping[Digest, Descriptor]
    blobs: Mapping[Digest, Descriptor]

    @classmethod
    def of(cls, lock: BundleLock) -> "_Side":
        return cls(
            images={image.reference: image for image in lock.images},
            origins=origins_of(lock),
            manifests={each.digest: each for each in lock.unique_manifests()},
            blobs={each.digest: each for each in lock.unique_blobs()},
        )

    def has(self, digest: Digest) -> bool:
        return digest in self.manifests or digest in self.blobs

    def without(self, other: "_Side") -> Content:
        """What the other one does not have."""
        return _count(
            [each for each in self.manifests.values() if not other.has(each.digest)],
            [each for each in self.blobs.values() if not other.has(each.digest)],
        )

    def within(self, other: "_Side") -> Content:
        """What the other one has as well."""
        return _count(
            [each for each in self.manifests.values() if other.has(each.digest)],
            [each for each in self.blobs.values() if other.has(each.digest)],
        )


def _definition_change(
    before: LockedClusterDefinition | None, after: LockedClusterDefinition | None
) -> DefinitionChange | None:
    return DefinitionChange(before, after) if before != after else None


def _is_same(image: LockedImage, other: LockedImage | None) -> bool:
    return other is not None and image.descriptor.digest == other.descriptor.digest


def _change(image: LockedImage, earlier: LockedImage | None, own: _Side, other: _Side) -> ImageChange:
    before = earlier.descriptor.digest if earlier is not None else None
    origins = own.origins.get(image.reference, ())
    return ImageChange(
        image.reference, before, image.descriptor.digest, origins, _size_beyond(image, other), image.kind
    )


def _removal(image: LockedImage, own: _Side, other: _Side) -> ImageChange:
    origins = own.origins.get(image.reference, ())
    return ImageChange(image.reference, image.descriptor.digest, None, origins, _size_beyond(image, other), image.kind)


def _referrer_changes(after: BundleLock, earlier: Mapping[str, LockedImage]) -> Iterator[ReferrerChange]:
    for image in after.images:
        before = earlier.get(image.reference)
        if before is not None and _is_same(image, before):
            came, went = _referrers_of(image), _referrers_of(before)
            if came != went:
                yield ReferrerChange(image.reference, len(came - went), len(went - came))


def _referrers_of(image: LockedImage) -> set[tuple[Digest, str | None, Digest]]:
    return {(each.subject, each.tag, each.descriptor.digest) for each in image.referrers}


def _size_beyond(image: LockedImage, other: _Side) -> int:
    """Bytes of the image that the other lock does not have."""
    contents = {each.digest: each.size for each in (*image.all_manifests, *image.all_blobs)}
    return sum(size for digest, size in contents.items() if not other.has(digest))


def _count(manifests: list[Descriptor], blobs: list[Descriptor]) -> Content:
    return Content(len(manifests), len(blobs), sum(each.size for each in (*manifests, *blobs)))
