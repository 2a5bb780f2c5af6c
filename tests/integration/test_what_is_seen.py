"""What an operator sees of a run: its report as a file, its artifacts in Prefect, and how far it is."""

from typing import Any

import pytest
from prefect import flow

from edgelift.progress import Standing
from tasks.publish import ProgressArtifact, artifact_key, publish_markdown, publish_table
from tests.integration.prefect_server import PrefectServer
from tests.integration.sites import NAME, Site, sync
from tests.report.runs import Page

ALWAYS = {f"plan-{NAME}", f"images-{NAME}", f"run-report-{NAME}"}


def artifacts(prefect: PrefectServer, run: str) -> dict[str, dict[str, Any]]:
    """The artifacts of a run by their keys, the newest of each; those of Prefect's own results have none."""
    query = {"artifacts": {"flow_run_id": {"any_": [run]}}, "sort": "CREATED_DESC"}
    found = reversed(prefect.ask("POST", "/artifacts/filter", query))
    return {each["key"]: each for each in found if each["key"] is not None}


def report_of(site: Site) -> str:
    """The text of the report beside the receipt."""
    return " ".join(" ".join(Page.of((site.folder / "output" / f"{NAME}.report.html").read_bytes()).texts).split())


def test_a_run_leaves_its_report_and_its_artifacts(prefect: PrefectServer, site: Site) -> None:
    """Plan, images, receipt and report are in Prefect under the names of the site; short work shows no progress."""
    attempt = sync(prefect, site)
    found = artifacts(prefect, attempt.run)
    images = found[f"images-{NAME}"]

    assert attempt.state == "COMPLETED"
    assert set(found) == ALWAYS | {f"delivery-receipt-{NAME}", f"delivery-report-{NAME}"}
    assert images["data"].count('"state": "pushed"') == len(site.images)
    assert f"# {NAME}: 4 images" in found[f"plan-{NAME}"]["data"]
    assert f"{NAME}.report.html" in found[f"run-report-{NAME}"]["data"]
    assert "Completed" in report_of(site)
    assert all(site.reference(image) in report_of(site) for image in site.images)


def test_a_run_that_fails_leaves_them_as_well(prefect: PrefectServer, site: Site) -> None:
    """The image that failed comes first, with the reason; after a retry, what was taken over is told as such."""
    failing = site.images[2]
    site.source.deny(f"/{failing.repository}/blobs/")
    first = sync(prefect, site)
    found, told = artifacts(prefect, first.run), report_of(site)
    site.source.heal()
    second = sync(prefect, site, first)

    assert (first.state, second.state) == ("FAILED", "COMPLETED")
    assert set(found) == ALWAYS
    assert found[f"images-{NAME}"]["data"].startswith(f'[{{"image": "`{site.reference(failing)}`", "state": "failed"')
    assert "What went wrong" in told
    assert "1 of 4 images could not be pulled" in told
    assert told.count("pulled, not pushed") == 3
    assert "attempt 2" in report_of(site)
    assert report_of(site).count("earlier attempt:") == 3


def test_a_run_without_a_plan_leaves_a_report(prefect: PrefectServer, site: Site) -> None:
    """Where the first step fails, the report says why, and nothing else is published."""
    attempt = sync(prefect, site, profile_files=(str(site.folder / "missing.json"),))

    assert attempt.state == "FAILED"
    assert set(artifacts(prefect, attempt.run)) == {f"run-report-{NAME}"}
    assert "missing.json" in report_of(site)


def test_progress_is_shown_and_updated(prefect: PrefectServer) -> None:
    """One artifact, whose share and words change."""

    @flow
    def move() -> None:
        tell = ProgressArtifact(artifact_key("pull", NAME), f"pull {NAME}")
        tell(Standing(10, 100, 5.0))
        tell(Standing(50, 100, 5.0))

    attempt = prefect.run(move, {})
    (progress,) = artifacts(prefect, attempt.run).values()

    assert (progress["key"], progress["type"], progress["data"]) == (f"pull-{NAME}", "progress", 50.0)
    assert progress["description"] == f"pull {NAME}: 50 B of 100 B, 5 B/s, about 10 s left"


def test_what_cannot_be_published_spoils_no_run(prefect: PrefectServer) -> None:
    """The run completes, and a warning names the artifact."""

    @flow
    def tell() -> None:
        publish_table("images", NAME, [{"image": object()}])
        publish_markdown("plan", NAME, "# a plan")

    attempt = prefect.run(tell, {})

    assert attempt.state == "COMPLETED"
    assert set(artifacts(prefect, attempt.run)) == {f"plan-{NAME}"}


KEYS = {
    "site-7": "plan-site-7",
    "Site 7": "plan-site-7-",
    "Site_7": "plan-site-7-",
    "…": "plan-",
}


@pytest.mark.parametrize(("name", "key"), KEYS.items(), ids=KEYS)
def test_keys_are_what_prefect_takes(name: str, key: str) -> None:
    """Lower-case letters, digits and dashes, the same each time, and another for each name."""
    found = artifact_key("plan", name)

    assert found.startswith(key)
    assert set(found) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert len({artifact_key("plan", each) for each in KEYS}) == len(KEYS)
