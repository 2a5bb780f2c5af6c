"""Archive: keep the finished bundle, and its lock, elsewhere too."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from blocks.archive import BundleArchive
from edgelift.archive.directory import DirectoryArchive
from edgelift.archive.place import Archive
from edgelift.oci.digest import Digest
from edgelift.site import ArchiveSettings, RegistryAccess
from tasks.assemble import BuiltBundle
from tasks.narrate import narrate, narrate_progress
from tasks.settle import is_retryable


@task(
    name="archive",
    task_run_name="archive {bundle.name}",
    retries=2,
    retry_delay_seconds=exponential_backoff(2),
    retry_condition_fn=is_retryable,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def archive_bundle(bundle: BuiltBundle, archive: ArchiveSettings, access: RegistryAccess) -> BuiltBundle:
    """Keep the bundle in S3, in a directory, or as an artifact in a registry; nothing is visible unless whole."""
    if archive.artifact is not None:
        place = _as_artifact(bundle, archive.artifact, access)
    else:
        place = _as_file(bundle, _open_archive(archive))
    narrate(f"archived {bundle.name}: {place}")
    return bundle.model_copy(update={"archived": place})


def _open_archive(archive: ArchiveSettings) -> Archive:
    if archive.block is not None:
        return BundleArchive.load(archive.block).get_client()
    return DirectoryArchive(Path(str(archive.directory)))


def _as_file(bundle: BuiltBundle, archive: Archive) -> str:
    lock = Path(bundle.lock_path)
    archive.store(lock, digest=Digest.of(lock.read_bytes()))
    progress = narrate_progress(f"archiving {bundle.name}", bundle.size)
    return archive.store(Path(bundle.path), digest=bundle.digest, progress=progress).url


def _as_artifact(bundle: BuiltBundle, repository: str, access: RegistryAccess) -> str:
    raise NotImplementedError
