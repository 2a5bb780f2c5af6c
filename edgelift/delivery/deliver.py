"""Deliver: all of a lock to one target, with threads of its own, and the proof of what is there then."""

from collections.abc import Callable
from dataclasses import dataclass

from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.delivery.receipt import DeliveryReceipt
from edgelift.delivery.send import send_each, send_to_all
from edgelift.delivery.target import Target
from edgelift.delivery.validate import validate_lock
from edgelift.errors import EdgeliftError, IncompleteError, UnreachableError
from edgelift.oci.content import ContentReader
from edgelift.oci.push import KnownBlobs, OnConflict
from edgelift.oci.registry import Registry
from edgelift.oci.source import Source
from edgelift.oci.transfer import Progress, Transfer

Origin = Callable[[LockedImage], Source | None]


@dataclass(frozen=True)
class Delivered:
    """What a delivery took, and what is proved at the target; no `receipt` where that gives no answer any more.

    `failure` names what could not be sent.
    """

    transfer: Transfer
    receipt: DeliveryReceipt | None
    failure: IncompleteError | None = None


def deliver_lock(
    lock: BundleLock,
    source: ContentReader,
    target: Target,
    registry: Registry,
    *,
    copied_from: Origin = lambda image: None,  # noqa: ARG005 - as a rule, all comes from `source`
    known: KnownBlobs,
    on_conflict: OnConflict = "fail",
    deep: bool = False,
    progress: Progress | None = None,
) -> Delivered:
    """Send every image of `lock` to `target`, validate, and send once more what turns out to be broken there.

    Of an image that is `copied_from` its own registry only manifests come from `source`. Where some could not be sent,
    the receipt says what is there all the same. Raises `MalformedReferenceError` for an image that has no name there.
    """

    def send(image: LockedImage, *, force: bool = False) -> Transfer:
        return send_to_all(
            image,
            target.names_of(image),
            source,
            registry,
            copied_from=copied_from(image),
            known=known,
            on_conflict=on_conflict,
            force=force,
            progress=progress,
        )

    sent = send_each(lock.largest_first(), send)
    if any(isinstance(error, UnreachableError) for _, error in sent.failures):
        return Delivered(sent.transfer, None, _incomplete(sent.failures, lock))  # each question would wait in vain
    receipt = validate_lock(lock, target, registry, deep=deep)
    failed = {image.reference for image, _ in sent.failures}
    broken = [image for image in lock.images if image.reference in receipt.broken - failed]
    if not broken:
        return Delivered(sent.transfer, receipt, _incomplete(sent.failures, lock))
    mended = send_each(broken, lambda image: send(image, force=True))
    failures = (*sent.failures, *mended.failures)
    receipt = validate_lock(lock, target, registry, deep=deep)
    return Delivered(sent.transfer + mended.transfer, receipt, _incomplete(failures, lock))


def _incomplete(failures: tuple[tuple[LockedImage, EdgeliftError], ...], lock: BundleLock) -> IncompleteError | None:
    if not failures:
        return None
    return IncompleteError(
        f"{len(failures)} of {len(lock.images)} images could not be pushed; the others are done and stay done",
        [f"{image.reference}: {error}" for image, error in failures],
        hint="run it again: only these are repeated",
        retryable=all(error.retryable for _, error in failures),
    )
