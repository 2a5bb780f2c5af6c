"""What a delivery would change, told from the last receipt."""

from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.delivery.changes import compare_to_receipt
from edgelift.delivery.receipt import DeliveryReceipt, Proof, Verdict
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_MANIFEST


def locked(name: str, content: str = "now") -> LockedImage:
    """An image without layers, whose digest is that of `content`."""
    raw = content.encode()
    descriptor = Descriptor(media_type=OCI_MANIFEST, digest=Digest.of(raw), size=len(raw))
    return LockedImage(reference=f"quay.io/edge/{name}:1", descriptor=descriptor, manifests=(descriptor,), blobs=())


def proof(name: str, content: str = "now", verdict: Verdict = "ok") -> Proof:
    """What a receipt says of it."""
    reference = f"quay.io/edge/{name}:1"
    return Proof(reference=reference, target=f"m/{reference}", verdict=verdict, expected=Digest.of(content.encode()))


def test_changes_are_told_by_reference() -> None:
    """What was not proved at the target counts as one that has to come."""
    images = tuple(locked(name) for name in ("kept", "lost", "moved", "new"))
    asked = tuple(RequestedImage(reference=image.reference) for image in images)
    lock = BundleLock(definition=BundleDefinition(name="site", images=asked), images=images)
    proofs = (proof("kept"), proof("lost", verdict="missing"), proof("moved", "before"), proof("old"))
    receipt = DeliveryReceipt(
        registry="m", bundle="site", lock=Digest.of(b""), deep=False, checked_at="2026-01-02T03:04:05Z", proofs=proofs
    )

    changes = compare_to_receipt(lock, receipt)

    assert (changes.added, changes.moved, changes.removed, changes.unchanged) == (
        ("quay.io/edge/lost:1", "quay.io/edge/new:1"),
        ("quay.io/edge/moved:1",),
        ("quay.io/edge/old:1",),
        1,
    )
    assert str(changes) == "2 added, 1 with another digest, 1 asked for no more, 1 unchanged"
