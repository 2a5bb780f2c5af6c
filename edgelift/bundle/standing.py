"""A bundle that stands already: writing it once more would give the same bytes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgelift.bundle.file_digest import FileDigest
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.parts import index_path
from edgelift.bundle.parts_output import remove_parts
from edgelift.bundle.placing import writing
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.signed import ensure_signature
from edgelift.bundle.spanned import SpannedFile
from edgelift.bundle.verify import verify_open
from edgelift.bundle.writer import BundleSummary, Progress, assemble_bundle
from edgelift.documents import read_document
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
    part_size: int | None = None,
) -> tuple[BundleSummary, bool]:
    """See that the bundle of `lock` is at `path`, in parts where there is a `part_size`.

    Gives its summary, and whether it had to be written.

    One that stands there is verified to the last byte, and left alone where it is right; with a `key` its signature is
    seen to, and with `wants_digest` its summary has the digest of what was verified. What was verified in vain is not
    counted twice as progress. Errors are those of `assemble_bundle`, which asks `confirm`.
    """
    verified = _Meter(progress)
    signature = key.sign(lock.digest) if key is not None else None
    with FileDigest() as digest:
        wanted = digest if key is not None or wants_digest else None
        standing = find_bundle(
            lock, path, signature=signature, digest=wanted, progress=verified.count, part_size=part_size
        )
        if standing is not None:
            _remove_other_form(path, part_size)
            if key is not None:
                ensure_signature(path, digest.value(), key)
            return replace(standing, digest=digest.value() if wants_digest else None), False
    meter = _Meter(progress, verified.total)
    summary = assemble_bundle(lock, source, path, progress=meter.count, confirm=confirm, key=key, part_size=part_size)
    return summary, True


def _remove_other_form(path: Path, part_size: int | None) -> None:
    """A name stands for one bundle, in one file or in parts: a run that was killed in between may have left both."""
    with writing(path, 0):
        if part_size is None:
            remove_parts(path)
        else:
            path.unlink(missing_ok=True)


def find_bundle(
    lock: BundleLock,
    path: Path,
    *,
    signature: bytes | None = None,
    digest: FileDigest | None = None,
    progress: Progress | None = None,
    part_size: int | None = None,
) -> BundleSummary | None:
    """The bundle at `path`, if it is that of `lock` with this `signature`, and every byte of it is right; else None.

    With a `part_size` it has to be in such parts. `digest` gets all bytes of the file on the way.
    """
    place = standing_place(path, part_size)
    try:
        with BundleReader.open(place) as bundle:
            index = bundle.tar.source.index if isinstance(bundle.tar.source, SpannedFile) else None
            if index is not None and (index.part_size != part_size or read_document(place) != index.to_json()):
                return None
            if bundle.lock != lock or bundle.lock_signature != signature:
                return None
            blobs = len(bundle.container.blobs)
            found = verify_open(bundle, digest=digest, progress=progress)
    except EdgeliftError:
        return None
    parts = tuple(path.with_name(part.name) for part in index.parts) if index is not None else ()
    return BundleSummary(place, found.file_size, len(lock.images), blobs, found.content_size, parts=parts)


def standing_place(path: Path, part_size: int | None) -> Path:
    """Where the bundle `path` is opened: itself, or its index where it is in parts of `part_size` bytes."""
    return path if part_size is None else index_path(path)


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
