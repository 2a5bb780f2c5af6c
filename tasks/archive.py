"""Archive: keep the finished bundle, and its lock, elsewhere too."""

from datetime import UTC, datetime
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from blocks.archive import BundleArchive
from blocks.load import load_block
from edgelift.archive.artifact import ArtifactArchive
from edgelift.archive.directory import DirectoryArchive
from edgelift.archive.place import CLUSTER_DEFINITION, Archive, own_name
from edgelift.archive.retention import plan_pruning, prune_archive
from edgelift.archive.survey import survey_archive
from edgelift.bundle.file_digest import FileDigest
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.placing import SIGNATURE_SUFFIX, signature_path
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.spanned import SpannedFile
from edgelift.bundle.verify import verify_open
from edgelift.documents import read_document
from edgelift.errors import BundleError, EdgeliftError
from edgelift.keys import find_public_key
from edgelift.oci.digest import Digest
from edgelift.site import ArchiveSettings, RegistryAccess
from edgelift.sizes import count, format_size
from tasks.assemble import BuiltBundle
from tasks.connect import connect, optional_path, path_of
from tasks.events import announce
from tasks.narrate import narrate, narrate_progress
from tasks.record import record, staged
from tasks.settle import is_retryable


@task(name="check archive", task_run_name="check the archive", cache_policy=NO_CACHE, persist_result=False)
def check_archive(archive: ArchiveSettings, access: RegistryAccess) -> None:
    """Raises, before anything is moved, where the block is missing or the directory is not there."""
    open_archive(archive, access)


@task(
    name="archive",
    task_run_name="archive {bundle.name}",
    retries=2,
    retry_delay_seconds=exponential_backoff(2),
    retry_jitter_factor=0.5,
    retry_condition_fn=is_retryable,
    cache_policy=NO_CACHE,
    persist_result=False,
)
@staged("archive")
def archive_bundle(
    bundle: BuiltBundle, lock: BundleLock, archive: ArchiveSettings, access: RegistryAccess
) -> BuiltBundle:
    """Keep the bundle and its lock in S3, in a directory or in a registry, with their signatures where it is signed.

    Nothing is visible unless whole, and every byte is verified before: what is kept may be the only copy one day. Where
    that has been done in this run already, its digest is enough: what is sent is compared with it. Raises `BundleError`
    where another run has put another bundle in its place.
    """
    place, path = open_archive(archive, access), Path(bundle.path)
    progress = narrate_progress(f"verifying {bundle.name}", lock.carried_size)
    with BundleReader.open(path) as reader, FileDigest() as digest:
        if reader.lock != lock:
            raise BundleError(f"{path} is not the bundle that was built: another run has replaced it")
        if bundle.digest is None:
            verify_open(reader, digest=digest, progress=progress)
        whole, source, signed = bundle.digest or digest.value(), reader.tar.source, signature_path(Path(reader.name))
    index = source.index if isinstance(source, SpannedFile) else None
    folder = _folder(bundle, lock, archive) if index is not None else ""
    stem = f"{folder}{bundle.name}" if index is not None else _stem(bundle, lock, archive)
    lock_path, lock_name, name = Path(bundle.lock_path), f"{stem}.lock.json", f"{stem}.tar.zst"
    place.store(lock_path, digest=lock.digest, name=lock_name)
    signatures = [(signature_path(lock_path), lock_name), (signed, name)]
    if lock.cluster_definition is not None and bundle.cluster_definition is not None:
        definition_path, definition_name = Path(bundle.cluster_definition), f"{stem}{CLUSTER_DEFINITION}"
        place.store(definition_path, digest=lock.cluster_definition.digest, name=definition_name)
        signatures.append((signature_path(definition_path), definition_name))
    progress, last, last_name = narrate_progress(f"archiving {bundle.name}", bundle.size), whole, name
    if index is not None:
        for part in index.parts:
            place.store(path.with_name(part.name), digest=part.digest, name=f"{folder}{part.name}", progress=progress)
        last, last_name = Digest.of(index.to_json()), f"{folder}{path.name}"  # as it was when it was opened
    kept = place.store(path, digest=last, name=last_name, progress=progress)
    for file, called in signatures if bundle.is_signed else ():
        place.store(file, digest=Digest.of(read_document(file)), name=f"{called}{SIGNATURE_SUFFIX}")
    record().archived = kept.url
    narrate(f"archived {bundle.name}: {kept.url}, {format_size(bundle.size)}, {whole}")
    announce("archived", url=kept.url, bytes=bundle.size, digest=whole, lock=lock.digest)
    return bundle.model_copy(update={"archived": kept.url, "digest": whole})


@task(name="prune archive", task_run_name="prune the archive", cache_policy=NO_CACHE, persist_result=False)
def prune_archived(bundle: BuiltBundle, archive: ArchiveSettings, public_key: str | None = None) -> None:
    """Let go of the older bundles that the archive's block does not want kept; `bundle` stays, however old it is.

    With a public key, of those alone whose locks are signed with its private key: the others are not ours to judge.
    What cannot be deleted is told, and fails nobody's run: the bundle is archived.
    """
    block = load_block(BundleArchive, archive.block) if archive.block is not None else None
    rules = block.retention() if block is not None else None
    if block is None or rules is None:
        return
    place = block.get_client()
    try:
        survey = survey_archive(place, find_public_key(optional_path(public_key)))
        pruning = plan_pruning(survey, rules, datetime.now(UTC), spare={str(bundle.archived)})
        pruned = prune_archive(place, pruning)
    except EdgeliftError as error:
        narrate(f"nothing was deleted from the archive: {error}", warn=True)
        return
    for failure in pruned.failures:
        narrate(failure, warn=True)
    deleted = count(len(pruned.deleted), "file was", "files were")
    narrate(f"the archive keeps {count(len(pruning.kept), 'bundle')}; {deleted} deleted")


def _stem(bundle: BuiltBundle, lock: BundleLock, archive: ArchiveSettings) -> str:
    """What the names of the archived files begin with: where several bundles are kept, each lock has its own."""
    block = load_block(BundleArchive, archive.block) if archive.block is not None else None
    return bundle.name if block is None or block.retention() is None else own_name(bundle.name, lock.digest)


def _folder(bundle: BuiltBundle, lock: BundleLock, archive: ArchiveSettings) -> str:
    """Where the parts of a bundle lie: they have the names that are in their index, so each lock has its folder.

    A registry has no folders; there the parts of another lock take the tags of those before.
    """
    return "" if archive.artifact is not None else f"{own_name(bundle.name, lock.digest)}/"


def open_archive(archive: ArchiveSettings, access: RegistryAccess) -> Archive:
    """The place that `archive` names; raises `ConfigurationError` where its block or its directory is not there."""
    if archive.block is not None:
        return load_block(BundleArchive, archive.block).get_client()
    if archive.artifact is not None:
        host, _, repository = archive.artifact.partition("/")
        return ArtifactArchive(connect(access).registry(host), repository)
    return DirectoryArchive(path_of(str(archive.directory)))
