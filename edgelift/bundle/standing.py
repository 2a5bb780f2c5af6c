"""A bundle that stands already: writing it once more would give the same bytes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgelift.bundle.file_digest import FileDigest
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.signed import ensure_signature
from edgelift.bundle.verify import verify_open
from edgelift.bundle.writer import BundleSummary, Progress, assemble_bundle
from edgelift.errors import EdgeliftError
from edgelift.oci.content import BufferReader

if TYPE_CHECKING:
    from edgelift.bundle.signature import PrivateKey


def ensure_bundle(
    lock: BundleLock,
    source: BufferReader,
    path: Path,
    *,
    progress: Progress | None = None,
    confirm: Callable[[], None] | None = None,
    key: "PrivateKey | None" = None,
    wants_digest: bool = False,
) -> tuple[BundleSummary, bool]:
    """See that the bundle of `lock` is at `path`; gives its summary, and whether it had to be written.

    One that stands there is verified to the last byte, and left alone where it is right; with a `key` its signature is
    seen to, and with `wants_digest` its summary has the digest of what was verified. What was verified in vain is not
    counted twice as progress. Errors are those of `assemble_bundle`, which asks `confirm`.
    """
    verified = _Meter(progress)
    signature = key.sign(lock.digest) if key is not None else None
    with FileDigest() as digest:
        wanted = digest if key is not None or wants_digest else None
        standing = find_bundle(lock, path, signature=signature, digest=wanted, progress=verified.count)
        if standing is not None:
            if key is not None:
                ensure_signature(path, digest.value(), key)
            return replace(standing, digest=digest.value() if wants_digest else None), False
    meter = _Meter(progress, verified.total)
    return assemble_bundle(lock, source, path, progress=meter.count, confirm=confirm, key=key), True


def find_bundle(
    lock: BundleLock,
    path: Path,
    *,
    signature: bytes | None = None,
    digest: FileDigest | None = None,
    progress: Progress | None = None,
) -> BundleSummary | None:
    """The bundle at `path`, if it is that of `lock` with this `signature`, and every byte of it is right; else None.

    `digest` gets all bytes of the file on the way.
    """
    try:
        with BundleReader.open(path) as bundle:
            if bundle.lock != lock or bundle.lock_signature != signature:
                return None
            blobs = len(bundle.container.blobs)
            found = verify_open(bundle, digest=digest, progress=progress)
    except EdgeliftError:
        return None
    return BundleSummary(path, found.file_size, len(lock.images), blobs, found.content_size)


def has_bundle(lock: BundleLock, path: Path) -> bool:
    """Whether what is at `path` looks like the bundle of `lock`; its content is not looked at."""
    try:
        with BundleReader.open(path) as bundle:
            return bundle.lock == lock
    except EdgeliftError:
        return False


class _Meter:
    """Tells `progress` what goes beyond the first `told` bytes, which it knows of."""

    def __init__(self, progress: Progress | None, told: int = 0) -> None:
        self.total = 0
        self._progress = progress
        self._told = told

    def count(self, size: int) -> None:
        new = min(size, self.total + size - self._told)
        self.total += size
        if new > 0 and self._progress is not None:
            self._progress(new)
