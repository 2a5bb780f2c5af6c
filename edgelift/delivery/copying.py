"""Copy: from registry to registry, without a bundle; all that a lock names, or one image under any name.

Only manifests touch the disk, in the store. What arrived is proved as after a push.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from edgelift.access import Connections
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.delivery.receipt import Proof
from edgelift.delivery.send import send_each, send_to_all
from edgelift.delivery.target import Target, TargetName
from edgelift.delivery.validate import prove_image
from edgelift.errors import IncompleteError
from edgelift.oci.content import ContentStore
from edgelift.oci.push import KnownBlobs, OnConflict
from edgelift.oci.reference import ImageReference
from edgelift.oci.registry import Registry
from edgelift.oci.transfer import Transfer
from edgelift.packs.names import is_local
from edgelift.pin import pin_image
from edgelift.pin_referrers import PARALLEL_SUBJECTS, pin_referrers

ImageDone = Callable[[LockedImage], None]


def copy_entries(
    lock: BundleLock,
    target: Target,
    registry: Registry,
    connections: Connections,
    store: ContentStore,
    *,
    on_conflict: OnConflict = "fail",
    on_image: ImageDone | None = None,
) -> Transfer:
    """Copy every entry of `lock` from its registry to `target`, a delta's as a whole; `on_image` is told of each.

    Raises `IncompleteError` that names all that failed, once the others are done.
    """
    known = KnownBlobs()

    def copy(image: LockedImage) -> Transfer:
        names = target.names_of(image)
        done = _copy(image, names, registry, connections, store, known=known, on_conflict=on_conflict)
        if on_image is not None:
            on_image(image)
        return done

    images = lock.largest_first()
    sent = send_each(images, copy)
    if sent.failures:
        raise IncompleteError(
            f"{len(sent.failures)} of {len(images)} images could not be copied; the others are done and stay done",
            [f"{image.reference}: {error}" for image, error in sent.failures],
            hint="run it again: only these are repeated",
        )
    return sent.transfer


def copy_reference(
    reference: ImageReference,
    destination: ImageReference,
    connections: Connections,
    store: ContentStore,
    *,
    on_conflict: OnConflict = "fail",
) -> tuple[Proof, Transfer]:
    """Copy one image, or artifact, to the tag of `destination`, and what refers to it.

    The proof says whether it is there, and whole.
    """
    source = connections.source(reference.registry, reference.repository)
    image = pin_image(reference, None, source, store)
    with ThreadPoolExecutor(PARALLEL_SUBJECTS, thread_name_prefix="referrers") as pool:
        image = image.model_copy(update={"referrers": pin_referrers(image, source, store, pool)})
    registry, name = (
        connections.registry(destination.registry),
        TargetName(destination.repository, destination.selector),
    )
    transfer = _copy(image, [name], registry, connections, store, known=KnownBlobs(), on_conflict=on_conflict)
    return prove_image(image, name, registry, Target(destination.registry)), transfer


def _copy(
    image: LockedImage,
    names: Sequence[TargetName],
    registry: Registry,
    connections: Connections,
    store: ContentStore,
    *,
    known: KnownBlobs,
    on_conflict: OnConflict,
) -> Transfer:
    source = (
        connections.source_for(image) if not is_local(image.reference) else None
    )  # that is in the store, or nowhere
    return send_to_all(image, names, store, registry, copied_from=source, known=known, on_conflict=on_conflict)
