"""Validate: the lock against what the target registry really serves."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from edgelift.bundle.lock import BundleLock
from edgelift.bundle.selection import select_entries
from edgelift.delivery.receipt import DeliveryReceipt, Proof
from edgelift.delivery.validate import validate_lock
from edgelift.progress import Pace
from edgelift.site import RegistryAccess, TargetSettings
from tasks.connect import connect, target_of
from tasks.narrate import narrate
from tasks.record import record, staged


@task(name="validate", task_run_name="validate {target.registry}", cache_policy=NO_CACHE, persist_result=False)
@staged("validate")
def validate_target(
    lock: BundleLock,
    access: RegistryAccess,
    target: TargetSettings,
    *,
    deep: bool = False,
    selector: str | None = None,
) -> DeliveryReceipt:
    """Ask the target for every reference, or those that are selected, and all that it refers to.

    The receipt says what was proved.
    """
    destination = target_of(target)
    pace, many = Pace(), len(select_entries(lock, selector).images)

    def on_proof(_: Proof) -> None:
        if done := pace.add(1):
            narrate(f"validating {destination}: {done} of {many} images")

    registry = connect(access).registry(destination.registry)
    receipt = validate_lock(lock, destination, registry, deep=deep, selector=selector, on_proof=on_proof)
    record().receipt = receipt
    counts = ", ".join(f"{count} {verdict}" for verdict, count in receipt.counts.items() if count)
    narrate(f"validated {destination}: {counts}", warn=not receipt.is_whole)
    return receipt
