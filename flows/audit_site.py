"""Whether an edge site still has what was delivered to it. Changes nothing there."""

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from edgelift.site import EdgeSite
from tasks.as_is import as_is
from tasks.audit import AuditReport, open_receipt, report_drift
from tasks.events import announce_failure
from tasks.log_in import log_in
from tasks.sum_up import begin_report, sum_up
from tasks.validate import validate_target


@flow(
    name="audit-site",
    flow_run_name="audit {site.name}",
    task_runner=ThreadPoolTaskRunner(max_workers=4),
    persist_result=False,
    on_completion=[sum_up],
    on_failure=[sum_up, announce_failure],
    on_crashed=[announce_failure],
)
def audit_site(site: EdgeSite, output: str = "~/edgelift/sites", store: str | None = None) -> AuditReport:
    """Validate what an edge site should have by the receipt of its last delivery, and report what has changed since.

    Args:
        site: The site, as it was synchronised.
        output: Folder of the worker with the receipt; receipt and report of the audit are written beside it.
        store: The working store: a folder, s3://bucket/prefix or block:NAME; empty for the site's, or the worker's own.
    """
    expected = open_receipt(site, output, store or site.store)
    begin_report(site.name, output, kind="audit")
    log_in(None, site.access, site.target)
    found = validate_target(as_is(expected.lock), site.access, site.target, deep=site.deep)
    return report_drift(site, as_is(expected), as_is(found), output)
