"""A bundle that stands already: writing it once more would give the same bytes."""

from pathlib import Path

from edgelift.bundle.lock import BundleLock
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.verify import verify_bundle
from edgelift.bundle.writer import BundleSummary, Progress, assemble_bundle
from edgelift.errors import EdgeliftError
from edgelift.oci.content import ContentReader


def ensure_bundle(
    lock: BundleLock, source: ContentReader, path: Path, *, progress: Progress | None = None
) -> tuple[BundleSummary, bool]:
    """See that the bundle of `lock` is at `path`; gives its summary, and whether it had to be written.

    One that stands there is verified to the last byte, and left alone where it is right. Errors are those of
    `assemble_bundle`.
    """
    standing = find_bundle(lock, path, progress=progress)
    if standing is not None:
        return standing, False
    return assemble_bundle(lock, source, path, progress=progress), True


def find_bundle(lock: BundleLock, path: Path, *, progress: Progress | None = None) -> BundleSummary | None:
    """The bundle at `path`, if it is that of `lock` and every byte of it is right; else None."""
    try:
        with BundleReader.open(path) as bundle:
            if bundle.lock != lock:
                return None
            blobs = len(bundle.container.blobs)
        found = verify_bundle(path, progress=progress)
    except EdgeliftError:
        return None
    return BundleSummary(path, found.file_size, found.digest, len(lock.images), blobs, found.content_size)
