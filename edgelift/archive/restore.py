"""Restore: a bundle comes back from a bucket or a registry, with what goes with it, and has its name once right."""

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgelift.archive.place import BUNDLE, CLUSTER_DEFINITION, LOCK, Progress, RestorableArchive
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
    definition_signature: bytes | None

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

    A cluster definition is taken out of the bundle, and called what its lock calls it.
    Lock and signatures are looked at before anything is fetched: with a `key` they have to be there, and that key's.
    What an earlier run has fetched is continued. The file is compared with the digest that was noted when it was
    archived and with what the server has as its checksum, and verified to the last byte, before it has its name.
    What stands there and is the same stays; anything else raises `StoreError`, unless `overwrite`. `progress` takes the
    bytes that have arrived, `verified` those of content that have been verified.
    """
    wanted = _look(archive, name, key)
    path = folder / name.rpartition("/")[2]
    lock_path = folder / f"{path.name.removesuffix(BUNDLE)}{LOCK}"
    definition = wanted.lock.cluster_definition
    definition_path = folder / definition.file_name if definition is not None else None
    others = (lock_path, *([definition_path] if definition_path is not None else []))
    standing = _standing(path, wanted, archive.noted_digest(name) if path.exists() else None)
    if standing is None:
        _require_free(path, others, wanted, overwrite=overwrite)

        def confirm(arrived: Path) -> None:
            wanted.check(arrived, wanted.url, key, verified)
            remove_document(signature_path(path))  # that of what is replaced now

        digest = archive.restore(name, path, progress=progress, confirm=confirm).digest
    else:
        _require_free(None, others, wanted, overwrite=overwrite)
        wanted.check(path, str(path), key, verified)
        digest = standing
    _write(path, None, wanted.signature)
    _write(lock_path, wanted.lock.to_json(), wanted.lock_signature)
    if definition is not None and definition_path is not None:
        with BundleReader.open(path) as bundle:
            _write(definition_path, definition.read_from(bundle), wanted.definition_signature)
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
        of_definition = _definition_signature(archive, name, bundle.lock, key)
        return _Wanted(bundle.name, bundle.size, bundle.lock, bundle.lock_signature, signature, of_definition)


def _definition_signature(
    archive: RestorableArchive, name: str, lock: BundleLock, key: "PublicKey | None"
) -> bytes | None:
    """The signature of the cluster definition that is kept beside the bundle; None where there is none.

    With a `key` it has to be that key's. It may be missing all the same: the bundle's own covers the content.
    """
    definition, beside = lock.cluster_definition, f"{name.removesuffix(BUNDLE)}{CLUSTER_DEFINITION}"
    if definition is None or archive.noted_digest(beside) != definition.digest:
        return None
    with closing(archive.open(beside)) as kept:
        signature = kept.read_beside(SIGNATURE_SUFFIX, SIGNATURE_SIZES.stop)
        if key is not None and signature is not None:
            key.check(signature, definition.digest, kept.name)
    return signature


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


def _require_free(path: Path | None, others: Sequence[Path], wanted: _Wanted, *, overwrite: bool) -> None:
    """Raise `StoreError` where something else stands that may not be replaced, or cannot be."""
    known = {wanted.lock.digest, *(each.digest for each in wanted.lock.attached)}
    for place in (path, *others):
        if place is None or not (place.exists() or place.is_symlink()):
            continue
        if place.is_symlink() or not place.is_file():
            raise StoreError(f"cannot write {place}: what stands there is no plain file", hint="choose another folder")
        is_same = place in others and Digest.of(read_document(place)) in known
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
