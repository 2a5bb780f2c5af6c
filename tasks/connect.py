"""The clients that the tasks of one run share in one process; secrets are loaded here and kept nowhere else."""

import weakref
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from blocks.archive import BundleArchive
from blocks.load import load_block
from blocks.registry import load_registries
from blocks.signing import SigningKey
from blocks.store import load_store
from edgelift.access import Connections, default_place
from edgelift.bundle.existing import open_bundles
from edgelift.bundle.part_files import find_index
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.signature import PrivateKey
from edgelift.bundle.signed import check_bundle
from edgelift.bundle.source import is_object
from edgelift.delivery.target import Target
from edgelift.keys import find_public_key, read_private_key
from edgelift.oci.push import KnownBlobs
from edgelift.site import RegistryAccess, SigningSettings, TargetSettings
from edgelift.store.opening import is_block
from edgelift.store.working import WorkingStore
from tasks.attempt import PerAttempt
from tasks.narrate import narrate, narrate_progress
from tasks.stopping import stop_in_time

# Sites that one run has to do with at a time, with their bundles and blocks: 16 deliveries, and what they come from.
# Each keeps some connections open, and many systems let a process have no more than 1,024 files.
_SITES = 24
_SHARED = 8  # stores, keys and sets of bundles, of which the sites of a fleet have few
_ATTEMPTS = 4  # that may be under way in one process
Opened = TypeVar("Opened", Connections, BundleReader)


def connect(access: RegistryAccess) -> Connections:
    """Clients for every registry of `access`; each attempt at a run loads its blocks anew: a rotated secret counts."""
    return _shared.get().connections(access)


def open_store(store: str | None) -> WorkingStore:
    """The working store in a folder, at s3://bucket/prefix or of block:NAME; without any, that of the worker."""
    return _shared.get().store(store_place(store))


def store_place(store: str | None) -> str:
    """Where that is, as `open_content` takes it: a bucket ends in a slash, which a bundle in S3 does not."""
    place = store or default_place()
    if is_object(place):
        return f"{place.rstrip('/')}/"
    return place if is_block(place) else str(path_of(place))


def path_of(text: str) -> Path:
    """The path `text` on this worker, where `~` is its home."""
    return Path(text).expanduser().absolute()


def optional_path(text: str | None) -> Path | None:
    """The path `text` on this worker, where there is one."""
    return path_of(text) if text else None


def bundle_path(name: str, output: str) -> Path:
    """Where the bundle called `name` is, or would be, in the folder `output`."""
    return path_of(output) / f"{name}.tar.zst"


def open_bundle(bundle: str, public_key: str | None = None, archive_block: str | None = None) -> BundleReader:
    """The bundle at a path, or in S3 at s3://bucket/key or in the block's archive; opened once for an attempt.

    Raises `SignatureError` where a public key is configured and the file is not signed with its private key.
    """
    return _shared.get().bundle(bundle, public_key, archive_block)


def open_content(
    place: str, public_key: str | None = None, archive_block: str | None = None
) -> BundleReader | WorkingStore:
    """What to push from: a store where `place` is one's (see `store_place`), else a bundle (see `open_bundle`)."""
    if archive_block is None and _is_store(place):
        return open_store(place)
    return open_bundle(place, public_key, archive_block)


def open_existing(places: tuple[str, ...]) -> tuple[BundleReader, ...]:
    """The bundles at `places`, files or folders of them; opened once for an attempt. Raises `BundleError`."""
    return _shared.get().existing(tuple(map(path_of, places)))


def private_key(signing: SigningSettings | None) -> PrivateKey | None:
    """The key that signs, read or loaded once for all tasks of an attempt; raises `ConfigurationError`."""
    return _shared.get().key(signing) if signing is not None else None


def known_blobs(target: TargetSettings) -> KnownBlobs:
    """What this run has learned of where blobs are at the target."""
    return _shared.get().known_blobs(target.registry)


def target_of(settings: TargetSettings) -> Target:
    """The target with its mapping rules; raises `ConfigurationError`."""
    return Target.parse(settings.registry, settings.rules, docker_hub_aliases=settings.docker_hub_aliases)


def let_go(*_: object) -> None:
    """Close what the run has opened, at its end: nothing of it stays open in a process that goes on."""
    if (shared := _shared.forget()) is not None:
        shared.close()


class _Shared:
    """What the tasks of one attempt at a run share, each thing opened once for all of them."""

    def __init__(self) -> None:
        self._open = weakref.WeakSet[Connections | BundleReader]()
        self.connections = lru_cache(maxsize=_SITES)(lambda access: self._noted(_open_registries(access)))
        self.store = lru_cache(maxsize=_SHARED)(load_store)
        self.bundle = lru_cache(maxsize=_SITES)(lambda *place: self._noted(_open_checked(*place)))
        self.existing = lru_cache(maxsize=_SHARED)(open_bundles)
        self.key = lru_cache(maxsize=_SHARED)(_read_key)
        self.known_blobs = lru_cache(maxsize=_SITES)(_know_nothing)

    def close(self) -> None:
        """Close connections and bundles, also those that have made room for others, and let go of stores."""
        for each in tuple(self._open):
            each.close()
        for cache in (self.connections, self.store, self.bundle, self.existing):
            cache.cache_clear()

    def _noted(self, opened: Opened) -> Opened:
        self._open.add(opened)
        return opened


def _open_registries(access: RegistryAccess) -> Connections:
    stop_in_time()  # here, since every flow comes by before it moves anything
    return load_registries(access)


def _is_store(place: str) -> bool:
    """Whether it is the place of a store; a folder may also hold a bundle in parts."""
    if is_object(place):
        return place.endswith("/")
    if is_block(place):
        return True
    return path_of(place).is_dir() and not find_index(path_of(place))


def _open_checked(bundle: str, public_key: str | None, archive_block: str | None) -> BundleReader:
    opened, key = _open_bundle(bundle, archive_block), find_public_key(optional_path(public_key))
    if key is not None:
        try:
            check_bundle(opened, key, progress=narrate_progress(f"checking the signature of {bundle}", opened.size))
        except BaseException:
            opened.close()
            raise
        narrate(f"{bundle} is signed: {key.name}")
    return opened


def _open_bundle(bundle: str, archive_block: str | None) -> BundleReader:
    if archive_block is not None:
        return BundleReader.of(load_block(BundleArchive, archive_block).get_client().open(bundle))
    return BundleReader.open(bundle if is_object(bundle) else path_of(bundle))


def _read_key(signing: SigningSettings) -> PrivateKey:
    if signing.block is not None:
        return load_block(SigningKey, signing.block).get_client()
    return read_private_key(path_of(str(signing.file)), optional_path(signing.passphrase_file))


def _know_nothing(_registry: str) -> KnownBlobs:
    return KnownBlobs()


_shared = PerAttempt(_Shared, _ATTEMPTS)
