"""Automations that find runs whose host has died, and begin them again, on a real server that carries them out."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from deployments.automations.lost_run import ATTEMPTS, MISSED, automations
from deployments.deploy_sites import deploy_site
from tests.integration.prefect_server import PrefectServer, wait_for
from tests.integration.sites import Site

POOL = "nobody"
SHORTEST = timedelta(seconds=10)  # that Prefect takes for silence; it would be tedious to wait for more
LOST = "lost: no heartbeat for 540 s; its worker, or the host, has died"


@contextmanager
def deployed(prefect: PrefectServer, automation: AutomationCore) -> Iterator[None]:
    """The server with one automation."""
    with prefect.as_api(), get_client(sync_client=True) as client:
        made = client.create_automation(automation)
    try:
        yield
    finally:
        prefect.ask("DELETE", f"/automations/{made}")


def start_without_worker(prefect: PrefectServer, site: Site, attempt: int = 1) -> str:
    """A run of a deployment that no worker looks at, in its `attempt`: what is left of one that is lost."""
    if POOL not in {pool["name"] for pool in prefect.ask("POST", "/work_pools/filter", {})}:
        prefect.ask("POST", "/work_pools/", {"name": POOL, "type": "process"})
    with prefect.as_api():
        deployment = deploy_site(site.settings().model_copy(update={"name": "adrift"}), POOL)
    run = prefect.start(str(deployment), site.places)
    for _ in range(attempt):
        set_state(prefect, run, "RUNNING", "Running")
    return run


def set_state(prefect: PrefectServer, run: str, kind: str, name: str, message: str = "") -> None:
    """Say that the run is in that state, whatever it was in before."""
    state = {"type": kind, "name": name, "message": message}
    prefect.ask("POST", f"/flow_runs/{run}/set_state", {"state": state, "force": True})


def beat(prefect: PrefectServer, run: str, ago: timedelta) -> None:
    """A heartbeat that the engine of the run has sent so long ago."""
    tag = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.edgelift"}
    event = {
        "id": str(uuid4()),
        "occurred": (datetime.now(UTC) - ago).isoformat(),
        "event": "prefect.flow-run.heartbeat",
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run}"},
        "related": [tag],
    }
    prefect.ask("POST", "/events", [event])


def wait_for_state(prefect: PrefectServer, run: str, name: str) -> str:
    """The message of the state of that `name`, once the run is in it."""

    def look() -> str | None:
        state = prefect.flow_run(run)["state"]
        return str(state["message"]) if state["name"] == name else None

    return wait_for(look, f"state {name} of {run}", prefect.logs["server"])


def test_a_run_without_heartbeats_is_lost(prefect: PrefectServer, site: Site) -> None:
    """One that has been silent for too long is said to have crashed, and why; one that is heard of is not."""
    find, _ = automations()
    shortest = find.trigger.model_copy(update={"within": SHORTEST})
    lost, well = (start_without_worker(prefect, site) for _ in range(2))
    with deployed(prefect, find.model_copy(update={"trigger": shortest})):
        beat(prefect, well, -100 * SHORTEST)  # yet to come, by a clock that goes ahead
        beat(prefect, lost, 2 * SHORTEST)

        message = wait_for_state(prefect, lost, "Crashed")

    (action,) = find.actions
    assert isinstance(action, ChangeFlowRunState)
    assert message == action.message
    assert prefect.flow_run(well)["state"]["name"] == "Running"


def test_a_lost_run_is_begun_again(prefect: PrefectServer, site: Site) -> None:
    """It is scheduled as by the Retry button; one that has been lost too often stays, and so does any other crash."""
    _, again = automations()
    with deployed(prefect, again):
        worn_out = start_without_worker(prefect, site, ATTEMPTS)
        other = start_without_worker(prefect, site)
        lost = start_without_worker(prefect, site)
        set_state(prefect, worn_out, "CRASHED", "Crashed", LOST)
        set_state(prefect, other, "CRASHED", "Crashed", "Process exited with status code: 1.")
        set_state(prefect, lost, "CRASHED", "Crashed", LOST)

        message = wait_for_state(prefect, lost, "AwaitingRetry")  # events come in order: the others have had their turn

    assert message == "its host was lost: begun again by itself"
    assert [prefect.flow_run(run)["state"]["name"] for run in (worn_out, other)] == ["Crashed", "Crashed"]


@pytest.mark.parametrize("frequency", [30, 180])
def test_silence_is_counted_in_heartbeats(frequency: int) -> None:
    """A run may miss as many heartbeats as workers send in that time, whatever their frequency."""
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: frequency}):
        find, _ = automations()

    assert getattr(find.trigger, "within", None) == timedelta(seconds=MISSED * frequency)
