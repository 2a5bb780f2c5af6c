"""Limits that all runs share: made when sites are deployed, kept by the pull, and told where they are missing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.deploy_sites import main
from deployments.limits import deploy_limits
from edgelift.registry_limits import limit_name
from edgelift.site import ContentSource, EdgeSite, RegistryAccess
from flows.build_bundle import build_bundle
from flows.sync_site import sync_site
from tests.images import make_image_set
from tests.integration.prefect_server import PrefectServer
from tests.integration.sites import Site, site_in
from tests.simulators.profiles.hosted import Hub
from tests.simulators.registry import RegistrySimulator


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """One image to move: on SQLite each slot costs two seconds."""
    with site_in(tmp_path, 1) as site:
        yield site


def limited(site: Site, limit: int = 4) -> EdgeSite:
    """The settings of `site`, with a limit for its source."""
    settings = site.settings()
    access = settings.access.model_copy(update={"registry_limits": (f"{site.source.host}={limit}",)})
    return settings.model_copy(update={"access": access})


def test_limits_are_made_with_the_sites(prefect: PrefectServer, site: Site) -> None:
    """Once, and changed where a site has changed; sites without one make none."""
    name = limit_name(site.source.host)
    with prefect.as_api():
        said = [deploy_limits([limited(site, limit), site.settings()]) for limit in (4, 4, 6)]

    assert said == [[f"created limit {name}=4"], [f"unchanged limit {name}=4"], [f"changed limit {name}=6"]]
    assert prefect.ask("GET", f"/v2/concurrency_limits/{name}")["limit"] == 6


def test_limits_are_told_once(prefect: PrefectServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where sites are deployed, before the sites."""
    file = tmp_path / "a.yaml"
    file.write_text(
        "name: slip-1\nsource: {images: [limited.example/a/b:1]}\ntarget: {registry: m.example}\n"
        "access: {registry_limits: [limited.example=4]}\n"
    )
    prefect.ask("POST", "/work_pools/", {"name": "slipway", "type": "process"})

    with prefect.as_api():
        main([str(file), "--pool", "slipway"])

    assert capsys.readouterr().out.splitlines() == [
        "created limit registry-limited.example=4",
        "[1/1] created sync-site/slip-1",
        "1 site: 1 created",
    ]


def test_a_pull_takes_a_slot_and_gives_it_back(prefect: PrefectServer, site: Site) -> None:
    """The run is delivered; the server has seen the slot taken, and none is in use any more."""
    settings, name = limited(site), limit_name(site.source.host)
    with prefect.as_api():
        deploy_limits([settings])

    done = prefect.run(sync_site, {"site": settings, **site.places})

    limit = prefect.ask("GET", f"/v2/concurrency_limits/{name}")
    assert (done.state, limit["active_slots"]) == ("COMPLETED", 0), done.outcome


def test_a_missing_limit_is_told(prefect: PrefectServer, site: Site) -> None:
    """Nothing is pulled, and the error names the commands that make it."""
    failed = prefect.run(sync_site, {"site": limited(site), **site.places})

    assert failed.state == "FAILED"
    assert f"no global concurrency limit {limit_name(site.source.host)}" in str(failed.outcome)
    assert f"prefect gcl create {limit_name(site.source.host)} --limit 4" in str(failed.outcome)
    assert site.fetched_blobs == []


def test_two_sites_cannot_limit_one_registry_differently(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told with the files alone, before a server is asked."""
    text = "name: {}\nsource: {{images: [quay.io/a/b:1]}}\ntarget: {{registry: m.example}}\n"
    text += "access: {{registry_limits: [quay.io={}]}}\n"
    files = [tmp_path / f"{number}.yaml" for number in (4, 5)]
    for number, file in zip((4, 5), files, strict=True):
        file.write_text(text.format(f"site-{number}", number))

    with pytest.raises(SystemExit) as ended:
        main([*map(str, files), "--check"])

    assert (ended.value.code, "quay.io is limited to 4" in capsys.readouterr().err) == (2, True)


def test_a_plan_begins_with_what_another_run_has_learned(
    prefect: PrefectServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What Docker Hub has said last is kept in the store, also by a plan that it has stopped, and told by the next."""
    images = make_image_set(2, 0)
    with RegistrySimulator(tmp_path / "hub", profile=Hub(pulls=1)) as hub:
        hub.put_image(*images)
        references = tuple(f"{hub.host}/{image.repository}:{image.tag}" for image in images)
        parameters = {
            "source": ContentSource(images=references),
            "access": RegistryAccess(docker_config=False),
            "output": str(tmp_path / "output"),
            "store": str(tmp_path / "store"),
        }
        first = prefect.run(build_bundle, {"name": "first", **parameters})
        before = [record.message for record in caplog.records if "pulls remained at" in record.message]
        prefect.run(build_bundle, {"name": "second", **parameters})

    told = [record.message for record in caplog.records if "pulls remained at" in record.message]
    assert (first.state, before, len(told)) == ("FAILED", [], 1)
    assert told[0].startswith(f"{hub.host}: 0 of 1 pulls remained at ")
