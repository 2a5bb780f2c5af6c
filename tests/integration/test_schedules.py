"""What the schedules of a site do on a real server: they make runs, whether or not a worker is there to take them."""

from pathlib import Path
from typing import Any

from deployments.deploy_sites import deploy_site
from edgelift.timetable import Schedule
from tests.integration.prefect_server import PrefectServer, wait_for
from tests.integration.sites import site_in
from tests.integration.test_approval import POOL

ON, OFF = Schedule(name="on", cron="45 3 * * *"), Schedule(name="off", cron="15 2 * * *", active=False)


def test_schedules_make_runs(prefect: PrefectServer, tmp_path: Path) -> None:
    """Soon after the site is deployed the next ones are planned, each for its moment; none of one that is off."""
    if POOL not in {pool["name"] for pool in prefect.ask("POST", "/work_pools/filter", {})}:
        prefect.ask("POST", "/work_pools/", {"name": POOL, "type": "process"})
    with site_in(tmp_path, 1) as site, prefect.as_api():
        settings = site.settings().model_copy(update={"name": "pier-3", "schedules": (ON, OFF)})
        deployment = str(deploy_site(settings, POOL))

    found = wait_for(lambda: planned(prefect, deployment), "the runs of a schedule", prefect.logs["server"])

    assert {each["expected_start_time"][11:16] for each in found} == {"03:45"}


def planned(prefect: PrefectServer, deployment: str) -> list[dict[str, Any]]:
    """The runs of a deployment that its schedules have made."""
    query = {"deployments": {"id": {"any_": [deployment]}}}
    found: list[dict[str, Any]] = prefect.ask("POST", "/flow_runs/filter", query)
    return [each for each in found if each["auto_scheduled"]]
