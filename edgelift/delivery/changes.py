"""What a delivery would change at its target, told from the receipt of the last one. Pure."""

from dataclasses import dataclass

from edgelift.bundle.kinds import name_of
from edgelift.bundle.lock import BundleLock
from edgelift.delivery.receipt import DeliveryReceipt


@dataclass(frozen=True)
class Changes:
    """References, as people read them, that arrive, get another digest there, and are asked for no more.

    What is removed stays at the target: a push deletes nothing.
    """

    added: tuple[str, ...]
    moved: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: int

    def __str__(self) -> str:
        return (
            f"{len(self.added)} added, {len(self.moved)} with another digest, {len(self.removed)} asked for no more, "
            f"{self.unchanged} unchanged"
        )


def compare_to_receipt(lock: BundleLock, receipt: DeliveryReceipt) -> Changes:
    """The way from what `receipt` proves to `lock`; a reference that was not proved counts as one that is added."""
    proven = {proof.reference: proof for proof in receipt.proofs if proof.verdict == "ok"}
    known = [(image, proven[image.reference]) for image in lock.images if image.reference in proven]
    moved = [image for image, proof in known if image.descriptor.digest != proof.expected]
    wanted = {image.reference for image in lock.images}
    return Changes(
        added=tuple(name_of(image.reference, image.kind) for image in lock.images if image.reference not in proven),
        moved=tuple(name_of(image.reference, image.kind) for image in moved),
        removed=tuple(
            name_of(proof.reference, proof.kind) for reference, proof in proven.items() if reference not in wanted
        ),
        unchanged=len(known) - len(moved),
    )
