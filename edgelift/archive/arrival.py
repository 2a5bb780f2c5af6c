"""A bundle that is to come back: what is known of it before its content is fetched, and the small files beside it."""

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgelift.archive.place import BUNDLE, CLUSTER_DEFINITION, LOCK, Progress, RestorableArchive
from edgelift.bundle.container import SIGNATURE_SIZES
from edgelift.bundle.file_digest import FileDigest
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.parts import PartsIndex, whole_name
from edgelift.bundle.placing import SIGNATURE_SUFFIX, signature_path
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.signed import check_lock, read_bundle_signature
from edgelift.bundle.source import ByteSource
from edgelift.bundle.spanned import SpannedFile
from edgelift.bundle.verify import verify_open
from edgelift.documents import read_document, remove_document, write_document
from edgelift.errors import BundleError, IntegrityError, StoreError
from edgelift.oci.digest import Digest

if TYPE_CHECKING:
    from edgelift.bundle.signature import PublicKey

_OVERWRITE = "restore into another folder, or give --overwrite"


@dataclass(frozen=True)
class RestoredBundle:
    """A bundle that came back to `path` from `url`; `is_new` is False where it stood there, and was found right.

    Where it is in `parts`, `path` is their index.
    """

    path: Path
    url: str
    size: int
    digest: Digest
    lock: BundleLock
    is_signed: bool
    is_new: bool
    parts: tuple[Path, ...] = ()


@dataclass(frozen=True)
class WantedBundle:
    """The bundle as it is in the archive; `index` is that of its parts, where it is in parts."""

    url: str
    size: int
    lock: BundleLock
    index: PartsIndex | None
    lock_signature: bytes | None
    signature: bytes | None
    definition_signature: bytes | None

    @classmethod
    def of(cls, archive: RestorableArchive, name: str, key: "PublicKey | None") -> "WantedBundle":
        """Look at lock and signatures of what is kept under `name`; with a `key` they have to be that key's."""
        with BundleReader.of(archive.open(name)) as bundle:
            check_lock(bundle, key)
            if key is not None:
                signature: bytes | None = read_bundle_signature(bundle)
            else:
                signature = bundle.read_beside(SIGNATURE_SUFFIX, SIGNATURE_SIZES.stop)
            source = bundle.tar.source
            return cls(
                url=bundle.name,
                size=bundle.size,
                lock=bundle.lock,
                index=source.index if isinstance(source, SpannedFile) else None,
                lock_signature=bundle.lock_signature,
                signature=signature,
                definition_signature=_definition_signature(archive, whole_name(name) or name, bundle.lock, key),
            )

    def check(self, source: ByteSource, called: str, key: "PublicKey | None", progress: Progress | None) -> None:
        """Raise `BundleError` or `IntegrityError`, which say `called`, unless `source` is that bundle, and right.

        With a `key` the signature of the file has to be that key's. `source` is closed.
        """
        try:
            with BundleReader.of(source) as bundle, FileDigest() as digest:
                self._require_same(bundle)
                verify_open(bundle, digest=digest if key is not None else None, progress=progress)
                if key is not None:
                    key.check(self.signature or b"", digest.value(), source.name)
        except (BundleError, IntegrityError) as error:
            raise type(error)(error.message.replace(source.name, called), hint=error.hint) from None

    def others(self, path: Path) -> tuple[Path, ...]:
        """Where its lock and its cluster definition are to stand beside the bundle `path`."""
        definition = self.lock.cluster_definition
        named = (definition.file_name,) if definition is not None else ()
        return tuple(path.with_name(name) for name in (f"{path.name.removesuffix(BUNDLE)}{LOCK}", *named))

    def require_free(self, places: Iterable[Path], others: Iterable[Path], *, overwrite: bool) -> None:
        """Raise `StoreError` where something stands at `places`, or something else at `others`, unless `overwrite`.

        What is no plain file is never replaced.
        """
        known = {self.lock.digest, *(each.digest for each in self.lock.attached)}
        others = tuple(others)
        for place in (*places, *others):
            if not (place.exists() or place.is_symlink()):
                continue
            if place.is_symlink() or not place.is_file():
                raise StoreError(
                    f"cannot write {place}: what stands there is no plain file", hint="choose another folder"
                )
            is_same = place in others and Digest.of(read_document(place)) in known
            if not (overwrite or is_same):
                raise StoreError(
                    f"{place} stands there already, and is not known to be what {self.url} holds", hint=_OVERWRITE
                )

    def write_others(self, path: Path, open_it: Callable[[], ByteSource]) -> None:
        """See that signature, lock and cluster definition stand beside the bundle `path`, which `open_it` opens."""
        if self.signature is not None:
            write_document(signature_path(path), self.signature)
        lock_path, *definition_paths = self.others(path)
        _write(lock_path, self.lock.to_json(), self.lock_signature)
        definition = self.lock.cluster_definition
        if definition is not None:
            with BundleReader.of(open_it()) as bundle:
                _write(definition_paths[0], definition.read_from(bundle), self.definition_signature)

    def _require_same(self, bundle: BundleReader) -> None:
        if (bundle.lock, bundle.lock_signature) != (self.lock, self.lock_signature):
            raise BundleError(
                f"{bundle.name} is another bundle than the one that was asked for",
                hint="it was replaced meanwhile: run it again",
            )


def _definition_signature(
    archive: RestorableArchive, whole: str, lock: BundleLock, key: "PublicKey | None"
) -> bytes | None:
    """The signature of the cluster definition that is kept beside the bundle; None where there is none.

    With a `key` it has to be that key's. It may be missing all the same: the bundle's own covers the content.
    """
    definition, beside = lock.cluster_definition, f"{whole.removesuffix(BUNDLE)}{CLUSTER_DEFINITION}"
    if definition is None or archive.noted_digest(beside) != definition.digest:
        return None
    with closing(archive.open(beside)) as kept:
        signature = kept.read_beside(SIGNATURE_SUFFIX, SIGNATURE_SIZES.stop)
        if key is not None and signature is not None:
            key.check(signature, definition.digest, kept.name)
    return signature


def _write(path: Path, content: bytes, signature: bytes | None) -> None:
    """See that `content` and its signature stand; no old one stands beside new content."""
    if not (path.is_file() and read_document(path) == content):
        remove_document(signature_path(path))
        write_document(path, content)
    if signature is not None:
        write_document(signature_path(path), signature)
