"""Archive: keep the finished bundle, and its lock, elsewhere too."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from blocks.archive import BundleArchive
from blocks.load import load_block
from edgelift.archive.artifact import ArtifactArchive
from edgelift.archive.directory import DirectoryArchive
from edgelift.archive.place import Archive
from edgelift.bundle.file_digest import FileDigest
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.placing import signature_path
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.spanned import SpannedFile
from edgelift.bundle.verify import verify_open
from edgelift.documents import read_document
from edgelift.errors import BundleError
from edgelift.oci.digest import Digest
from edgelift.site import ArchiveSettings, RegistryAccess
from edgelift.sizes import format_size
from tasks.assemble import BuiltBundle
from tasks.connect import connect, path_of
from tasks.narrate import narrate, narrate_progress
from tasks.settle import is_retryable


@task(name="check archive", cache_policy=NO_CACHE, persist_result=False)
def check_archive(archive: ArchiveSettings, access: RegistryAccess) -> None:
    """Raises, before anything is moved, where the block is missing or the directory is not there."""
    _open_archive(archive, access)


@task(
    name="archive",
    task_run_name="archive {bundle.name}",
    retries=2,
    retry_delay_seconds=exponential_backoff(2),
    retry_condition_fn=is_retryable,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def archive_bundle(
    bundle: BuiltBundle, lock: BundleLock, archive: ArchiveSettings, access: RegistryAccess
) -> BuiltBundle:
    """Keep the bundle and its lock in S3, in a directory or in a registry, with their signatures where it is signed.

    Nothing is visible unless whole, and every byte is verified before: what is kept may be the only copy one day.
    Raises `BundleError` where another run has put another bundle in its place.
    """
    place, path = _open_archive(archive, access), Path(bundle.path)
    progress = narrate_progress(f"verifying {bundle.name}", lock.unique_size)
    with BundleReader.open(path) as reader, FileDigest() as digest:
        if reader.lock != lock:
            raise BundleError(f"{path} is not the bundle that was built: another run has replaced it")
        verify_open(reader, digest=digest, progress=progress)
        whole, source, signed = digest.value(), reader.tar.source, signature_path(Path(reader.name))
    place.store(Path(bundle.lock_path), digest=lock.digest)
    progress, last = narrate_progress(f"archiving {bundle.name}", bundle.size), whole
    if isinstance(source, SpannedFile):
        for part in source.index.parts:
            place.store(path.with_name(part.name), digest=part.digest, progress=progress)
        last = Digest.of(source.index.to_json())  # the index: as it was when it was opened
    kept = place.store(path, digest=last, progress=progress)
    for signature in (signature_path(Path(bundle.lock_path)), signed) if bundle.is_signed else ():
        place.store(signature, digest=Digest.of(read_document(signature)))
    narrate(f"archived {bundle.name}: {kept.url}, {format_size(bundle.size)}, {whole}")
    return bundle.model_copy(update={"archived": kept.url, "digest": whole})


def _open_archive(archive: ArchiveSettings, access: RegistryAccess) -> Archive:
    if archive.block is not None:
        return load_block(BundleArchive, archive.block).get_client()
    if archive.artifact is not None:
        host, _, repository = archive.artifact.partition("/")
        return ArtifactArchive(connect(access).registry(host), repository)
    return DirectoryArchive(path_of(str(archive.directory)))
