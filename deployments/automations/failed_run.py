"""A run of a site, or any other of ours, has failed, crashed or taken too long: the reason, and the page to retry it.

Prefect's own states are what counts, not our event `edgelift.failed`: a host that dies emits none, nor does a run that
nobody has approved in time.
"""

from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from deployments.automations.notice import OURS, RUN_PAGE, notice


def automations() -> list[AutomationCore]:
    """One, for all deployments with the tag `edgelift`."""
    return [
        AutomationCore(
            name="edgelift: a run has failed",
            description="Tells why a run has failed or crashed, and where to retry it.",
            tags=["edgelift"],
            trigger=EventTrigger(
                match={"prefect.resource.id": "prefect.flow-run.*"},
                match_related=OURS,
                for_each={"prefect.resource.id"},
                expect={f"prefect.flow-run.{name}" for name in ("Failed", "Crashed", "TimedOut")},
                posture=Posture.Reactive,
                threshold=1,
            ),
            actions=[
                notice(
                    "{{ flow_run.name }}: {{ flow_run.state.name }}",
                    f"{{{{ flow_run.state.message }}}}\n\nWhat is done stays done; Retry repeats the rest: {RUN_PAGE}",
                )
            ],
        )
    ]
