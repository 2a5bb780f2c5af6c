"""All of it for one edge site: profiles → bundle → the site's registry → proof."""

from prefect import flow

from edgelift.bundle.attached import NOTHING
from edgelift.site import EdgeSite
from tasks.approve import ask_approval, check_approval
from tasks.archive import archive_bundle, check_archive, prune_archived
from tasks.as_is import as_is
from tasks.assemble import assemble_content, begin_assembly, keep_lock
from tasks.attach import attach_to
from tasks.events import announce_failure
from tasks.log_in import log_in
from tasks.plan import plan_lock
from tasks.pull import pull_images
from tasks.push import mend_target, push_images
from tasks.report import DeliveryReport, report_delivery
from tasks.resolve import resolve_source
from tasks.runner import choose_task_runner
from tasks.sign import check_signing
from tasks.sum_up import begin_report, sum_up
from tasks.validate import validate_target
from tasks.window import enter_window


@flow(
    name="sync-site",
    flow_run_name="sync {site.name}",
    task_runner=choose_task_runner(),
    persist_result=False,
    on_completion=[sum_up],
    on_failure=[sum_up, announce_failure],
    on_crashed=[announce_failure],
)
def sync_site(
    site: EdgeSite,
    output: str = "~/edgelift/sites",
    store: str | None = None,
    deep: bool = False,
    ignore_window: bool = False,
) -> DeliveryReport:
    """Bring one edge site what its profiles need, and prove that it arrived.

    Args:
        site: The site: what it needs, its registry, and how to get in.
        output: Folder of the worker that the bundle, its lock, the receipt and the site-side settings are written to.
        store: The working store: a folder, s3://bucket/prefix or block:NAME; empty for the site's, or the worker's own.
        deep: Validate by reading every blob back in this run, whatever the site says.
        ignore_window: Run now, also where the window of the site is closed.
    """
    store = store or site.store
    window = enter_window(site.window, ignored=ignore_window)
    if site.approval:
        check_approval()
    check_signing(site.signing, public_key=site.public_key, is_pushed=not site.direct)
    begin_report(site.name, output, pulls=not site.direct, pushes_to=site.target.registry)
    definition = resolve_source(site.name, site.source, site.access, store)
    attached = attach_to(site.name, site.source, site.access, store) if site.source.has_attachments else NOTHING
    log_in(as_is(definition), site.access, site.target)
    if site.archive:
        check_archive(site.archive, site.access)
    folder = None if site.direct else output
    lock = plan_lock(
        as_is(definition), site.access, store, folder, site.target, part_size=site.part_size, attached=as_is(attached)
    )
    if site.direct:
        content = keep_lock(as_is(lock), site.name, store, output, site.signing)
    else:
        with begin_assembly(
            lock, site.name, store, output, site.signing, archive=site.archive, part_size=site.part_size
        ) as assembly:
            pull_images(lock, site.access, store, window=window)
            bundle = assemble_content(assembly, as_is(lock), site.name, output, site.signing)
        if site.archive:
            bundle = archive_bundle(bundle, as_is(lock), site.archive, site.access)
            prune_archived(as_is(bundle), site.archive, site.public_key)
        content = bundle.path
    if site.approval:
        ask_approval(lock, site.target, output, timeout=site.approval_timeout)
    push_images(lock, content, site.access, site.target, public_key=site.public_key, direct=site.direct, window=window)
    receipt = validate_target(as_is(lock), site.access, site.target, deep=site.deep or deep)
    receipt = mend_target(
        receipt, lock, content, site.access, site.target, public_key=site.public_key, direct=site.direct
    )
    return report_delivery(
        as_is(lock), as_is(receipt), site.target, output, content=content, public_key=site.public_key
    )
