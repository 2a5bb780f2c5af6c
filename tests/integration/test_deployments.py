"""Deployments on a real server: those of prefect.yaml, one for each site, and runs with nothing but defaults."""

import importlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from prefect import Flow
from prefect.utilities.callables import parameter_schema

from deployments.deploy_sites import SITES, deployment_of, load_sites, main
from edgelift.bundle.reader import BundleReader
from flows.audit_site import audit_site
from flows.build_bundle import build_bundle
from flows.push_bundle import push_bundle
from flows.rebuild_bundle import rebuild_bundle
from flows.refresh_bundle import refresh_bundle
from flows.sync_fleet import sync_fleet
from flows.sync_site import sync_site
from tests.integration.prefect_server import POOL, ROOT, PrefectServer, TaskRun
from tests.integration.sites import NAME, site_in

SITE = """
name: berth-12
description: Berth 12.
source: {images: [quay.io/edge/app:1.0]}
target: {registry: mirror.example/edge}
schedule: {cron: 15 2 * * *, timezone: Europe/Berlin}
"""
OTHER_SITE = """
name: windpark-3
source: {images: [quay.io/edge/app:1.0], architecture: arm64}
target: {registry: windpark.example, on_conflict: keep}
schedule: {cron: 0 4 * * 0, timezone: Europe/Copenhagen, active: false}
"""


@pytest.fixture
def pool(prefect: PrefectServer) -> PrefectServer:
    """The server, with the work pool of the deployments."""
    if POOL not in {pool["name"] for pool in prefect.ask("POST", "/work_pools/filter", {})}:
        prefect.ask("POST", "/work_pools/", {"name": POOL, "type": "process"})
    return prefect


def test_generic_deployments_are_made_from_the_root(pool: PrefectServer) -> None:
    """`prefect deploy --all` takes prefect.yaml as it is: module paths, no copy of any folder, ENQUEUE."""
    done = pool.python("-m", "prefect", "--no-prompt", "deploy", "--all")

    assert done.returncode == 0, done.stderr
    declared = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    named = {each["name"] for each in declared}
    assert named >= {"build-bundle", "push-bundle", "sync-site", "sync-fleet", "audit-site", "refresh-bundle"}
    for each in declared:
        module, _, function = each["entrypoint"].rpartition(".")
        flow = getattr(importlib.import_module(module), function)
        deployed = pool.ask("GET", f"/deployments/name/{flow.name}/{each['name']}")
        assert isinstance(flow, Flow)
        assert (deployed["entrypoint"], deployed["work_pool_name"]) == (each["entrypoint"], POOL)
        assert (deployed["path"], deployed["pull_steps"] or []) == (None, [])
        assert deployed["enforce_parameter_schema"]
    limited = pool.ask("GET", "/deployments/name/build-bundle/build-bundle")
    assert limit_of(limited) == (1, "ENQUEUE")


# Sites


def test_every_site_gets_a_deployment_of_its_own(pool: PrefectServer, tmp_path: Path) -> None:
    """Parameters, cron and time zone are the site's; a second run changes nothing, a changed file changes its own."""
    files = [write(tmp_path / "a.yaml", SITE), write(tmp_path / "b.yaml", OTHER_SITE)]
    command = ("-m", "deployments.deploy_sites", *files)

    first = pool.python(*command)
    berth, windpark = (read_deployment(pool, name) for name in ("berth-12", "windpark-3"))
    second = pool.python(*command)

    said = ["deployed sync-site/berth-12", "deployed sync-site/windpark-3"]
    assert (first.stdout.splitlines(), second.stdout.splitlines(), first.stderr) == (said, said, "")
    assert schedules_of(berth) == [("15 2 * * *", "Europe/Berlin", True)]
    assert schedules_of(windpark) == [("0 4 * * 0", "Europe/Copenhagen", False)]
    assert (limit_of(berth), limit_of(windpark)) == ((1, "ENQUEUE"), (1, "ENQUEUE"))
    assert (berth["description"], berth["parameters"]["site"]["name"]) == ("Berth 12.", "berth-12")
    assert (berth["entrypoint"], berth["path"]) == ("flows.sync_site.sync_site", None)
    assert lasting(read_deployment(pool, "berth-12")) == lasting(berth)
    assert lasting(read_deployment(pool, "windpark-3")) == lasting(windpark)

    write(files[0], SITE.replace("15 2", "45 3"))
    write(files[1], OTHER_SITE[: OTHER_SITE.index("schedule")])
    pool.python(*command)

    assert schedules_of(read_deployment(pool, "berth-12")) == [("45 3 * * *", "Europe/Berlin", True)]
    assert schedules_of(read_deployment(pool, "windpark-3")) == []


def test_the_sites_of_the_project_fit_the_flow() -> None:
    """The parameters of each example pass the schema that the server enforces."""
    schema = parameter_schema(sync_site.fn).model_dump()
    sites = load_sites(sorted(SITES.glob("*.yaml")))

    assert len(sites) > 1
    for site in sites:
        deployment = deployment_of(site, POOL)
        jsonschema.validate(deployment.parameters, {**schema, "$defs": schema["definitions"]})
        assert sync_site.validate_parameters(deployment.parameters)["site"].name == site.name


WRONG_SITES = {
    "no file": (None, 2, "error: cannot read"),
    "no YAML": ("name: [", 2, "is not YAML"),
    "a typo": (SITE + "achrive: {directory: /srv}\n", 2, "achrive"),
    "no target": ("name: a\nsource: {images: [quay.io/edge/app:1.0]}\n", 2, "target"),
    "cron": (SITE.replace("15 2", "61 2"), 2, "'61 2 * * *'"),
    "time zone": (SITE.replace("Berlin", "Berlim"), 2, "'Europe/Berlim'"),
}


@pytest.mark.parametrize(("text", "code", "message"), WRONG_SITES.values(), ids=WRONG_SITES)
def test_a_wrong_site_is_told(
    tmp_path: Path, text: str | None, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is deployed, the message names what is wrong, and the exit code says that it is the settings."""
    file = tmp_path / "site.yaml"
    if text is not None:
        write(file, text)

    with pytest.raises(SystemExit) as ended:
        main([str(file)])

    assert (ended.value.code, message in capsys.readouterr().err) == (code, True)


def test_checking_asks_no_server(pool: PrefectServer, tmp_path: Path) -> None:
    """`--check` works where no server is; without it an unreachable server and a missing pool are told in a line."""
    file = write(tmp_path / "a.yaml", SITE)
    command, nowhere = ("-m", "deployments.deploy_sites", file), {"PREFECT_API_URL": "http://127.0.0.1:9/api"}

    checked = pool.python(*command, "--check", **nowhere)
    unreachable = pool.python(*command, **nowhere)
    homeless = pool.python(*command, "--pool", "nowhere")

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "checked sync-site/berth-12\n", "")
    assert (unreachable.returncode, unreachable.stderr.splitlines()) == (
        1,
        ["error: cannot deploy with Prefect at http://127.0.0.1:9/api: [Errno 111] Connection refused"],
    )
    assert (homeless.returncode, homeless.stderr.splitlines()) == (
        2,
        [
            "error: Prefect has no work pool nowhere",
            "  → make it with prefect work-pool create nowhere --type process",
        ],
    )


# Runs


def test_a_run_with_defaults_leaves_its_work_on_the_worker(worker: PrefectServer, tmp_path: Path) -> None:
    """With nothing but the site given, bundle and receipt outlive the run, and a retry finds its finished pushes."""
    with site_in(tmp_path, 4) as site:
        failing = site.images[1]
        site.target.deny(f"/{failing.repository}/manifests/", "PUT")
        run = worker.start(worker.deploy(site.settings()), {})
        first = worker.wait(run)
        site.target.heal()
        worker.retry(run)
        second = worker.wait(run)

        pushes = [TaskRun(f"push {site.reference(image)}", "Cached") for image in site.images]
        pushes[1] = TaskRun(f"push {site.reference(failing)}", "Completed")
        assert (first.type, second.type) == ("FAILED", "COMPLETED")
        assert sorted(pushes) == [
            task for task in worker.task_runs(run, 2, 3 + 4 + 4 + 3) if task.name.startswith("push")
        ]
    home = worker.folder / "home" / "edgelift" / "sites"
    assert json.loads((home / f"{NAME}.receipt.json").read_bytes())["counts"]["ok"] == 4
    with BundleReader.open(home / f"{NAME}.tar.zst") as bundle:
        assert len(bundle.lock.images) == 4


def test_the_generic_flows_run_on_a_worker(worker: PrefectServer, tmp_path: Path) -> None:
    """A bundle is built from the form's few required fields, and the next run pushes it; names read as sentences."""
    assert worker.python("-m", "prefect", "--no-prompt", "deploy", "--all").returncode == 0
    with site_in(tmp_path, 2) as site:
        settings = site.settings().model_dump(mode="json")
        built = start(worker, build_bundle, name="berth", source=settings["source"], access=settings["access"])
        assert worker.wait(built).type == "COMPLETED"
        bundle = "~/edgelift/bundles/berth.tar.zst"
        pushed = start(worker, push_bundle, bundle=bundle, target=settings["target"], access=settings["access"])
        assert worker.wait(pushed).type == "COMPLETED"

        assert [site.delivered(image) for image in site.images] == [image.root.digest for image in site.images]
    place = f"{site.target.host}/edge"
    assert [worker.flow_run(run)["name"] for run in (built, pushed)] == ["build berth", f"push to {place}"]
    names = [task.name for task in worker.task_runs(pushed, 1, 4 + 2 + 1) if not task.name.startswith("push")]
    assert names == ["log in", f"open {bundle}", f"preflight {place}", f"report on {place}", f"validate {place}"]


def start(worker: PrefectServer, flow: Flow[Any, Any], **parameters: object) -> str:
    """Start the deployment of a generic flow."""
    deployment = worker.ask("GET", f"/deployments/name/{flow.name}/{flow.name}")
    return worker.start(deployment["id"], parameters)


# Forms

FLOWS = {
    flow.name: flow
    for flow in (build_bundle, push_bundle, rebuild_bundle, refresh_bundle, sync_site, sync_fleet, audit_site)
}
CHOICES = {
    ("ContentSource", "architecture"): ["amd64", "arm64"],
    ("TargetSettings", "on_conflict"): ["fail", "keep", "replace"],
}


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_the_form_of_a_run_explains_itself(flow: Flow[Any, Any]) -> None:
    """Every field has a description; what has a default is not required, and what has none is."""
    for title, form in forms_of(flow):
        for name, field in form["properties"].items():
            assert field.get("description"), f"{title}.{name}"
            assert ("default" in field) != (name in form.get("required", [])), f"{title}.{name}"


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_choices_are_offered(flow: Flow[Any, Any]) -> None:
    """Where only some values are possible, the form lists them."""
    forms = dict(forms_of(flow))
    wanted = {place: values for place, values in CHOICES.items() if place[0] in forms}
    fields = {place: forms[place[0]]["properties"][place[1]] for place in wanted}

    offered = {place: (field if "enum" in field else field["anyOf"][0])["enum"] for place, field in fields.items()}

    assert offered == wanted


def forms_of(flow: Flow[Any, Any]) -> list[tuple[str, Any]]:
    """The form of a run and all that are nested in it."""
    schema = parameter_schema(flow.fn).model_dump()
    return [("Parameters", schema), *schema["definitions"].items()]


def write(file: Path, text: str) -> Path:
    """Write `file` and return it."""
    file.write_text(text)
    return file


def read_deployment(prefect: PrefectServer, site: str) -> dict[str, Any]:
    """The deployment of a site."""
    found: dict[str, Any] = prefect.ask("GET", f"/deployments/name/sync-site/{site}")
    return found


def schedules_of(deployment: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Cron, time zone and switch of each schedule."""
    return [
        (each["schedule"]["cron"], each["schedule"]["timezone"], each["active"]) for each in deployment["schedules"]
    ]


def limit_of(deployment: dict[str, Any]) -> tuple[int, str]:
    """How many runs at a time, and what becomes of the next one."""
    return deployment["global_concurrency_limit"]["limit"], deployment["concurrency_options"]["collision_strategy"]


def lasting(deployment: dict[str, Any]) -> dict[str, Any]:
    """What a second run must leave as it is; workers that look in change the rest."""
    names = ("id", "created", "entrypoint", "parameters", "description", "tags", "work_pool_name")
    schedules = [each["id"] for each in deployment["schedules"]]
    return {name: deployment[name] for name in names} | {"schedules": schedules}
