"""A schedule is missed: a run has not begun when it should have, as no worker has taken it."""

from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from deployments.automations.notice import OURS, RUN_PAGE, notice


def automations() -> list[AutomationCore]:
    """One, for all deployments with the tag `edgelift`.

    How long a run may wait is the server's PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS. One that waits for an
    earlier run of its deployment is not late.
    """
    return [
        AutomationCore(
            name="edgelift: a run is late",
            description="Tells that no worker has begun a scheduled run in time.",
            tags=["edgelift"],
            trigger=EventTrigger(
                match={"prefect.resource.id": "prefect.flow-run.*"},
                match_related=OURS,
                for_each={"prefect.resource.id"},
                expect={"prefect.flow-run.Late"},
                posture=Posture.Reactive,
                threshold=1,
            ),
            actions=[
                notice(
                    "{{ deployment.name or flow_run.name }}: a run is late",
                    "It should have begun at {{ flow_run.next_scheduled_start_time }}, and no worker has taken it. "
                    f"Look whether one of the pool {{{{ flow_run.work_pool_name }}}} is running: {RUN_PAGE}",
                )
            ],
        )
    ]
