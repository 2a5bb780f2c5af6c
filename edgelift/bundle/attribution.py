"""Who needs which bytes of a lock: profiles, packs and images, and what several of them share. Pure.

Only what is carried counts, each digest once: what a delta leaves out costs nothing. A cluster definition is nobody's,
and told by itself.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from edgelift.bundle.cluster_definition import LockedClusterDefinition
from edgelift.bundle.kinds import origins_of
from edgelift.bundle.lock import ArtifactKind, BundleLock
from edgelift.oci.descriptor import Descriptor

_Holder = TypeVar("_Holder", bound=Hashable)


@dataclass(frozen=True, order=True)
class Asker:
    """A pack of a profile that asks for images. Both are empty for images that were asked for by their names."""

    profile: str
    pack: str

    def __str__(self) -> str:
        return " > ".join(part for part in (self.profile, self.pack) if part) or "no pack"


@dataclass(frozen=True)
class Cost:
    """Bytes that something needs, each counted once: without it, the `unique` ones would not be carried."""

    unique: int
    shared: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.unique + self.shared

    def document(self) -> dict[str, int]:
        """The same for scripts."""
        return {"total_bytes": self.total, "unique_bytes": self.unique, "shared_bytes": self.shared}


@dataclass(frozen=True)
class ProfileCost:
    """What a profile costs, as a whole; its name is empty for images that no profile asks for."""

    profile: str
    packs: int
    images: int
    cost: Cost


@dataclass(frozen=True)
class PackCost:
    """What a pack costs, with so many images."""

    asker: Asker
    images: int
    cost: Cost


@dataclass(frozen=True)
class ImageCost:
    """What an image costs, and who asks for it."""

    reference: str
    kind: ArtifactKind | None
    askers: tuple[Asker, ...]
    cost: Cost


@dataclass(frozen=True)
class Piece:
    """A manifest, config or layer that is carried; the images that need it, by reference, and who asks for them."""

    descriptor: Descriptor
    images: tuple[str, ...]
    askers: tuple[Asker, ...]

    @property
    def is_shared(self) -> bool:
        """Whether more than one image, or more than one pack, needs it."""
        return len(self.images) > 1 or len(self.askers) > 1


@dataclass(frozen=True)
class SizeAttribution:
    """What of a lock costs how much: `carried` and `left_out` are bytes, each digest once.

    Profiles, packs and images come with the most unique bytes first; `shared` is what more than one image needs, the
    largest first. The `cluster_definition`, where there is one, is a part of what is carried.
    """

    carried: int
    left_out: int
    cluster_definition: LockedClusterDefinition | None
    profiles: tuple[ProfileCost, ...]
    packs: tuple[PackCost, ...]
    images: tuple[ImageCost, ...]
    shared: tuple[Piece, ...]

    @property
    def saved(self) -> int:
        """Bytes that would be carried besides, if images shared nothing."""
        return sum(piece.descriptor.size * (len(piece.images) - 1) for piece in self.shared)

    def document(self) -> dict[str, Any]:
        """All of it for scripts; sizes are in bytes."""
        definition = self.cluster_definition
        return {
            "carried_bytes": self.carried,
            "left_out_bytes": self.left_out,
            "saved_bytes": self.saved,
            "cluster_definition": {"name": definition.name, "bytes": definition.size} if definition else None,
            "profiles": [
                {"profile": each.profile, "packs": each.packs, "images": each.images, **each.cost.document()}
                for each in self.profiles
            ],
            "packs": [_named(each.asker) | {"images": each.images} | each.cost.document() for each in self.packs],
            "images": [
                {
                    "reference": each.reference,
                    "kind": each.kind,
                    "packs": [_named(asker) for asker in each.askers],
                    **each.cost.document(),
                }
                for each in self.images
            ],
            "shared": [
                {
                    "digest": piece.descriptor.digest,
                    "media_type": piece.descriptor.media_type,
                    "size": piece.descriptor.size,
                    "images": list(piece.images),
                    "packs": [_named(asker) for asker in piece.askers],
                }
                for piece in self.shared
            ],
        }


def attribute_sizes(lock: BundleLock) -> SizeAttribution:
    """What each profile, pack and image of `lock` costs, and what they share."""
    pieces, askers = pieces_of(lock), _askers(lock)
    by_image = _costs(pieces, lambda piece: piece.images)
    by_pack = _costs(pieces, lambda piece: piece.askers)
    by_profile = _costs(pieces, lambda piece: {asker.profile for asker in piece.askers})
    images_of_packs = Counter(asker for listed in askers.values() for asker in listed)
    images_of_profiles = Counter(name for listed in askers.values() for name in {asker.profile for asker in listed})
    packs_of_profiles = Counter(asker.profile for asker in images_of_packs)
    images = (
        ImageCost(image.reference, image.kind, askers[image.reference], by_image[image.reference])
        for image in lock.images
    )
    packs = (PackCost(asker, images_of_packs[asker], cost) for asker, cost in by_pack.items())
    profiles = (
        ProfileCost(name, packs_of_profiles[name], images_of_profiles[name], cost) for name, cost in by_profile.items()
    )
    shared = [piece for piece in pieces if len(piece.images) > 1]
    return SizeAttribution(
        carried=sum(each.size for each in (*(piece.descriptor for piece in pieces), *lock.attached)),
        left_out=lock.left_out_size,
        cluster_definition=lock.cluster_definition,
        profiles=tuple(sorted(profiles, key=lambda each: (*_costliest(each.cost), each.profile))),
        packs=tuple(sorted(packs, key=lambda each: (*_costliest(each.cost), each.asker))),
        images=tuple(sorted(images, key=lambda each: (*_costliest(each.cost), each.reference))),
        shared=tuple(sorted(shared, key=lambda piece: (-piece.descriptor.size, piece.descriptor.digest))),
    )


def pieces_of(lock: BundleLock) -> list[Piece]:
    """All that `lock` carries of images, each digest once, in the order in which they name it."""
    askers, left_out = _askers(lock), lock.left_out
    found, needing = dict[str, Descriptor](), defaultdict[str, dict[str, None]](dict)
    for image in lock.images:
        for each in (*image.all_manifests, *image.all_blobs):
            if each.digest not in left_out:
                found.setdefault(each.digest, each)
                needing[each.digest][image.reference] = None
    return [
        Piece(descriptor, tuple(needing[digest]), _joined(askers, needing[digest]))
        for digest, descriptor in found.items()
    ]


def _askers(lock: BundleLock) -> dict[str, tuple[Asker, ...]]:
    """Who asks for each image, by its reference; nobody's images are those of one without names."""
    asked = origins_of(lock)
    return {
        image.reference: tuple(
            sorted({Asker(origin.profile, origin.pack) for origin in asked.get(image.reference, ())})
        )
        or (Asker("", ""),)
        for image in lock.images
    }


def _joined(askers: Mapping[str, Sequence[Asker]], references: Collection[str]) -> tuple[Asker, ...]:
    return tuple(sorted({asker for reference in references for asker in askers[reference]}))


def _costs(pieces: Sequence[Piece], needed_by: Callable[[Piece], Collection[_Holder]]) -> dict[_Holder, Cost]:
    unique, shared = Counter[_Holder](), Counter[_Holder]()
    for piece in pieces:
        holders = needed_by(piece)
        for holder in holders:
            (unique if len(holders) == 1 else shared)[holder] += piece.descriptor.size
    return {holder: Cost(unique[holder], shared[holder]) for holder in unique.keys() | shared.keys()}


def _costliest(cost: Cost) -> tuple[int, int]:
    return -cost.unique, -cost.shared


def _named(asker: Asker) -> dict[str, Any]:
    return {"profile": asker.profile, "pack": asker.pack}
