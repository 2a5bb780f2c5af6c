"""Deliver: what a site of a fleet is to get → its registry, all of it in one task, with the proof beside."""

import time
from functools import partial

from prefect import task
from prefect.cache_policies import INPUTS, RUN_ID
from prefect.tasks import exponential_backoff

from edgelift.access import Connections
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.delivery.attached import prove_cluster_definition
from edgelift.delivery.deliver import deliver_lock
from edgelift.delivery.delta import complete_content
from edgelift.delivery.expected import receipt_path
from edgelift.delivery.receipt import DeliveryReceipt
from edgelift.delivery.site_settings import site_settings
from edgelift.documents import write_document
from edgelift.errors import IncompleteError, PlanError, UndeliveredError
from edgelift.fleet.summary import SiteOutcome
from edgelift.oci.content import BufferReader
from edgelift.oci.digest import Digest
from edgelift.oci.source import Source
from edgelift.packs.names import is_local
from edgelift.site import EdgeSite
from edgelift.sizes import count
from tasks.connect import connect, known_blobs, open_content, path_of, target_of
from tasks.narrate import describe, narrate, narrate_progress
from tasks.preflight import find_obstacles
from tasks.settle import is_retryable
from tasks.window import require_open


@task(
    name="deliver",
    task_run_name="deliver to {site.name}",
    retries=2,
    retry_delay_seconds=exponential_backoff(2),
    retry_jitter_factor=0.5,
    retry_condition_fn=is_retryable,
    persist_result=True,
    # The digest stands for the lock: that of a large site would be hashed once more for each site of the fleet.
    cache_policy=(INPUTS - "lock" - "content" - "output") + RUN_ID,
)
def deliver_site(
    site: EdgeSite,
    lock: BundleLock,
    digest: Digest,
    content: str,
    output: str,
) -> SiteOutcome:
    """Push everything in `lock`, whose digest is `digest`, to the site, and prove what is there.

    One task a site, and not one an image: a fleet has too many of these for Prefect, and what a registry has already
    is not sent again. `content` is the bundle, or for a direct copy the store. NAME.receipt.json and
    NAME.site-settings.yaml go into `output`. Raises `UndeliveredError` unless the site is whole, `PlanError` before
    anything is sent, `WindowClosedError` outside the site's window, `RegistryError` where its registry lets nobody in.
    """
    require_open(site.window)
    started = time.monotonic()
    target, connections = target_of(site.target), connect(site.access)
    registry = connections.target(target.registry, create_repositories=site.target.create_repositories)
    registry.log_in()
    obstacles = find_obstacles(lock, site.access, site.target)
    if obstacles:
        raise PlanError(f"{target} cannot take this as it stands; nothing was sent", obstacles)
    source, known = open_content(content, site.public_key), known_blobs(site.target)
    delivered = deliver_lock(
        lock,
        complete_content(source, registry, known),
        target,
        registry,
        copied_from=partial(_origin, connections if site.direct else None),
        known=known,
        on_conflict=site.target.on_conflict,
        deep=site.deep,
        progress=narrate_progress(f"pushing to {site.name}", sum(image.size for image in lock.images)),
    )
    receipt = _keep_receipt(site, lock, delivered.receipt, source, output) if delivered.receipt is not None else None
    outcome = SiteOutcome.of(
        site,
        "whole",
        bundle=lock.definition.name,
        lock=digest,
        images=len(receipt.proofs) if receipt is not None else None,
        ok=receipt.counts["ok"] if receipt is not None else None,
        moved_bytes=delivered.transfer.moved_bytes,
        seconds=round(time.monotonic() - started, 1),
    )
    failure = delivered.failure or _shortcoming(receipt)
    if failure is not None:
        document = outcome.explained(failure).model_dump(mode="json")
        hint, may_pass = failure.hint, failure.retryable
        raise UndeliveredError(failure.message, failure.failures, hint=hint, retryable=may_pass, outcome=document)
    proved = count(outcome.ok or 0, "reference is", "references are")
    narrate(f"delivered to {site.name}: {proved} proved, {describe(delivered.transfer)}")
    return outcome


def _origin(connections: Connections | None, image: LockedImage) -> Source | None:
    """What the blobs of `image` are copied from; None where all of it comes from a bundle, or is in the store."""
    return connections.source_for(image) if connections is not None and not is_local(image.reference) else None


def _keep_receipt(
    site: EdgeSite, lock: BundleLock, receipt: DeliveryReceipt, content: BufferReader, output: str
) -> DeliveryReceipt:
    """Write the receipt, and the settings that the site's hosts need; gives what was written."""
    if lock.cluster_definition is not None:
        proof = prove_cluster_definition(lock.cluster_definition, content)
        receipt = receipt.model_copy(update={"cluster_definition": proof})
    write_document(receipt_path(path_of(output), site.name), receipt.to_json())
    settings = site_settings(lock, target_of(site.target))
    write_document(path_of(output) / f"{site.name}.site-settings.yaml", settings.encode())
    return receipt


def _shortcoming(receipt: DeliveryReceipt | None) -> IncompleteError | None:
    """What the receipt does not prove."""
    try:
        if receipt is not None:
            receipt.raise_unless_whole()
    except IncompleteError as error:
        return error
    return None
