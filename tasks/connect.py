"""The clients that the tasks of one run share in one process; secrets are loaded here and kept nowhere else."""

from functools import lru_cache
from pathlib import Path

from prefect.runtime import flow_run

from blocks.archive import BundleArchive
from blocks.load import load_block
from blocks.registry import load_registries
from blocks.signing import SigningKey
from blocks.store import BlobStore
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
from edgelift.store.opening import BLOCK, is_block, open_place
from edgelift.store.working import WorkingStore
from tasks.narrate import narrate, narrate_progress
from tasks.stopping import stop_in_time

# Sites that one run has to do with at a time, with their bundles and blocks: 16 deliveries, and what they come from.
# Each keeps some connections open, and many systems let a process have no more than 1,024 files.
_SITES = 24
_SHARED = 8  # stores and keys, of which the sites of a fleet have few


def connect(access: RegistryAccess) -> Connections:
    """Clients for every registry of `access`; each attempt at a run loads its blocks anew: a rotated secret counts."""
    return _open(_attempt(), access)


def open_store(store: str | None) -> WorkingStore:
    """The working store in a folder, at s3://bucket/prefix or of block:NAME; without any, that of the worker."""
    return _store(_attempt(), store_place(store))


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
    return _bundle(_attempt(), bundle, public_key, archive_block)


def open_content(
    place: str, public_key: str | None = None, archive_block: str | None = None
) -> BundleReader | WorkingStore:
    """What to push from: a store where `place` is one's (see `store_place`), else a bundle (see `open_bundle`)."""
    if archive_block is None and _is_store(place):
        return open_store(place)
    return open_bundle(place, public_key, archive_block)


def open_existing(places: tuple[str, ...]) -> tuple[BundleReader, ...]:
    """The bundles at `places`, files or folders of them; opened once for an attempt. Raises `BundleError`."""
    return _existing(_attempt(), tuple(map(path_of, places)))


def private_key(signing: SigningSettings | None) -> PrivateKey | None:
    """The key that signs, read or loaded once for all tasks of an attempt; raises `ConfigurationError`."""
    return _key(_attempt(), signing) if signing is not None else None


def known_blobs(target: TargetSettings) -> KnownBlobs:
    """What this run has learned of where blobs are at the target."""
    return _known(_attempt(), target.registry)


def target_of(settings: TargetSettings) -> Target:
    """The target with its mapping rules; raises `ConfigurationError`."""
    return Target.parse(settings.registry, settings.rules, docker_hub_aliases=settings.docker_hub_aliases)


def _attempt() -> str:
    return f"{flow_run.id}/{flow_run.run_count}"


@lru_cache(maxsize=_SITES)
def _open(attempt: str, access: RegistryAccess) -> Connections:  # noqa: ARG001 - part of the key only
    stop_in_time()  # here, since every flow comes by before it moves anything
    return load_registries(access)


@lru_cache(maxsize=_SHARED)
def _store(attempt: str, place: str) -> WorkingStore:  # noqa: ARG001 - part of the key only
    if is_block(place):
        return load_block(BlobStore, place.removeprefix(BLOCK)).get_client()
    return open_place(place)


def _is_store(place: str) -> bool:
    """Whether it is the place of a store; a folder may also hold a bundle in parts."""
    if is_object(place):
        return place.endswith("/")
    if is_block(place):
        return True
    return path_of(place).is_dir() and not find_index(path_of(place))


@lru_cache(maxsize=_SITES)
def _bundle(
    attempt: str,  # noqa: ARG001 - part of the key only
    bundle: str,
    public_key: str | None,
    archive_block: str | None,
) -> BundleReader:
    opened, key = _open_bundle(bundle, archive_block), find_public_key(optional_path(public_key))
    if key is not None:
        try:
            check_bundle(opened, key, progress=narrate_progress(f"checking the signature of {bundle}", opened.size))
        except BaseException:
            opened.close()
            raise
        narrate(f"{bundle} is signed: {key.name}")
    return opened


@lru_cache(maxsize=2)
def _existing(attempt: str, places: tuple[Path, ...]) -> tuple[BundleReader, ...]:  # noqa: ARG001 - part of the key only
    return open_bundles(places)


def _open_bundle(bundle: str, archive_block: str | None) -> BundleReader:
    if archive_block is not None:
        return BundleReader.of(load_block(BundleArchive, archive_block).get_client().open(bundle))
    return BundleReader.open(bundle if is_object(bundle) else path_of(bundle))


@lru_cache(maxsize=_SHARED)
def _key(attempt: str, signing: SigningSettings) -> PrivateKey:  # noqa: ARG001 - part of the key only
    if signing.block is not None:
        return load_block(SigningKey, signing.block).get_client()
    return read_private_key(path_of(str(signing.file)), optional_path(signing.passphrase_file))


@lru_cache(maxsize=_SITES)
def _known(attempt: str, registry: str) -> KnownBlobs:  # noqa: ARG001 - part of the key only
    return KnownBlobs()
