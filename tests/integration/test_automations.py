"""Automations as code, on a real server: made once, changed where they have changed, and somebody is told."""

import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from prefect.blocks.notifications import SlackWebhook
from prefect.blocks.system import Secret
from pydantic import SecretStr

from deployments.deploy_automations import all_automations, main
from deployments.register_blocks import blocks_from
from edgelift.errors import ConfigurationError
from tests.integration.occasions import Inbox, open_inbox
from tests.integration.prefect_server import PrefectServer

TELLING = {
    "edgelift: a bundle is ready",
    "edgelift: a delivery waits for approval",
    "edgelift: a run has failed",
    "edgelift: a run is late",
    "edgelift: a site has drifted",
}
HOOK = "custom-webhook/notify-webhook"


@pytest.fixture
def told(prefect: PrefectServer) -> Iterator[Inbox]:
    """An inbox, with the block that sends to it; what a test deploys is removed in the end."""
    with open_inbox() as inbox:
        with prefect.as_api():
            blocks_from({"NOTIFY_WEBHOOK_URL": inbox.url})["notify-webhook"].save("notify-webhook", overwrite=True)
        yield inbox
        deploy(prefect, "--remove")


def deploy(prefect: PrefectServer, *arguments: str) -> None:
    """`python -m deployments.deploy_automations` with this server."""
    with prefect.as_api():
        main(arguments)


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What was said of each automation: its name, and what was done."""
    found = (re.fullmatch(r"(.*?) (edgelift: .*)", line) for line in capsys.readouterr().out.splitlines())
    return {match[2]: match[1] for match in found if match is not None}


def done(capsys: pytest.CaptureFixture[str]) -> set[str]:
    """What was done, of those that tell somebody: the same with all of them, one hopes."""
    told = said(capsys)
    return {told.get(name, "nothing") for name in TELLING}


def test_automations_are_made_once(prefect: PrefectServer, told: Inbox, capsys: pytest.CaptureFixture[str]) -> None:
    """A second time nothing changes, a changed address changes each; one that was switched off stays off."""
    deploy(prefect, "--notify", HOOK, "--check")
    assert done(capsys) == {"would create"}
    deploy(prefect, "--notify", HOOK)
    assert done(capsys) == {"created"}
    switch_off(prefect, "edgelift: a run is late")
    deploy(prefect, "--notify", HOOK)
    assert done(capsys) == {"unchanged"}

    with prefect.as_api():
        SlackWebhook(url=SecretStr("https://hooks.slack.com/services/T00/B00/X00")).save("notify-slack", overwrite=True)
    deploy(prefect, "--notify", HOOK, "--notify", "slack-webhook/notify-slack")

    assert done(capsys) == {"changed"}
    standing = automations(prefect)
    assert {name: len(standing[name]["actions"]) for name in TELLING} == dict.fromkeys(TELLING, 2)
    assert [name for name in TELLING if not standing[name]["enabled"]] == ["edgelift: a run is late"]

    deploy(prefect, "--remove")

    assert done(capsys) == {"removed"}
    assert automations(prefect) == {}


def test_without_an_address_nobody_is_told(prefect: PrefectServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Only what acts by itself is deployed."""
    deploy(prefect, "--check")

    assert said(capsys).keys() & TELLING == set()
    assert {automation.name for automation in all_automations()} >= TELLING


WRONG_BLOCKS = {
    "nothing": ("slack", "Prefect has no block slack"),
    "another name": ("slack-webhook/nowhere", "Prefect has no block slack-webhook/nowhere"),
    "another kind": ("secret/quiet", "secret/quiet is not a notification block"),
}


@pytest.mark.parametrize(("block", "message"), WRONG_BLOCKS.values(), ids=WRONG_BLOCKS)
def test_a_wrong_address_is_told(
    prefect: PrefectServer, block: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is deployed, with what to do."""
    with prefect.as_api():
        Secret(value="made-up").save("quiet", overwrite=True)
    with pytest.raises(SystemExit) as ended:
        deploy(prefect, "--notify", block)

    assert (ended.value.code, message in capsys.readouterr().err) == (2, True)


def test_somebody_is_told_of_each_occasion(prefect: PrefectServer, told: Inbox) -> None:
    """With the reason, and with where to go on; runs that are not ours are nobody's business."""
    deploy(prefect, "--notify", HOOK)
    fail(prefect, "backup", [])
    fail(prefect, "sync harbour", ["edgelift", "site"])
    late = make_run(prefect, "sync berth", ["edgelift", "site"])
    set_state(prefect, late, {"type": "SCHEDULED", "name": "Late"})
    happen(prefect, "edgelift.assembled", "bundle", "courier", bundle="/srv/c.tar.zst", images=4, bytes=9, lock="L")
    happen(prefect, "edgelift.drifted", "site", "harbour", missing=3)
    happen(prefect, "edgelift.awaiting-approval", "site", "berth", registry="mirror.example", changes="1 added")

    failed = told.wait(prefect, "sync harbour: Failed")
    late_run = told.wait(prefect, "sync berth: a run is late")
    drifted = told.wait(prefect, "harbour has drifted")
    ready = told.wait(prefect, "courier is ready")
    waiting = told.wait(prefect, "berth waits for approval")

    assert "3 of 4 images could not be pulled" in failed["text"]
    assert "no worker has taken it" in late_run["text"]
    assert "missing: 3" in drifted["text"]
    assert ready["text"].startswith("/srv/c.tar.zst: 4 images, 9 bytes, lock L")
    assert waiting["text"].startswith("Ready for mirror.example. Since the last delivery: 1 added.")
    assert [each for each in told.messages if "backup" in each["subject"]] == []


def test_addresses_are_made_from_the_environment() -> None:
    """Prefect's own kinds; what is secret in them is shown to nobody."""
    made = blocks_from(
        {
            "NOTIFY_SLACK_URL": "https://hooks.slack.com/services/T00/B00/made-up",
            "NOTIFY_WEBHOOK_URL": "https://hooks.example/made-up",
            "NOTIFY_SENDGRID_API_KEY": "made-up",
            "NOTIFY_EMAIL_FROM": "edge@site.example",
            "NOTIFY_EMAIL_TO": "a@site.example, b@site.example",
        }
    )

    kinds = {name: block.get_block_type_slug() for name, block in made.items()}
    assert kinds == {
        "notify-slack": "slack-webhook",
        "notify-webhook": "custom-webhook",
        "notify-email": "sendgrid-email",
    }
    assert "made-up" not in repr(made)


def test_half_an_address_is_told() -> None:
    """An e-mail needs somebody who sends it, and somebody who gets it."""
    with pytest.raises(ConfigurationError, match="NOTIFY_EMAIL_FROM is not"):
        blocks_from({"NOTIFY_SENDGRID_API_KEY": "made-up"})


def automations(prefect: PrefectServer) -> dict[str, dict[str, Any]]:
    """Those that tell somebody, by name."""
    found = prefect.ask("POST", "/automations/filter", {"limit": 200})
    return {each["name"]: each for each in found if each["name"] in TELLING}


def switch_off(prefect: PrefectServer, name: str) -> None:
    """What the switch in the UI does."""
    prefect.ask("PATCH", f"/automations/{automations(prefect)[name]['id']}", {"enabled": False})


def make_run(prefect: PrefectServer, name: str, tags: list[str]) -> str:
    """A flow run of the flow `nothing`, which is scheduled."""
    flow = prefect.ask("POST", "/flows/", {"name": "nothing"})
    state = {"type": "SCHEDULED", "name": "Scheduled"}
    asked = {"flow_id": flow["id"], "name": name, "tags": tags, "state": state}
    return str(prefect.ask("POST", "/flow_runs/", asked)["id"])


def fail(prefect: PrefectServer, name: str, tags: list[str]) -> None:
    """A run of that name fails."""
    message = "3 of 4 images could not be pulled"
    set_state(prefect, make_run(prefect, name, tags), {"type": "FAILED", "name": "Failed", "message": message})


def set_state(prefect: PrefectServer, run: str, state: dict[str, str]) -> None:
    """The run comes into that state."""
    prefect.ask("POST", f"/flow_runs/{run}/set_state", {"state": state, "force": True})


def happen(prefect: PrefectServer, event: str, kind: str, name: str, **facts: object) -> None:
    """An event of ours, as a run sends it."""
    resource = {"prefect.resource.id": f"edgelift.{kind}.{name}", "prefect.resource.name": name}
    moment = datetime.now(UTC).isoformat()
    told = {"event": event, "occurred": moment, "resource": resource, "payload": facts, "id": str(uuid.uuid4())}
    prefect.ask("POST", "/events", [told])
