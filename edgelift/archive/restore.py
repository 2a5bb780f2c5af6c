"""Restore: a bundle comes back from a bucket or a registry, with what goes with it, and has its name once right."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgelift.archive.arrival import RestoredBundle, WantedBundle
from edgelift.archive.place import Progress, RestorableArchive, holds
from edgelift.archive.restore_parts import restore_parts
from edgelift.bundle.parts import index_path
from edgelift.bundle.parts_output import remove_parts
from edgelift.bundle.placing import signature_path
from edgelift.bundle.source import LocalFile
from edgelift.documents import remove_document
from edgelift.oci.digest import Digest
from edgelift.store.disk import disk_errors

if TYPE_CHECKING:
    from edgelift.bundle.signature import PublicKey


def restore_bundle(
    archive: RestorableArchive,
    name: str,
    folder: Path,
    *,
    key: "PublicKey | None" = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    verified: Progress | None = None,
) -> RestoredBundle:
    """Bring the bundle `name` back into `folder`, with NAME.lock.json, and with signatures where it has them.

    One in parts, which its index or any part names, comes back in these parts: see `restore_parts`.
    A cluster definition is taken out of the bundle, and called what its lock calls it.
    Lock and signatures are looked at before anything is fetched: with a `key` they have to be there, and that key's.
    What an earlier run has fetched is continued. The file is compared with the digest that was noted when it was
    archived and with what the server has as its checksum, and verified to the last byte, before it has its name.
    What stands there and is the same stays; anything else raises `StoreError`, unless `overwrite`. `progress` takes the
    bytes that have arrived, `verified` those of content that have been verified.
    """
    wanted = WantedBundle.of(archive, name, key)
    if wanted.index is not None:
        return restore_parts(
            archive,
            name.removesuffix(name.rpartition("/")[2]),
            wanted,
            wanted.index,
            folder,
            key=key,
            overwrite=overwrite,
            progress=progress,
            verified=verified,
        )
    path = folder / name.rpartition("/")[2]
    standing = _standing(path, wanted, archive.noted_digest(name) if path.exists() else None)
    if standing is None:
        wanted.require_free((path, index_path(path)), wanted.others(path), overwrite=overwrite)

        def confirm(arrived: Path) -> None:
            wanted.check(LocalFile(arrived), wanted.url, key, verified)
            remove_document(signature_path(path))  # that of what is replaced now
            if index_path(path).exists():
                with disk_errors(f"remove the parts of {path}"):
                    remove_parts(path)

        digest = archive.restore(name, path, progress=progress, confirm=confirm).digest
    else:
        wanted.require_free((), wanted.others(path), overwrite=overwrite)
        wanted.check(LocalFile(path), str(path), key, verified)
        digest = standing
    wanted.write_others(path, partial(LocalFile, path))
    return RestoredBundle(
        path, wanted.url, wanted.size, digest, wanted.lock, wanted.signature is not None, standing is None
    )


def _standing(path: Path, wanted: WantedBundle, digest: Digest | None) -> Digest | None:
    """The `digest`, where the file at `path` has it already."""
    return digest if digest is not None and holds(path, wanted.size, digest) else None
