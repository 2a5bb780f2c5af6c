"""Approval on a real server: the run is suspended before anything is pushed, and goes on as somebody has answered."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow_sync
from prefect.states import Pending

from deployments.deploy_sites import deploy_site
from edgelift.site import EdgeSite
from flows.push_bundle import push_bundle
from flows.sync_site import sync_site
from tests.integration.occasions import events_of
from tests.integration.prefect_server import PrefectServer
from tests.integration.sites import NAME, Site, content_requests, site_in, sync

POOL = "nobody"  # no worker looks into it, so that the tests carry the runs out
YES, NO = {"decision": "approve", "comment": "seen by the shift"}, {"decision": "reject", "comment": "not this week"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Two images to move."""
    with site_in(tmp_path, 2) as site:
        yield site


class Delivery:
    """A run of a deployed site that wants approval, carried out in this process as a worker would."""

    def __init__(self, prefect: PrefectServer, site: Site, settings: EdgeSite) -> None:
        self.prefect, self.site = prefect, site
        self._parameters = {"site": settings, **site.places}
        if POOL not in {pool["name"] for pool in prefect.ask("POST", "/work_pools/filter", {})}:
            prefect.ask("POST", "/work_pools/", {"name": POOL, "type": "process"})
        with prefect.as_api(), get_client(sync_client=True) as client:
            deployment = deploy_site(settings, POOL)
            given = {"site": settings.model_dump(mode="json"), **site.places}
            self.run = str(client.create_flow_run_from_deployment(deployment, parameters=given, state=Pending()).id)

    def carry_out(self) -> tuple[str, Any]:
        """One attempt: the name of the state that it ends in, and its result or its error."""
        with self.prefect.as_api(), get_client(sync_client=True) as client:
            found = client.read_flow_run(UUID(self.run))
            try:
                state = run_flow_sync(sync_site, found, self._parameters, return_type="state")
            except Pause:
                return self.state, None
            return str(state.name), state.result(raise_on_failure=False)

    @property
    def state(self) -> str:
        """The name of the state that the API shows."""
        return str(self.prefect.flow_run(self.run)["state"]["name"])

    def answer(self, answer: Mapping[str, str]) -> str:
        """What the Resume button sends, with the form filled in; what comes of it."""
        return str(self.prefect.ask("POST", f"/flow_runs/{self.run}/resume", {"run_input": answer})["status"])

    def question(self) -> tuple[str, dict[str, Any]]:
        """The text above the form, and its fields, as the UI asks for them."""
        keys = self.prefect.flow_run(self.run)["state"]["state_details"]["run_input_keyset"]
        text, schema = (
            self.prefect.ask("GET", f"/flow_runs/{self.run}/input/{keys[key]}") for key in ("description", "schema")
        )
        return str(text), schema["properties"]

    @property
    def is_pushed(self) -> bool:
        """Whether anything was sent to the target; that it would take something is tried before, with a POST."""
        return content_requests(self.site.target, "PUT") != set()


def wanting(site: Site, **settings: Any) -> EdgeSite:
    """The settings of `site`, with approval."""
    return site.settings().model_copy(update={"approval": True, **settings})


def test_an_approved_delivery_goes_on(prefect: PrefectServer, site: Site) -> None:
    """The form says what would change; once it is approved, nothing is pulled again, and all of it is delivered."""
    sync(prefect, site, images=tuple(site.reference(image) for image in site.images[1:]))
    site.forget_requests()
    delivery = Delivery(prefect, site, wanting(site))

    assert (delivery.carry_out()[0], delivery.is_pushed) == ("Suspended", False)
    text, fields = delivery.question()
    assert f"**{NAME}** is ready for **{site.target.host}/edge**: 2 images" in text
    assert "1 added, 0 with another digest, 0 asked for no more, 1 unchanged" in text
    assert f"- added: `{site.reference(site.images[0])}`" in text
    assert fields["decision"]["enum"] == ["approve", "reject"]
    told = events_of(prefect, delivery.run, "edgelift.awaiting-approval")[-1]
    assert told["payload"]["changes"].startswith("1 added")

    assert (delivery.answer({}), delivery.answer({"decision": "perhaps"})) == ("REJECT", "REJECT")
    assert (delivery.answer(YES), delivery.state) == ("ACCEPT", "Resuming")
    site.forget_requests()
    state, report = delivery.carry_out()

    assert (state, report.is_whole, site.fetched_blobs) == ("Completed", True, [])
    assert [site.delivered(image) for image in site.images] == [image.root.digest for image in site.images]
    assert events_of(prefect, delivery.run, "edgelift.approved")


def test_a_rejected_delivery_pushes_nothing(prefect: PrefectServer, site: Site) -> None:
    """The run fails with what was said; a retry does not ask those again who have answered."""
    delivery = Delivery(prefect, site, wanting(site))
    delivery.carry_out()
    text, _ = delivery.question()
    delivery.answer(NO)

    state, error = delivery.carry_out()
    prefect.retry(delivery.run)
    again = delivery.carry_out()

    assert "no receipt of an earlier delivery" in text
    assert (state, error.message) == ("Failed", f"the push to {site.target.host}/edge was rejected: not this week")
    assert (again[0], again[1].message) == (state, error.message)
    assert not delivery.is_pushed
    assert "edgelift.rejected" in {each["event"] for each in events_of(prefect, delivery.run, "edgelift.failed")}


def test_a_question_that_nobody_answers_is_asked_again(prefect: PrefectServer, site: Site) -> None:
    """The run fails by itself, and a retry asks anew."""
    delivery = Delivery(prefect, site, wanting(site, approval_timeout=1))
    delivery.carry_out()

    expired = prefect.wait(delivery.run)
    prefect.retry(delivery.run)
    asked_again, _ = delivery.carry_out()

    assert (expired.type, "never resumed" in expired.message) == ("FAILED", True)
    assert (asked_again in {"Suspended", "Failed"}, delivery.is_pushed) == (True, False)
    assert len(questions(prefect, delivery.run)) == 2


def test_an_approval_counts_for_every_attempt(prefect: PrefectServer, site: Site) -> None:
    """Where the push fails after it, a retry goes on without asking once more."""
    site.target.deny("/manifests/", "PUT")
    delivery = Delivery(prefect, site, wanting(site))
    delivery.carry_out()
    delivery.answer(YES)

    failed, _ = delivery.carry_out()
    site.target.heal()
    prefect.retry(delivery.run)

    assert (failed, delivery.carry_out()[0]) == ("Failed", "Completed")


def test_nobody_can_approve_a_run_without_a_deployment(prefect: PrefectServer, site: Site) -> None:
    """It ends before anything is asked of a registry, and says what to do."""
    attempt = prefect.run(sync_site, {"site": wanting(site), **site.places})
    settings = site.settings()
    pushed = prefect.run(push_bundle, {"bundle": "nowhere.tar.zst", "target": settings.target, "approval": True})

    assert (attempt.state, pushed.state) == ("FAILED", "FAILED")
    assert "this run has no deployment" in attempt.outcome.message
    assert "this run has no deployment" in pushed.outcome.message
    assert (list(site.source.requests), list(site.target.requests)) == ([], [])


def questions(prefect: PrefectServer, run: str) -> list[str]:
    """The keys of all that the run has asked."""
    found = prefect.ask("POST", f"/flow_runs/{run}/input/filter", {"prefix": "suspended-approval-", "limit": 100})
    return [each["key"] for each in found if each["key"].endswith("-schema")]
