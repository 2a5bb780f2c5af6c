"""Summarise: what came of a fleet as a file, as one table in Prefect, and as an error where not every site is whole."""

import time

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict

from edgelift.documents import write_document
from edgelift.fleet.builds import remove_old_builds
from edgelift.fleet.summary import HEADINGS, FleetSummary
from edgelift.report.markup import code
from tasks.connect import path_of
from tasks.narrate import narrate
from tasks.record import record


class FleetReport(BaseModel):
    """Where the summary was written, and what came of the fleet."""

    model_config = ConfigDict(frozen=True)

    summary_path: str
    builds: int
    sites: int
    headline: str


@task(name="summarise", task_run_name="summarise the fleet", cache_policy=NO_CACHE, persist_result=False)
def summarise_fleet(summary: FleetSummary, output: str) -> FleetReport:
    """Write fleet.json into `output`, publish the table; raises `IncompleteError` unless all are whole."""
    record().fleet = summary
    folder = path_of(output)
    summary_path = folder / "fleet.json"
    write_document(summary_path, summary.to_json())
    rows = [dict(zip(HEADINGS, map(code, each.cells()), strict=True)) for each in summary.sites]
    create_table_artifact(key="fleet", table=rows, description=summary.headline)
    removed = remove_old_builds(folder, {str(each.bundle) for each in summary.sites}, time.time())
    if removed:
        narrate(f"deleted, as no receipt names them any more: {', '.join(removed)}")
    narrate(summary.headline, warn=not summary.is_whole, is_reported=False)
    narrate(f"summary: {summary_path}")
    summary.raise_unless_whole()
    return FleetReport(
        summary_path=str(summary_path),
        builds=summary.builds,
        sites=len(summary.sites),
        headline=summary.headline,
    )
