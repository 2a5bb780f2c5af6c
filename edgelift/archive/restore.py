"""Restore: a bundle comes back from a bucket or a registry, with lock and signatures, and has its name once right."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgelift.archive.place import BUNDLE, LOCK, Progress, RestorableArchive
from edgelift.bundle.container import SIGNATURE_SIZES
from edgelift.bundle.file_digest import FileDigest
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.placing import SIGNATURE_SUFFIX, signature_path
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.signed import check_lock, read_bundle_signature
from edgelift.bundle.verify import verify_open
from edgelift.documents import read_document, remove_document, write_document
from edgelift.errors import BundleError, IntegrityError, StoreError
from edgelift.oci.digest import Digest
from edgelift.store.disk import disk_errors

if TYPE_CHECKING:
    from edgelift.bundle.signature import PublicKey

_OVERWRITE = "restore into another folder, or give --overwrite"


@dataclass(frozen=True)
class RestoredBundle:
    """A bundle that came back to `path` from `url`; `is_new` is False where it stood there, and was found right."""

    path: Path
    url: str
    size: int
    digest: Digest
    lock: BundleLock
    is_signed: bool
    is_new: bool


@dataclass(frozen=True)
class _Wanted:
    """The bundle as it is in the archive: what is known of it before its content is fetched."""

    url: str
    size: int
    lock: BundleLock
    lock_signature: bytes | None
    signature: bytes | None

    def check(self, path: Path, called: str, key: "PublicKey | None", progress: Progress | None) -> None:
        """Raise `BundleError` or `IntegrityError`, which call it `called`, unless the file is that bundle, and right.

        With a `key` the signature of the file has to be that key's.
        """
        try:
            with BundleReader.open(path) as bundle, FileDigest() as digest:
                self._require_same(bundle)
                verify_open(bundle, digest=digest if key is not None else None, progress=progress)
                if key is not None:
                    key.check(self.signature or b"", digest.value(), str(path))
        except (BundleError, IntegrityError) as error:
            raise type(error)(error.message.replace(str(path), called), hint=error.hint) from None

    def _require_same(self, bundle: BundleReader) -> None:
        if (bundle.lock, bundle.lock_signature) != (self.lock, self.lock_signature):
            raise BundleError(
                f"{bundle.name} is another bundle than the one that was asked for",
                hint="it was replaced meanwhile: run it again",
            )


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

    Lock and signatures are looked at before anything is fetched: with a `key` they have to be there, and that key's.
    What an earlier run has fetched is continued. The file is compared with the digest that was noted when it was
    archived and with what the server has as its checksum, and verified to the last byte, before it has its name.
    What stands there and is the same stays; anything else raises `StoreError`, unless `overwrite`. `progress` takes the
    bytes that have arrived, `verified` those of content that have been verified.
    """
    wanted = _look(archive, name, key)
    path = folder / name.rpartition("/")[2]
    lock_path = folder / f"{path.name.removesuffix(BUNDLE)}{LOCK}"
    standing = _standing(path, wanted, archive.noted_digest(name) if path.exists() else None)
    if standing is None:
        _require_free(path, lock_path, wanted, overwrite=overwrite)

        def confirm(arrived: Path) -> None:
            wanted.check(arrived, wanted.url, key, verified)
            remove_document(signature_path(path))  # that of what is replaced now

        digest = archive.restore(name, path, progress=progress, confirm=confirm).digest
    else:
        _require_free(None, lock_path, wanted, overwrite=overwrite)
        wanted.check(path, str(path), key, verified)
        digest = standing
    _write(path, None, wanted.signature)
    _write(lock_path, wanted.lock.to_json(), wanted.lock_signature)
    return RestoredBundle(
        path, wanted.url, wanted.size, digest, wanted.lock, wanted.signature is not None, standing is None
    )


def _look(archive: RestorableArchive, name: str, key: "PublicKey | None") -> _Wanted:
    with BundleReader.of(archive.open(name)) as bundle:
        check_lock(bundle, key)
        if key is not None:
            signature: bytes | None = read_bundle_signature(bundle)
        else:
            signature = bundle.read_beside(SIGNATURE_SUFFIX, SIGNATURE_SIZES.stop)
        return _Wanted(bundle.name, bundle.size, bundle.lock, bundle.lock_signature, signature)


def _standing(path: Path, wanted: _Wanted, digest: Digest | None) -> Digest | None:
    """The `digest`, where the file at `path` has it already."""
    if digest is None or not path.is_file():
        return None
    with disk_errors(f"read {path}"):
        if path.stat().st_size != wanted.size:
            return None
        with path.open("rb") as file:
            found = hashlib.file_digest(file, digest.hasher).hexdigest()
    return digest if found == digest.hex else None


def _require_free(path: Path | None, lock_path: Path, wanted: _Wanted, *, overwrite: bool) -> None:
    """Raise `StoreError` where something else stands that may not be replaced, or cannot be."""
    for place in (path, lock_path):
        if place is None or not (place.exists() or place.is_symlink()):
            continue
        if place.is_symlink() or not place.is_file():
            raise StoreError(f"cannot write {place}: what stands there is no plain file", hint="choose another folder")
        is_same = place == lock_path and read_document(place) == wanted.lock.to_json()
        if not (overwrite or is_same):
            raise StoreError(
                f"{place} stands there already, and is not known to be what {wanted.url} holds", hint=_OVERWRITE
            )


def _write(path: Path, content: bytes | None, signature: bytes | None) -> None:
    """See that `content`, where it is not there yet, and its signature stand; no old one stands beside new content."""
    if content is not None and not (path.is_file() and read_document(path) == content):
        remove_document(signature_path(path))
        write_document(path, content)
    if signature is not None:
        write_document(signature_path(path), signature)
