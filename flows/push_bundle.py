"""One content bundle → a validated registry."""

from prefect import flow

from edgelift.bundle.selection import select_entries
from edgelift.site import APPROVAL_TIMEOUT, DEFAULT_ACCESS, ApprovalTimeout, RegistryAccess, TargetSettings
from tasks.approve import ask_approval, check_approval
from tasks.as_is import as_is
from tasks.events import announce_failure
from tasks.log_in import log_in
from tasks.preflight import check_target
from tasks.push import mend_target, open_lock, push_images
from tasks.report import DeliveryReport, report_delivery
from tasks.runner import choose_task_runner
from tasks.sum_up import begin_report, sum_up
from tasks.validate import validate_target


@flow(
    name="push-bundle",
    flow_run_name="push to {target.registry}",
    task_runner=choose_task_runner(),
    persist_result=False,
    on_completion=[sum_up],
    on_failure=[sum_up, announce_failure],
    on_crashed=[announce_failure],
)
def push_bundle(
    bundle: str,
    target: TargetSettings,
    output: str = "~/edgelift/deliveries",
    access: RegistryAccess = DEFAULT_ACCESS,
    deep: bool = False,
    receipt: str | None = None,
    public_key: str | None = None,
    archive_block: str | None = None,
    annotation_selector: str | None = None,
    approval: bool = False,
    approval_timeout: ApprovalTimeout = APPROVAL_TIMEOUT,
) -> DeliveryReport:
    """Push one content bundle to a registry, then prove what arrived.

    Args:
        bundle: Path of the bundle, NAME.tar.zst or the index of its parts, or s3://bucket/key.
        target: The registry that it is pushed to.
        output: Folder of the worker that the receipt and the site-side settings are written to.
        access: How to get into the registry.
        deep: Validate by reading every blob back.
        receipt: Path of the receipt, where it is not to be in the output folder.
        public_key: Path of the public key that the bundle is checked with; empty for EDGELIFT_PUBLIC_KEY.
        archive_block: Name of the Bundle Archive block that has the keys to the bundle; empty for the worker's own.
        annotation_selector: Only the entries with these annotations, KEY=VALUE,KEY=VALUE; empty for all of them.
        approval: Wait for somebody to approve in Prefect before anything is pushed.
        approval_timeout: Seconds that this may take; then the run fails, and a retry asks again.
    """
    if approval:
        check_approval()
    lock = open_lock(bundle, public_key, archive_block)
    begin_report(bundle, output, pushes_to=target.registry, receipt=receipt)
    chosen = select_entries(lock, annotation_selector)
    log_in(None, access, target)
    check_target(as_is(chosen), access, target)
    if approval:
        ask_approval(chosen, target, output, receipt, timeout=approval_timeout)
    push_images(chosen, bundle, access, target, public_key=public_key, archive_block=archive_block)
    proved = validate_target(as_is(lock), access, target, deep=deep, selector=annotation_selector)
    proved = mend_target(proved, lock, bundle, access, target, public_key=public_key, archive_block=archive_block)
    return report_delivery(
        as_is(chosen),
        as_is(proved),
        target,
        output,
        receipt,
        content=bundle,
        public_key=public_key,
        archive_block=archive_block,
    )
