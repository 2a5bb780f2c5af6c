"""From a lock to what its treemap shows: packs, in them images, in them layers; every byte in one place. Pure.

A cluster definition has a box beside the packs.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from edgelift.bundle.attribution import Asker, Piece, pieces_of
from edgelift.bundle.cluster_definition import LockedClusterDefinition
from edgelift.bundle.lock import BundleLock
from edgelift.oci.manifest import INDEX_TYPES, MANIFEST_TYPES
from edgelift.sizes import format_size

NodeKind = Literal["pack", "image", "layer", "shared"]
_LISTED = 10  # sharers that a tooltip names


@dataclass(frozen=True)
class Node:
    """A box: what is written in it, what its tooltip says (line by line), its bytes, and the boxes in it.

    A layer that several images or packs need is of the kind `shared`, and so is the group of what several packs need.
    """

    kind: NodeKind
    label: str
    details: tuple[str, ...]
    size: int
    children: tuple["Node", ...] = ()


def content_tree(lock: BundleLock) -> tuple[Node, ...]:
    """The boxes of `lock`, largest first: one a pack, one for what several packs need, one for the cluster definition.

    What several images of one pack need is in that pack's box, beside its images. Together the boxes have the bytes
    that are carried.
    """
    by_pack, common = defaultdict[Asker, list[Piece]](list), list[Piece]()
    for piece in pieces_of(lock):
        if piece.descriptor.size:
            (by_pack[piece.askers[0]] if len(piece.askers) == 1 else common).append(piece)
    boxes = [_group("pack", str(asker), "only this pack needs", pieces) for asker, pieces in by_pack.items()]
    if common:
        boxes.append(_group("shared", "several packs", "several packs need", common))
    if lock.cluster_definition is not None:
        boxes.append(_cluster_definition(lock.cluster_definition))
    return _largest_first(boxes)


def _cluster_definition(definition: LockedClusterDefinition) -> Node:
    label = f"cluster definition {definition.name}"
    return Node("pack", label, (f"{label}: {format_size(definition.size)}", definition.digest), definition.size)


def _group(kind: NodeKind, label: str, need: str, pieces: Sequence[Piece]) -> Node:
    """The box of a pack, or of what several packs need: the images that have something of their own, and the rest."""
    own, shared = defaultdict[str, list[Piece]](list), list[Piece]()
    for piece in pieces:
        (own[piece.images[0]] if len(piece.images) == 1 else shared).append(piece)
    boxes = [_image(reference, listed) for reference, listed in own.items()]
    boxes += [_layer(piece) for piece in shared]
    size = _sum(boxes)
    return Node(kind, label, (label, f"{format_size(size)} that {need}"), size, _largest_first(boxes))


def _image(reference: str, pieces: Sequence[Piece]) -> Node:
    """What only one image needs, though several packs may ask for it."""
    boxes = [_layer(piece) for piece in pieces]
    size = _sum(boxes)
    details = (reference, f"{format_size(size)} that only this image needs", *_askers(pieces[0]))
    return Node("image", reference, details, size, _largest_first(boxes))


def _layer(piece: Piece) -> Node:
    size = format_size(piece.descriptor.size)
    details = (f"{_kind_of(piece)} of {size}, {piece.descriptor.digest}", *_sharers(piece))
    label = f"{size}, {len(piece.images)} images" if len(piece.images) > 1 else size
    return Node("shared" if piece.is_shared else "layer", label, details, piece.descriptor.size)


def _kind_of(piece: Piece) -> str:
    media_type = piece.descriptor.media_type
    if media_type in INDEX_TYPES | MANIFEST_TYPES:
        return "index" if media_type in INDEX_TYPES else "manifest"
    return "config" if ".config." in media_type or ".container.image." in media_type else "layer"


def _sharers(piece: Piece) -> tuple[str, ...]:
    """The images that need it, and the packs that ask for them, where there are several."""
    images = ("needed by:", *_first(piece.images)) if len(piece.images) > 1 else piece.images
    return (*images, *_askers(piece))


def _askers(piece: Piece) -> tuple[str, ...]:
    asked = [str(asker) for asker in piece.askers]
    return ("asked for by:", *_first(asked)) if len(asked) > 1 else (f"asked for by {asked[0]}",)


def _first(names: Sequence[str]) -> tuple[str, ...]:
    rest = len(names) - _LISTED
    listed = (f"- {name}" for name in names[:_LISTED])
    return (*listed, f"- and {rest} more") if rest > 0 else tuple(listed)


def _sum(boxes: Iterable[Node]) -> int:
    return sum(box.size for box in boxes)


def _largest_first(boxes: Iterable[Node]) -> tuple[Node, ...]:
    return tuple(sorted(boxes, key=lambda box: (-box.size, box.details)))
