"""What is sent to people: a text with what is known of the event, to the blocks that are named when it is deployed."""

from collections.abc import Sequence
from uuid import UUID

from prefect.events.actions import ActionTypes, SendNotification
from prefect.events.schemas.automations import AutomationCore

OURS = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.edgelift"}  # all runs of our deployments
RUN_PAGE = "{{ flow_run|ui_url }}"
_NOBODY = UUID(int=0)


def notice(subject: str, body: str) -> SendNotification:
    """A notice that is not addressed yet; both texts are Jinja templates that Prefect's server fills in."""
    return SendNotification(block_document_id=_NOBODY, subject=subject, body=body)


def addressed(automation: AutomationCore, blocks: Sequence[UUID]) -> AutomationCore | None:
    """`automation` with each of its notices going to each of `blocks`; None where nothing of it is left without any."""
    actions: list[ActionTypes] = []
    for action in automation.actions:
        if isinstance(action, SendNotification) and action.block_document_id == _NOBODY:
            actions += [action.model_copy(update={"block_document_id": block}) for block in blocks]
        else:
            actions.append(action)
    return automation.model_copy(update={"actions": actions}) if actions else None
