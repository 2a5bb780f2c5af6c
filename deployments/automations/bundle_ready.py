"""A bundle is ready that was not there before: somebody may fetch it, or carry it to where no network goes."""

from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from deployments.automations.notice import RUN_PAGE, notice


def automations() -> list[AutomationCore]:
    """One, for the event `edgelift.assembled` of any site or bundle."""
    return [
        AutomationCore(
            name="edgelift: a bundle is ready",
            description="Tells that a new bundle has been assembled, and where it lies.",
            tags=["edgelift"],
            trigger=EventTrigger(
                match={"prefect.resource.id": ["edgelift.site.*", "edgelift.bundle.*"]},
                for_each={"prefect.resource.id"},
                expect={"edgelift.assembled"},
                posture=Posture.Reactive,
                threshold=1,
            ),
            actions=[
                notice(
                    "{{ event.resource.name }} is ready",
                    "{{ event.payload.bundle }}: {{ event.payload.images }} images, {{ event.payload.bytes }} bytes, "
                    f"lock {{{{ event.payload.lock }}}}\n\n{RUN_PAGE}",
                )
            ],
        )
    ]
