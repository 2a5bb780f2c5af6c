"""Signed files: a signature stands beside its file as NAME.sig, and that of a lock in the bundle, too.

Whole-bundle work looks at the signature of the file, partial work at that of the lock: its digests then stand for each
blob. Where no key is configured (`None`), nothing is asked of anyone.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from edgelift.bundle.container import SIGNATURE_SIZES
from edgelift.bundle.placing import SIGNATURE_SUFFIX, signature_path
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.stream import BundleStream
from edgelift.bundle.writer import Progress
from edgelift.documents import read_beginning, read_document, remove_document, write_document
from edgelift.errors import SignatureError
from edgelift.oci.digest import Digest

if TYPE_CHECKING:
    from edgelift.bundle.signature import PrivateKey, PublicKey

_SIGN = "build it with a signing key, or get it again together with its signature"


def check_bundle(bundle: BundleReader, key: "PublicKey | None", *, progress: Progress | None = None) -> None:
    """Raise `SignatureError` unless every byte of the file is signed; reads all of it, and tells `progress`.

    The lock has been read before that, from a file that others may be able to write to: it is checked by itself, and
    its digests stand for all that is read later.
    """
    if key is not None:
        signature = read_bundle_signature(bundle)  # first: it costs nothing to miss it
        key.check(signature, bundle.file_digest(progress=progress), bundle.name)
    check_lock(bundle, key)


def check_lock(bundle: BundleReader | BundleStream, key: "PublicKey | None") -> None:
    """Raise `SignatureError` unless the lock in `bundle` is signed."""
    if key is None:
        return
    if bundle.lock_signature is None:
        raise SignatureError(f"the lock in {bundle.name} is not signed, and {key.name} demands it", hint=_SIGN)
    key.check(bundle.lock_signature, bundle.lock.digest, f"the lock in {bundle.name}")


def read_signed(path: Path, key: "PublicKey | None") -> bytes:
    """The document at `path`; raises `SignatureError` unless it is signed."""
    content = read_document(path)
    if key is not None:
        key.check(read_signature(path), Digest.of(content), str(path))
    return content


def write_signed(path: Path, content: bytes, key: "PrivateKey | None") -> None:
    """Write `content` under `path`, then its signature beside it; that of what stood there before goes first."""
    signature = signature_path(path)
    remove_document(signature)
    write_document(path, content)
    if key is not None:
        write_document(signature, key.sign(Digest.of(content)))


def ensure_signature(path: Path, digest: Digest, key: "PrivateKey") -> None:
    """See that the signature of `path`, whose content has this `digest`, stands beside it."""
    place, signature = signature_path(path), key.sign(digest)
    if not place.is_file() or read_document(place) != signature:
        write_document(place, signature)


def read_bundle_signature(bundle: BundleReader) -> bytes:
    """The signature beside `bundle`, wherever that is kept; raises `SignatureError` where there is none."""
    return _required(bundle.read_beside(SIGNATURE_SUFFIX, SIGNATURE_SIZES.stop), bundle.name)


def read_signature(path: Path) -> bytes:
    """The signature beside `path`; raises `SignatureError` where there is none."""
    return _required(read_beginning(signature_path(path), SIGNATURE_SIZES.stop), str(path))


def _required(signature: bytes | None, name: str) -> bytes:
    if signature is None:
        beside = f"{Path(name).name}{SIGNATURE_SUFFIX}"
        raise SignatureError(f"{name} is not signed: there is no {beside} beside it", hint=_SIGN)
    return signature
