"""Restore in parts: each part comes back by itself, and the index last; while there is none, there is no bundle."""

import glob
from pathlib import Path
from typing import TYPE_CHECKING

from edgelift.archive.arrival import RestoredBundle, WantedBundle
from edgelift.archive.place import Progress, RestorableArchive, holds
from edgelift.bundle.part_files import open_parts_of
from edgelift.bundle.parts import BundlePart, PartsIndex, index_path, whole_name
from edgelift.bundle.placing import signature_path, sync_names
from edgelift.bundle.spanned import SpannedFile
from edgelift.documents import read_document, write_document
from edgelift.errors import BundleError, IntegrityError
from edgelift.store.disk import disk_errors

if TYPE_CHECKING:
    from edgelift.bundle.signature import PublicKey


def restore_parts(
    archive: RestorableArchive,
    prefix: str,
    wanted: WantedBundle,
    index: PartsIndex,
    folder: Path,
    *,
    key: "PublicKey | None" = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    verified: Progress | None = None,
) -> RestoredBundle:
    """Bring back what is `wanted`: the parts of `index`, whose names in `archive` begin with `prefix`.

    As `restore_bundle`; with a `key`, the digest in the index has to be signed, too, before anything is fetched. Parts
    that stand in `folder` and are right stay, as does what a run that was broken off has got of one; the others are
    fetched. All of it is verified as a bundle, and then gets its index, which makes it one. With `overwrite`, another
    bundle of that name is gone before its first part is replaced: the disk need not have room for both.
    """
    if key is not None:
        key.check(wanted.signature or b"", index.digest, wanted.url)
    files = _PartFiles(folder, index)
    is_new = not files.are_a_bundle()
    wanted.require_free(files.in_the_way() if is_new else (), wanted.others(files.whole), overwrite=overwrite)
    if is_new:
        files.make_way()
        _fetch(archive, prefix, files, progress)
    try:
        wanted.check(files.open(), wanted.url if is_new else str(files.whole), key, verified)
    except (BundleError, IntegrityError):
        files.remove(files.fetched)  # lest a later run takes them for good ones
        raise
    wanted.write_others(files.whole, files.open)
    if is_new:
        write_document(files.index_file, index.to_json())
        sync_names(folder)
    return RestoredBundle(
        path=files.index_file,
        url=wanted.url,
        size=wanted.size,
        digest=index.digest,
        lock=wanted.lock,
        is_signed=wanted.signature is not None,
        is_new=is_new,
        parts=files.parts,
    )


class _PartFiles:
    """The files of the parts of `index` in `folder`, as far as they are there; `fetched` are those that came now."""

    def __init__(self, folder: Path, index: PartsIndex) -> None:
        self.index = index
        self.whole = folder / index.name
        self.index_file = index_path(self.whole)
        self.parts = tuple(folder / part.name for part in index.parts)
        self.right = {path for path, part in zip(self.parts, index.parts, strict=True) if _is(path, part)}
        self.fetched: list[Path] = []

    def are_a_bundle(self) -> bool:
        """Whether all are there and right, and have this index."""
        return len(self.right) == len(self.parts) and self._has_index()

    def in_the_way(self) -> list[Path]:
        """What stands under names that this bundle needs, or that would be taken for it, and is none of it."""
        name = self.whole.name
        called = self.whole.parent.glob(f"{glob.escape(name)}.part-*")
        parts = sorted(path for path in called if whole_name(path.name) == name and path not in self.right)
        index = [] if self._has_index() else [self.index_file]
        return [path for path in (self.whole, *index, *parts) if path.exists() or path.is_symlink()]

    def make_way(self) -> None:
        """Remove what is in the way: the index first, as what is left without it is no bundle."""
        self.remove([self.index_file, signature_path(self.whole), *self.in_the_way()])

    def remove(self, paths: list[Path]) -> None:
        """Remove these; raises `StoreError`."""
        with disk_errors(f"remove what stands for {self.whole}"):
            for path in paths:
                path.unlink(missing_ok=True)

    def open(self) -> SpannedFile:
        """The whole that they make."""
        return open_parts_of(self.index_file, self.index)

    def _has_index(self) -> bool:
        return self.index_file.is_file() and read_document(self.index_file) == self.index.to_json()


def _is(path: Path, part: BundlePart) -> bool:
    return holds(path, part.size, part.digest)


def _fetch(archive: RestorableArchive, prefix: str, files: _PartFiles, progress: Progress | None) -> None:
    """Fetch the parts that are not there, one after the other."""
    for path, part in zip(files.parts, files.index.parts, strict=True):
        if path not in files.right:
            archive.restore(f"{prefix}{part.name}", path, digest=part.digest, progress=progress)
            files.fetched.append(path)
        elif progress is not None:
            progress(part.size)
