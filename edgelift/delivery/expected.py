"""What a site should have by its last receipt: the receipt, its lock, and the audit that came after it."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from edgelift.archive.place import LOCK, Archive
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.placing import SIGNATURE_SUFFIX
from edgelift.bundle.signed import read_signed
from edgelift.delivery.base import lock_of
from edgelift.delivery.receipt import DeliveryReceipt
from edgelift.documents import read_document
from edgelift.errors import ConfigurationError, EdgeliftError
from edgelift.store.working import KeptLocks

if TYPE_CHECKING:
    from edgelift.bundle.signature import PublicKey

_MARK = 12  # hexadecimal digits of a lock, in the names of an archive that keeps several bundles


class Expected(NamedTuple):
    """The receipt of the last delivery, the lock that it is about, and the receipt of the last audit, if any."""

    receipt: DeliveryReceipt
    lock: BundleLock
    audit: DeliveryReceipt | None


def receipt_path(folder: Path, site: str) -> Path:
    """Where the receipt of the last delivery to `site` is kept."""
    return folder / f"{site}.receipt.json"


def audit_path(folder: Path, site: str) -> Path:
    """Where the receipt of the last audit of `site` is kept, beside that of the delivery."""
    return folder / f"{site}.audit.json"


def drift_path(folder: Path, site: str) -> Path:
    """Where is kept what the last audit of `site` has found, beside its receipt."""
    return folder / f"{site}.drift.json"


def read_receipt(folder: Path, site: str) -> DeliveryReceipt:
    """The receipt of the last delivery to `site`; raises `ConfigurationError` where nothing was delivered yet."""
    path = receipt_path(folder, site)
    if not path.exists():
        raise ConfigurationError(
            f"there is no receipt of {site} yet: {path} is not there",
            hint="synchronise the site first, with the same output folder: an audit looks for what was delivered",
        )
    return DeliveryReceipt.from_json(read_document(path), str(path))


def read_expected(
    folder: Path, site: str, runs: KeptLocks, key: "PublicKey | None" = None, archive: Archive | None = None
) -> Expected:
    """What `site` should have by the receipt in `folder`.

    Its lock is beside it, among those of `runs`, or in the `archive`. With a `key` it has to be
    signed. Raises `ConfigurationError` where nothing was delivered yet, or the lock is nowhere, and `SignatureError`.
    """
    receipt = read_receipt(folder, site)
    path, audited = receipt_path(folder, site), audit_path(folder, site)
    audit = DeliveryReceipt.from_json(read_document(audited), str(audited)) if audited.exists() else None
    try:
        lock = lock_of(receipt, path, runs, key)
    except ConfigurationError:
        found = _archived_lock(receipt, archive, key) if archive is not None else None
        if found is None:
            raise ConfigurationError(
                f"{path} is about the lock {receipt.lock}, which is neither beside it nor in store or archive",
                hint=f"put that lock beside it as {receipt.bundle}{LOCK}, or synchronise the site",
            ) from None
        lock = found
    return Expected(receipt, lock, audit)


def _archived_lock(receipt: DeliveryReceipt, archive: Archive, key: "PublicKey | None") -> BundleLock | None:
    """The lock of `receipt`, wherever a build would have put it in `archive`; None where it is not there."""
    marked = f"{receipt.bundle}-{receipt.lock.hex[:_MARK]}"
    for name in (f"{receipt.bundle}{LOCK}", f"{marked}{LOCK}", f"{marked}/{receipt.bundle}{LOCK}"):
        with TemporaryDirectory(prefix="edgelift-audit-") as folder:
            copy = Path(folder) / f"lock{LOCK}"
            try:
                archive.restore(name, copy, digest=receipt.lock)
                if key is not None:
                    signature = f"{name}{SIGNATURE_SUFFIX}"
                    archive.restore(signature, copy.with_name(f"{copy.name}{SIGNATURE_SUFFIX}"))
                return BundleLock.from_json(read_signed(copy, key), f"{name} in the archive")
            except EdgeliftError:
                continue  # under that name is another lock, or none
    return None
