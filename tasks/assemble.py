"""Assemble: store + lock → one content bundle, with its lock beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict

from edgelift.bundle.assembly import Assembly
from edgelift.bundle.cluster_definition import LockedClusterDefinition
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.parts import check_part_size
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.signed import write_signed
from edgelift.oci.content import BufferReader
from edgelift.oci.digest import Digest
from edgelift.oci.transfer import Transfer
from edgelift.progress import Pace
from edgelift.site import ArchiveSettings, SigningSettings
from edgelift.sizes import count, format_size
from tasks.connect import bundle_path, open_store, path_of, private_key, store_place
from tasks.events import announce
from tasks.narrate import narrate, narrate_progress
from tasks.publish import progress_of
from tasks.record import stage

_NOTHING = Transfer()


class BuiltBundle(BaseModel):
    """A finished bundle: its file and size (bytes), the lock beside it, and where it is archived.

    `digest` is that of a file that was verified to the last byte in this run.

    Where it `is_signed`, a signature stands beside both; where it is in `parts`, `path` is the index of their files.
    `cluster_definition` is the file of the one in it, which also stands beside it.
    `transfer` says what was pulled for it, and from where.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    path: str
    lock_path: str
    size: int
    images: int
    is_signed: bool = False
    transfer: Transfer = _NOTHING
    parts: tuple[str, ...] = ()
    cluster_definition: str | None = None
    archived: str | None = None
    digest: Digest | None = None


@contextmanager
def begin_assembly(
    lock: BundleLock,
    name: str,
    store: str | None,
    output: str,
    signing: SigningSettings | None = None,
    *,
    archive: ArchiveSettings | None = None,
    part_size: int | None = None,
) -> Iterator[Assembly]:
    """A context in which NAME.tar.zst grows in `output` while the content of `lock` is pulled into `store`.

    Of one that stands there, and is to go into an `archive`, the digest is found while it is verified. Raises
    `ConfigurationError` where it would have too many parts.
    """
    if part_size is not None:
        check_part_size(part_size, lock.carried_size)
    content, pace = open_store(store), Pace()
    assembly = Assembly(
        lock,
        content,
        bundle_path(name, output),
        progress=narrate_progress(f"assembling {name}", lock.carried_size, pace),
        key=private_key(signing),
        wants_digest=archive is not None,
        part_size=part_size,
        is_remote=content.root is None,
    )
    with stage("assemble"), progress_of("assemble", name, lock.carried_size, lambda: pace.done), assembly:
        yield assembly


@task(name="assemble", task_run_name="assemble {name}", cache_policy=NO_CACHE, persist_result=False)
def assemble_content(
    assembly: Assembly,
    lock: BundleLock,
    name: str,
    output: str,
    signing: SigningSettings | None = None,
    *,
    pulled: Transfer = _NOTHING,
) -> BuiltBundle:
    """Finish NAME.tar.zst and write NAME.lock.json into `output`; neither is there before it is whole.

    A bundle of the same lock that stands there is verified, and written anew only where it is wrong.
    """
    lock_path = _lock_path(name, output)
    summary, is_new = assembly.finish()
    document = lock.to_json()
    write_signed(lock_path, document, private_key(signing))
    definition_path = None
    if lock.cluster_definition is not None:
        with BundleReader.open(summary.path) as bundle:
            definition_path = _keep_cluster_definition(lock.cluster_definition, bundle, output, signing)
    verb = "assembled" if is_new else "nothing to assemble, it stands and is right:"
    parts = f" in {count(len(summary.parts), 'part')}" if summary.parts else ""
    narrate(f"{verb} {summary.path}: {format_size(summary.size)}{parts}")
    if is_new:  # whoever waits for a bundle need not be told each night that it is still the same one
        digest = Digest.of(document)
        announce("assembled", bundle=str(summary.path), bytes=summary.size, images=summary.images, lock=digest)
    return BuiltBundle(
        name=name,
        path=str(summary.path),
        lock_path=str(lock_path),
        size=summary.size,
        images=summary.images,
        is_signed=signing is not None,
        digest=summary.digest,
        transfer=pulled,
        parts=tuple(map(str, summary.parts)),
        cluster_definition=str(definition_path) if definition_path is not None else None,
    )


@task(name="keep lock", task_run_name="keep the lock of {name}", cache_policy=NO_CACHE, persist_result=False)
def keep_lock(
    lock: BundleLock, name: str, store: str | None, output: str, signing: SigningSettings | None = None
) -> str:
    """Write NAME.lock.json into `output`; gives the place of the store, which holds the manifests of the lock."""
    write_signed(_lock_path(name, output), lock.to_json(), private_key(signing))
    if lock.cluster_definition is not None:
        _keep_cluster_definition(lock.cluster_definition, open_store(store), output, signing)
    return store_place(store)


def _keep_cluster_definition(
    definition: LockedClusterDefinition, content: BufferReader, output: str, signing: SigningSettings | None
) -> Path:
    """Write the cluster definition, which is in `content`, into `output`, signed as the bundle is."""
    path = path_of(output) / definition.file_name
    write_signed(path, definition.read_from(content), private_key(signing))
    narrate(f"cluster definition: {path}")
    return path


def _lock_path(name: str, output: str) -> Path:
    return path_of(output) / f"{name}.lock.json"
