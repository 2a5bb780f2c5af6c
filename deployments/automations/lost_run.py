"""Runs whose host has died: nobody tells Prefect, and a run that stays Running can be neither retried nor followed.

A run sends heartbeats. Where they stay away it is said to have crashed, and is begun again: another worker takes it
over, repeats what was not finished, and continues the partial blobs of a store that both share.
"""

from datetime import timedelta

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.settings import get_current_settings

MISSED = 3  # heartbeats; one may be late, as the server may be
ATTEMPTS = 3  # at one run, whoever asked for them; whatever kills hosts is not given more
_WHY = "lost: "  # what the message of such a crash begins with
_OURS = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.edgelift"}
_HEARTBEAT = "prefect.flow-run.heartbeat"
# After these nothing more need come. Running is not among them: a host may die right after it.
_QUIET = (
    *("Completed", "Failed", "TimedOut", "Crashed", "Cancelling", "Cancelled"),
    *("Paused", "Suspended", "AwaitingRetry", "Scheduled"),
)


def automations() -> list[AutomationCore]:
    """Two: one finds lost runs of edgelift's deployments, one has them begun again.

    How long a run may be silent follows from PREFECT_FLOWS_HEARTBEAT_FREQUENCY here: it has to be that of the workers.
    """
    return [_find(_silence()), _begin_again()]


def _silence() -> timedelta:
    frequency = get_current_settings().flows.heartbeat_frequency
    return timedelta(seconds=MISSED * (frequency or 30))  # none is sent without a frequency, and none is missed


def _find(silence: timedelta) -> AutomationCore:
    return AutomationCore(
        name="edgelift: find lost runs",
        description="A run whose heartbeats stay away has lost its host: it is said to have crashed.",
        tags=["edgelift"],
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=_OURS,
            for_each={"prefect.resource.id"},
            after={_HEARTBEAT},
            expect={_HEARTBEAT, *(f"prefect.flow-run.{name}" for name in _QUIET)},
            posture=Posture.Proactive,
            threshold=1,
            within=silence,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name="Crashed",
                message=f"{_WHY}no heartbeat for {silence.total_seconds():.0f} s; its worker, or the host, has died",
            )
        ],
    )


def _begin_again() -> AutomationCore:
    return AutomationCore(
        name="edgelift: begin lost runs again",
        description=f"A lost run is retried, as by the button in the UI, until it has had {ATTEMPTS} attempts.",
        tags=["edgelift"],
        trigger=EventTrigger(
            match={
                "prefect.resource.id": "prefect.flow-run.*",
                "prefect.state-message": f"{_WHY}*",
                "prefect.run-count": [str(count) for count in range(1, ATTEMPTS)],
            },
            match_related=_OURS,
            for_each={"prefect.resource.id"},
            expect={"prefect.flow-run.Crashed"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.SCHEDULED, name="AwaitingRetry", message="its host was lost: begun again by itself"
            )
        ],
    )
