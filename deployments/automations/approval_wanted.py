"""A delivery waits for approval: nobody would look for the question by themselves."""

from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from deployments.automations.notice import RUN_PAGE, notice


def automations() -> list[AutomationCore]:
    """One, for the event `edgelift.awaiting-approval` of any site or bundle."""
    return [
        AutomationCore(
            name="edgelift: a delivery waits for approval",
            description="Tells what would be pushed, and where to approve or reject it.",
            tags=["edgelift"],
            trigger=EventTrigger(
                match={"prefect.resource.id": ["edgelift.site.*", "edgelift.bundle.*"]},
                for_each={"prefect.resource.id"},
                expect={"edgelift.awaiting-approval"},
                posture=Posture.Reactive,
                threshold=1,
            ),
            actions=[
                notice(
                    "{{ event.resource.name }} waits for approval",
                    "Ready for {{ event.payload.registry }}. Since the last delivery: {{ event.payload.changes }}.\n\n"
                    f"Resume the run to approve or reject it: {RUN_PAGE}",
                )
            ],
        )
    ]
