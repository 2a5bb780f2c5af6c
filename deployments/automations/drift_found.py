"""A site's registry no longer holds what was delivered: somebody has deleted or moved something there."""

from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from deployments.automations.notice import RUN_PAGE, notice


def automations() -> list[AutomationCore]:
    """One, for the event `edgelift.drifted` of any site."""
    return [
        AutomationCore(
            name="edgelift: a site has drifted",
            description="Tells that a site's registry does not hold what was delivered to it.",
            tags=["edgelift"],
            trigger=EventTrigger(
                match={"prefect.resource.id": "edgelift.site.*"},
                for_each={"prefect.resource.id"},
                expect={"edgelift.drifted"},
                posture=Posture.Reactive,
                threshold=1,
            ),
            actions=[
                notice(
                    "{{ event.resource.name }} has drifted",
                    "{% for name, fact in event.payload.items() %}{{ name }}: {{ fact }}\n{% endfor %}\n"
                    f"Found by: {RUN_PAGE}",
                )
            ],
        )
    ]
