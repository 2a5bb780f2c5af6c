"""A bundle that stands already: writing it once more would give the same bytes."""

from collections.abc import Callable
from pathlib import Path

from edgelift.bundle.lock import BundleLock
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.verify import verify_open
from edgelift.bundle.writer import BundleSummary, Progress, assemble_bundle
from edgelift.errors import EdgeliftError
from edgelift.oci.content import BufferReader


def ensure_bundle(
    lock: BundleLock,
    source: BufferReader,
    path: Path,
    *,
    progress: Progress | None = None,
    confirm: Callable[[], None] | None = None,
) -> tuple[BundleSummary, bool]:
    """See that the bundle of `lock` is at `path`; gives its summary, and whether it had to be written.

    One that stands there is verified to the last byte, and left alone where it is right. What was verified in vain is
    not counted twice as progress. Errors are those of `assemble_bundle`, which asks `confirm`.
    """
    verified = _Meter(progress)
    standing = find_bundle(lock, path, progress=verified.count)
    if standing is not None:
        return standing, False
    meter = _Meter(progress, verified.total)
    return assemble_bundle(lock, source, path, progress=meter.count, confirm=confirm), True


def find_bundle(lock: BundleLock, path: Path, *, progress: Progress | None = None) -> BundleSummary | None:
    """The bundle at `path`, if it is that of `lock` and every byte of it is right; else None."""
    try:
        with BundleReader.open(path) as bundle:
            if bundle.lock != lock:
                return None
            blobs = len(bundle.container.blobs)
            found = verify_open(bundle, progress=progress)
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
