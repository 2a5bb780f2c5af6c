"""Events: every stage of a run is told, about its site or its bundle, and no run depends on it."""

from types import SimpleNamespace
from typing import Any

import pytest
from prefect import flow

from flows.build_bundle import build_bundle
from tasks.events import LONGEST, Subject, announce, subject_of
from tests.integration.occasions import events_of
from tests.integration.prefect_server import PrefectServer
from tests.integration.sites import NAME, Site, sync

STAGES = ["planned", "pulled", "assembled", "pushed", "delivered"]


def test_every_stage_of_a_site_is_told(prefect: PrefectServer, site: Site) -> None:
    """In order, about the site, with what it took; a second run with nothing new tells of no new bundle."""
    first, second = sync(prefect, site), sync(prefect, site)

    told = events_of(prefect, first.run, "edgelift.delivered")
    again = events_of(prefect, second.run, "edgelift.delivered")

    assert [each["event"] for each in told] == [f"edgelift.{stage}" for stage in STAGES]
    assert {each["resource"]["prefect.resource.id"] for each in told} == {f"edgelift.site.{NAME}"}
    planned, pulled, assembled, pushed, delivered = (each["payload"] for each in told)
    assert (planned["images"], pulled["images"], pushed["images"], delivered["ok"]) == (4, 4, 4, 4)
    assert (assembled["bundle"], assembled["lock"]) == (str(site.bundle), planned["lock"])
    assert delivered["registry"] == f"{site.target.host}/edge"
    assert [each["event"] for each in again] == [f"edgelift.{stage}" for stage in STAGES if stage != "assembled"]


def test_a_failure_is_told_with_its_reason(prefect: PrefectServer, site: Site) -> None:
    """The hook of the flow tells it, about the same site; nothing after it is told."""
    site.source.deny("/blobs/")

    failed = sync(prefect, site)

    told = events_of(prefect, failed.run, "edgelift.failed")
    assert [each["event"] for each in told] == ["edgelift.planned", "edgelift.failed"]
    assert told[-1]["resource"]["prefect.resource.id"] == f"edgelift.site.{NAME}"
    assert "4 of 4 images could not be pulled" in told[-1]["payload"]["reason"]


def test_a_build_is_about_its_bundle(prefect: PrefectServer, site: Site) -> None:
    """Whoever waits for a bundle, and not for a site, finds it by its name; where it is archived is told as well."""
    settings, archive = site.settings(), site.folder / "archive"
    archive.mkdir()
    parameters = {"source": settings.source, "access": settings.access, **site.places}

    built = prefect.run(build_bundle, {"name": "courier-9", "archive": {"directory": str(archive)}, **parameters})

    told = events_of(prefect, built.run, "edgelift.archived")
    assert {each["resource"]["prefect.resource.id"] for each in told} == {"edgelift.bundle.courier-9"}
    assert told[-1]["payload"]["url"] == built.outcome.archived


SUBJECTS: dict[str, tuple[dict[str, Any], Subject | None]] = {
    "a site": ({"site": SimpleNamespace(name="harbour"), "output": "x"}, Subject("site", "harbour")),
    "a site as the API has it": ({"site": {"name": "harbour"}}, Subject("site", "harbour")),
    "a build": ({"name": "site-7", "store": None}, Subject("bundle", "site-7")),
    "a file": ({"bundle": "/media/site-7.tar.zst", "target": {}}, Subject("bundle", "site-7")),
    "an object": ({"bundle": "s3://bundles/sites/site-7.tar.zst"}, Subject("bundle", "site-7")),
    "the index of parts": ({"bundle": "site-7.tar.zst.parts.json"}, Subject("bundle", "site-7")),
    "neither": ({"store": "/srv/store"}, None),
}


@pytest.mark.parametrize(("parameters", "subject"), SUBJECTS.values(), ids=SUBJECTS)
def test_a_run_is_about_what_its_parameters_name(parameters: dict[str, Any], subject: Subject | None) -> None:
    """All events of a run are about one thing."""
    assert subject_of(parameters) == subject


def test_an_event_is_small_and_fails_nobody(prefect: PrefectServer) -> None:
    """Long reasons are cut; of what is about nothing, nothing is told."""

    @flow
    def tell(name: str | None) -> None:
        announce("failed", reason="x" * 1_000_000)

    assert prefect.run(tell, {"name": None}).state == "COMPLETED"
    told = events_of(prefect, prefect.run(tell, {"name": "long"}).run, "edgelift.failed")

    assert [len(each["payload"]["reason"]) for each in told] == [LONGEST]
