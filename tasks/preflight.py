"""Preflight: what would stop the delivery at the target, found before the first blob leaves."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from edgelift.bundle.lock import BundleLock
from edgelift.delivery.preflight import check_delivery
from edgelift.errors import PlanError
from edgelift.site import RegistryAccess, TargetSettings
from tasks.connect import connect, known_blobs, target_of
from tasks.narrate import narrate
from tasks.publish import publish_plan
from tasks.record import record, staged


@task(
    name="preflight",
    task_run_name="look for obstacles at {target.registry}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
@staged("preflight")
def check_target(lock: BundleLock, access: RegistryAccess, target: TargetSettings) -> None:
    """Raises `PlanError` with all that would stop the delivery; publishes what will be done."""
    record().lock = lock
    errors = find_obstacles(lock, access, target)
    if errors:
        raise PlanError(f"{target.registry} cannot take this bundle as it stands; nothing was moved", errors)
    publish_plan(lock)


def find_obstacles(lock: BundleLock, access: RegistryAccess, target: TargetSettings) -> tuple[str, ...]:
    """One line for each obstacle at the target; warnings go into the log."""
    destination = target_of(target)
    registry = connect(access).target(destination.registry, create_repositories=target.create_repositories)
    preflight = check_delivery(lock, destination, registry, target.on_conflict)
    for warning in preflight.warnings:
        narrate(warning, warn=True)
    for digest, repository in preflight.homes.items():
        known_blobs(target).add(digest, repository)
    names = sum(len(each.tags) for each in preflight.deliveries)
    found = record()
    found.present = found.present._replace(standing=preflight.standing, names=names, place=target.registry)
    return preflight.errors
