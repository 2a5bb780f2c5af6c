"""The base of a delta: what a site is proven to have, what need not be carried to it then, and whether it is there."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgelift.bundle.lock import ArtifactKind, BundleLock, LeftOut, LockBase, LockedImage
from edgelift.bundle.part_files import find_index
from edgelift.bundle.parts import index_path
from edgelift.bundle.signed import check_lock, read_signed
from edgelift.bundle.source import is_object
from edgelift.bundle.stream import open_for_lock
from edgelift.delivery.receipt import DeliveryReceipt
from edgelift.delivery.target import Target
from edgelift.documents import read_document
from edgelift.errors import BundleError, ConfigurationError, EdgeliftError, MalformedReferenceError, RegistryError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.reference import ImageReference
from edgelift.oci.registry import Registry
from edgelift.packs.names import PACK_PROJECT
from edgelift.sizes import count
from edgelift.store.working import KeptLocks

if TYPE_CHECKING:
    from edgelift.bundle.signature import PublicKey

PARALLEL_BLOBS = 8
_NAMED = 3  # blobs listed in a message before "and … more"
_NEWER = "a newer edgelift may read it; without --base all is carried"


@dataclass(frozen=True)
class Base:
    """What a delta is to go on top of: a lock, and the images of it that the site has."""

    lock: BundleLock
    images: tuple[LockedImage, ...]


@dataclass(frozen=True)
class FoundBase:
    """A repository of the target for each blob that a delta leaves out and the target has, and what is wrong if any."""

    homes: Mapping[Digest, str]
    error: BundleError | None = None


def read_base(place: str, runs: KeptLocks, key: "PublicKey | None" = None) -> Base:
    """The base at `place`: a bundle (a path, that of its index of parts too, or s3://bucket/key), a lock, or a receipt.

    Of a receipt only what is `ok` counts. It names its lock by digest, which is looked for beside it, and among those
    of the `runs`. With a `key`, locks have to be signed. Raises `ConfigurationError`,
    `BundleError`, `SignatureError`.
    """
    path = Path(place)
    if is_object(place) or path.suffix != ".json" or find_index(path) is not None:
        with open_for_lock(place) as opened:
            check_lock(opened, key)
            return Base(opened.lock, opened.lock.images)
    document = read_document(path)
    if not _is_receipt(document):
        lock = _parse_lock(path, key)
        return Base(lock, lock.images)
    receipt = DeliveryReceipt.from_json(document, place)
    proven = {proof.reference for proof in receipt.proofs if proof.verdict == "ok"}
    lock = lock_of(receipt, path, runs, key)
    return Base(lock, tuple(image for image in lock.images if image.reference in proven))


def leave_out(lock: BundleLock, base: Base) -> BundleLock:
    """`lock` as that of a delta, without the blobs that the site has from `base`; as it is where these are none."""
    homes, needed = defaultdict[Digest, list[str]](list), defaultdict[Digest, set[str]](set)
    for name, blob in _named_blobs(base.images):
        homes[blob.digest].append(name)
    for name, blob in _named_blobs(lock.images):
        needed[blob.digest].add(name)
    left_out = defaultdict[str, list[Digest]](list)
    for digest in sorted(homes.keys() & needed.keys() - {each.digest for each in lock.unique_manifests()}):
        own = (name for name in homes[digest] if name in needed[digest])  # there it need not even be mounted
        left_out[next(own, homes[digest][0])].append(digest)
    if not left_out:
        return lock
    listed = tuple(LeftOut(name=name, blobs=tuple(left_out[name])) for name in sorted(left_out))
    parent = LockBase(name=base.lock.definition.name, lock=base.lock.digest, left_out=listed)
    definition = lock.cluster_definition
    return BundleLock(definition=lock.definition, images=lock.images, base=parent, cluster_definition=definition)


def check_output(lock: BundleLock, path: Path) -> None:
    """Raises `ConfigurationError` where the base of `lock` stands at `path`, whole or in parts; it would be lost."""
    if lock.base is None:
        return
    for place in (path, index_path(path)):
        if _lock_digest(place) == lock.base.lock:
            raise ConfigurationError(
                f"{place} is the base of this delta, and would be replaced by it",
                hint="give the delta another name (--name), or another folder (--output)",
            )


def find_base(lock: BundleLock, target: Target, registry: Registry) -> FoundBase:
    """Look for every blob that `lock` leaves out at `target`, where its base and its own images would have put it.

    Changes nothing. Raises nothing that the registry could cause.
    """
    if lock.base is None:
        return FoundBase({})
    wanted = _places(lock, target)
    with ThreadPoolExecutor(PARALLEL_BLOBS, thread_name_prefix="base") as pool:
        found = list(pool.map(lambda each: _find(each, registry), wanted))
    homes = {each.blob.digest: home for each, home in zip(wanted, found, strict=True) if isinstance(home, str)}
    missing = [each for each in wanted if each.blob.digest not in homes]
    if not missing:
        return FoundBase(homes)
    refusal = next((f"; {each.message}" for each in found if isinstance(each, RegistryError)), "")
    error = BundleError(
        f"it is a delta of {lock.base}, which is not at {target}: of {count(len(wanted), 'blob')} that it leaves out, "
        f"{len(missing)} are not there: {_listed(missing)}{refusal}",
        hint=f"push {lock.base.name} to {target} first, or build this bundle without --base",
    )
    return FoundBase(homes, error)


class _Wanted(NamedTuple):
    """A blob that is left out, the name under which the base has brought it, and the repositories it may be in."""

    blob: Descriptor
    name: str
    repositories: tuple[str, ...]


def _places(lock: BundleLock, target: Target) -> list[_Wanted]:
    needed = defaultdict[Digest, list[str]](list)
    blobs = {blob.digest: blob for blob in lock.unique_blobs()}
    for name, blob in _named_blobs(lock.images):
        needed[blob.digest].append(name)
    return [
        _Wanted(blobs[digest], each.name, tuple(_repositories([each.name, *needed[digest]], target)))
        for each in (lock.base.left_out if lock.base else ())
        for digest in each.blobs
    ]


def _repositories(names: Sequence[str], target: Target) -> Iterator[str]:
    for name in dict.fromkeys(names):
        reference = ImageReference.parse(name)
        kinds: tuple[ArtifactKind | None, ...] = (None, "pack") if f"/{PACK_PROJECT}/" in name else (None,)
        for kind in kinds:  # a name does not say of which kind it was; where it is not, nothing is found
            with suppress(MalformedReferenceError):  # nothing can have come there; of this bundle the preflight says so
                yield target.names(reference, Digest.of(b""), kind)[0].repository


def _find(wanted: _Wanted, registry: Registry) -> str | RegistryError | None:
    """The repository that has it; else why that cannot be told, or None where none has it."""
    refusal: RegistryError | None = None
    for repository in wanted.repositories:
        try:
            if registry.blob_size(repository, wanted.blob.digest) == wanted.blob.size:
                return repository
        except RegistryError as error:
            refusal = error
    return refusal


def _named_blobs(images: Sequence[LockedImage]) -> Iterator[tuple[str, Descriptor]]:
    for image in images:
        name = ImageReference.parse(image.reference).name
        for blob in image.all_blobs:
            yield name, blob


def _listed(missing: Sequence[_Wanted]) -> str:
    named = ", ".join(f"{each.blob.digest} of {each.name}" for each in missing[:_NAMED])
    return named + (f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else "")


def _lock_digest(place: Path) -> Digest | None:
    """The digest of the lock of the bundle at `place`; None where there is none that can be read."""
    try:
        with open_for_lock(place) as opened:
            return opened.lock.digest
    except EdgeliftError:
        return None


def _is_receipt(document: bytes) -> bool:
    try:
        return str(json.loads(document)["format"]).startswith("edgelift.receipt/")
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def lock_of(receipt: DeliveryReceipt, path: Path, runs: KeptLocks, key: "PublicKey | None") -> BundleLock:
    """The lock that `receipt`, which stands at `path`, is about: beside it, or among those of `runs`.

    With a `key`, it has to be signed. Raises `ConfigurationError` where it is nowhere, `SignatureError`.
    """
    beside = path.with_name(f"{receipt.bundle}.lock.json")
    if beside.is_file():
        lock = _parse_lock(beside, key)
        if lock.digest == receipt.lock:
            return lock
    found = runs.find(receipt.lock)
    if found is None:
        raise ConfigurationError(
            f"{path} is about the lock {receipt.lock}, which is neither beside it nor in the store",
            hint=f"put that lock beside it as {beside.name}, or name lock or bundle with --base",
        )
    return found


def _parse_lock(path: Path, key: "PublicKey | None") -> BundleLock:
    try:
        return BundleLock.from_json(read_signed(path, key), str(path))
    except ConfigurationError as error:
        raise ConfigurationError(error.message, hint=error.hint or _NEWER) from None
