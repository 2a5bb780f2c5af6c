"""The working store of a worker → one that holds what is needed, and is right."""

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from edgelift.site import DEFAULT_ACCESS, RegistryAccess
from tasks.check import StoreHealth, check_content
from tasks.connect import let_go
from tasks.sweep import sweep_content


@flow(
    name="keep-store",
    flow_run_name="look after the store",
    task_runner=ThreadPoolTaskRunner(max_workers=1),
    persist_result=False,
    on_completion=[let_go],
    on_failure=[let_go],
)
def keep_store(
    store: str | None = None,
    delete: bool = False,
    older_than_days: float | None = None,
    max_size: int | None = None,
    grace_days: float = 7,
    keep_locks: tuple[str, ...] = (),
    wait: float = 3600,
    repair: bool = False,
    repair_from: tuple[str, ...] = (),
    access: RegistryAccess = DEFAULT_ACCESS,
) -> StoreHealth:
    """Let go of what the store need not hold, then hash all that stays.

    Args:
        store: The working store: a folder, s3://bucket/prefix or block:NAME; empty for the worker's own.
        delete: Delete; without it, only tell what would go.
        older_than_days: Let go of images that were not pulled for so many days; empty for none.
        max_size: Let go of the images pulled longest ago beyond so many bytes; empty for no bound.
        grace_days: What has no name, and what runs have planned, stays for so many days.
        keep_locks: Paths of locks whose content stays.
        wait: Seconds that runs are waited for, where something is to be deleted.
        repair: Fetch what is damaged or missing from where its image or chart is.
        repair_from: Paths of bundles that it is taken from first.
        access: How to get into the registries.
    """
    sweep_content(
        store,
        older_than_days=older_than_days,
        max_size=max_size,
        grace_days=grace_days,
        keep_locks=keep_locks,
        delete=delete,
        wait=wait,
    )
    return check_content(store, access, repair=repair, repair_from=repair_from)
