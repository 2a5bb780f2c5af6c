"""Plan: the definition → its lock, with every problem found before a blob moves. A retried run gets its first lock."""

from datetime import UTC, datetime
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from edgelift.attach import bring_attached
from edgelift.bundle.attached import NOTHING, Attached
from edgelift.bundle.container import contents_of
from edgelift.bundle.definition import BundleDefinition
from edgelift.bundle.kinds import count_kinds
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.signed import read_signed
from edgelift.bundle.source import is_object
from edgelift.bundle.standing import standing_place
from edgelift.delivery.base import Base, check_output, leave_out, read_base
from edgelift.delivery.preflight import check_disk
from edgelift.errors import PlanError
from edgelift.keys import find_public_key
from edgelift.oci.reference import ImageReference
from edgelift.plan import plan_bundle
from edgelift.site import RegistryAccess, TargetSettings
from edgelift.sizes import count, format_size
from edgelift.store.budgets import KnownBudgets
from edgelift.store.working import WorkingStore
from tasks.connect import bundle_path, connect, open_existing, open_store, optional_path, path_of
from tasks.events import announce
from tasks.narrate import narrate
from tasks.preflight import find_obstacles
from tasks.publish import publish_plan
from tasks.record import record, staged
from tasks.results import SharedLocks


@task(name="plan", task_run_name="plan {definition.name}", cache_policy=NO_CACHE, persist_result=False)
@staged("plan")
def plan_lock(
    definition: BundleDefinition,
    access: RegistryAccess,
    store: str | None,
    output: str | None,
    target: TargetSettings | None = None,
    *,
    base: str | None = None,
    part_size: int | None = None,
    attached: Attached = NOTHING,
    is_one_of_many: bool = False,
) -> BundleLock:
    """Pin every reference, or take the lock that this run made at its first attempt; then look for obstacles.

    Where a run makes several locks, each `is_one_of_many`, and is found again by the name of its definition.
    What is `attached` is in the store already, and goes into the lock as it is.
    Without an `output` folder no bundle is to be made of it; with a `part_size` it will be in parts. What a site has
    from the `base` is left out; raises `ConfigurationError` where the bundle would replace that one.
    """
    content = open_store(store)
    runs = SharedLocks(content.runs)
    run = f"{flow_run.id}-{definition.name}" if is_one_of_many else str(flow_run.id)
    lock = runs.recall(run)
    if lock is not None:
        narrate(f"replaying the lock of this run's first attempt, {lock.digest[:19]}…")
    else:
        found = _read_base(base, content) if base is not None else None
        lock = _plan_anew(definition, access, content, attached)
        if found is not None:
            lock = leave_out(lock, found)
        if output is not None:
            check_output(lock, bundle_path(definition.name, output))
        bundle = standing_place(bundle_path(definition.name, output), part_size) if output is not None else None
        _check_obstacles(lock, access, content, bundle, target)
        runs.keep(run, lock)
    if base is not None and lock.base is None:
        narrate(f"{base} has brought none of these blobs: all of them are carried", warn=True)
    _narrate_totals(lock)
    if not is_one_of_many:
        record().lock = lock
    _tell_plan(lock, content if output is not None else None)
    return lock


@task(name="replay lock", task_run_name="replay the lock of {name}", cache_policy=NO_CACHE, persist_result=False)
@staged("plan")
def replay_lock(
    lock_file: str,
    name: str,
    store: str | None,
    output: str,
    public_key: str | None = None,
    *,
    part_size: int | None = None,
    existing: tuple[str, ...] = (),
    packs: tuple[str, ...] = (),
) -> BundleLock:
    """A lock from its file; raises `PlanError` where the disk is too small for its bundle, which is called `name`.

    What comes from no registry is brought into the store from `existing` bundles, local packs from the paths `packs`.
    Raises `SignatureError` where a public key is configured and the lock is not signed with its private key, and
    `ConfigurationError` where the bundle would replace the one that it is a delta of.
    """
    key = find_public_key(optional_path(public_key))
    lock = BundleLock.from_json(read_signed(path_of(lock_file), key), lock_file)
    check_output(lock, bundle_path(name, output))
    bring_attached(
        lock, open_store(store), bundles=open_existing(existing), packs=[str(path_of(path)) for path in packs]
    )
    shortage = check_disk(lock, open_store(store), standing_place(bundle_path(name, output), part_size))
    if shortage is not None:
        raise PlanError("the disk is too small; nothing was moved", [shortage])
    _narrate_totals(lock)
    record().lock = lock
    _tell_plan(lock, open_store(store))
    return lock


def _read_base(base: str, content: WorkingStore) -> Base:
    return read_base(base if is_object(base) else str(path_of(base)), content.runs, find_public_key(None))


def _plan_anew(
    definition: BundleDefinition, access: RegistryAccess, content: WorkingStore, attached: Attached
) -> BundleLock:
    registries, budgets = connect(access).registries, KnownBudgets.of(content.root)
    asked = {ImageReference.parse(image.reference).registry for image in definition.images}
    for known in budgets.recall(datetime.now(UTC)):
        if known.host in asked:
            narrate(str(known), warn=not known.budget.remaining)
    plan = plan_bundle(definition, registries, content, attached)
    budgets.keep(registries.budgets())
    for warning in plan.warnings:
        narrate(warning, warn=True)
    for budget in plan.budgets:
        narrate(budget)
    plan.raise_for_errors()
    return plan.lock


def _check_obstacles(
    lock: BundleLock, access: RegistryAccess, content: WorkingStore, bundle: Path | None, target: TargetSettings | None
) -> None:
    shortage = check_disk(lock, content, bundle) if bundle is not None else None
    errors = [shortage] if shortage is not None else []
    if target is not None:
        errors += find_obstacles(lock, access, target)
    if errors:
        raise PlanError("the content cannot be delivered as it stands; nothing was moved", errors)


def _tell_plan(lock: BundleLock, content: WorkingStore | None) -> None:
    """Publish what will be done; in `content` is what need not be pulled."""
    found = record()
    if content is not None:
        stored = sum(each.size for each in contents_of(lock) if content.exists(each))
        found.present = found.present._replace(stored=stored)
    publish_plan(lock)


def _narrate_totals(lock: BundleLock) -> None:
    kinds = count_kinds(image.kind for image in lock.images)
    narrate(f"planned {kinds}: {count(len(lock.unique_blobs()), 'unique blob')}, {format_size(lock.unique_size)}")
    carried = sum(len(image.referrers) for image in lock.images)
    if carried:
        signed = sum(image.is_signed for image in lock.images)
        narrate(f"signed images: {signed}; signatures and other referrers that are carried with them: {carried}")
    if lock.base is not None:
        left_out = f"{count(len(lock.left_out), 'blob')}, {format_size(lock.left_out_size)}"
        narrate(f"a delta of {lock.base}: {left_out} are left out, {format_size(lock.carried_size)} are carried")
    announce("planned", lock=lock.digest, images=len(lock.images), bytes=lock.carried_size)
