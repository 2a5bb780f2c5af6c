"""Prefect's own notification blocks from the environment, for the automations that tell somebody."""

from collections.abc import Callable, Mapping

from prefect.blocks.core import Block
from prefect.blocks.notifications import CustomWebhookNotificationBlock, SendgridEmail, SlackWebhook
from prefect.types import SecretDict
from pydantic import SecretStr

from edgelift.errors import ConfigurationError


def notification_blocks(environment: Mapping[str, str], secret: Callable[[str], SecretStr | None]) -> dict[str, Block]:
    """The blocks that `environment` describes, by name; `secret` reads a variable, or the file that NAME_FILE names."""
    blocks: dict[str, Block] = {}
    if slack := secret("NOTIFY_SLACK_URL"):
        blocks["notify-slack"] = SlackWebhook(url=slack)
    if webhook := secret("NOTIFY_WEBHOOK_URL"):
        blocks["notify-webhook"] = CustomWebhookNotificationBlock(
            name="edgelift",
            url="{{address}}",  # the field itself is shown to everybody
            json_data={"subject": "{{subject}}", "text": "{{body}}"},
            secrets=SecretDict({"address": webhook.get_secret_value()}),
        )
    if key := secret("NOTIFY_SENDGRID_API_KEY"):
        blocks["notify-email"] = SendgridEmail(
            api_key=key,
            sender_email=_wanted(environment, "NOTIFY_EMAIL_FROM"),
            to_emails=[each.strip() for each in _wanted(environment, "NOTIFY_EMAIL_TO").split(",")],
        )
    return blocks


def _wanted(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name)
    if not value:
        raise ConfigurationError(f"NOTIFY_SENDGRID_API_KEY is set, and {name} is not", hint=f"set {name}, too")
    return value
