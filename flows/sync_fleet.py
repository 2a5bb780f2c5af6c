"""All of it for many edge sites: what they share is built once, and comes to the canaries first."""

from typing import Annotated

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from edgelift.site import EdgeSite
from tasks.as_is import as_is
from tasks.roll_out import roll_out
from tasks.share import build_fleet, gather_sites, plan_fleet
from tasks.sum_up import begin_report, sum_up
from tasks.summarise import FleetReport, summarise_fleet


@flow(
    name="sync-fleet",
    flow_run_name="sync fleet",
    task_runner=ThreadPoolTaskRunner(max_workers=16),  # sites at a time, at most; the engine bounds each registry
    persist_result=False,
    on_completion=[sum_up],
    on_failure=[sum_up],
)
def sync_fleet(
    sites: tuple[EdgeSite, ...] = (),
    folder: str | None = None,
    canaries: tuple[str, ...] = (),
    parallel: Annotated[int, Field(ge=1, le=16)] = 4,
    stop_on_failure_rate: Annotated[float, Field(ge=0, le=1)] = 0.25,
    output: str = "~/edgelift/sites",
    store: str | None = None,
) -> FleetReport:
    """Bring many edge sites what their profiles need, build what they share once, and prove that it arrived.

    Args:
        sites: The sites, as in their files.
        folder: Folder of the worker with further site files, in it or below.
        canaries: Names of sites that go first, besides those whose files say so; unless all are whole, no other begins.
        parallel: So many sites at a time.
        stop_on_failure_rate: Of the sites that were begun and have ended, the share (0 to 1) that may fail.
        output: Folder of the worker for bundles, locks, receipts, site-side settings, fleet.json and its report.
        store: The working store of all, as of a site; empty for that of each build's first site, or the worker's own.
    """
    fleet = gather_sites(as_is(sites), folder, canaries)
    begin_report("fleet", output)
    content = plan_fleet(fleet, store)
    content = build_fleet(content, output)
    summary = roll_out(content, parallel, stop_on_failure_rate, output)
    return summarise_fleet(as_is(summary), output)
