"""An archive of bundles → one that holds as many as are wanted."""

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from edgelift.site import ArchiveSettings
from tasks.prune import ArchivePruning, prune_place


@flow(
    name="keep-archive",
    flow_run_name="look after the archive",
    task_runner=ThreadPoolTaskRunner(max_workers=1),
    persist_result=False,
)
def keep_archive(
    archive: ArchiveSettings,
    delete: bool = False,
    keep: int | None = None,
    older_than_days: float | None = None,
    leftovers_days: float = 1,
    public_key: str | None = None,
) -> ArchivePruning:
    """Let go of old bundles, and of what killed uploads have left; the newest of each name stays.

    Args:
        archive: The bucket, by its block, or the directory.
        delete: Delete; without it, only tell what would go.
        keep: Keep so many of each name; empty, with older_than_days, too, for what the block says.
        older_than_days: Let go of bundles that are older only; empty for no bound.
        leftovers_days: Unfinished uploads stay for so many days, as a run may be at work on them.
        public_key: Path of the public key without whose signature a bundle stays; empty for EDGELIFT_PUBLIC_KEY.
    """
    return prune_place(
        archive,
        keep=keep,
        older_than_days=older_than_days,
        leftovers_days=leftovers_days,
        delete=delete,
        public_key=public_key,
    )
