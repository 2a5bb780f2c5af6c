"""Deployments on a real server: those of prefect.yaml, one for each site, and runs with nothing but defaults."""

import importlib
import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools import validate

from deployments.deploy_sites import SITES, SiteDeployments, main
from deployments.site_deployment import wanted_settings
from edgelift.bundle.reader import BundleReader
from edgelift.site import EdgeSite
from edgelift.site_files import read_sites
from flows.build_bundle import build_bundle
from flows.push_bundle import push_bundle
from flows.rebuild_bundle import rebuild_bundle
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
TAGS = ["edgelift", "site"]


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
    assert [each["name"] for each in declared] == [
        *("build-bundle", "push-bundle", "sync-site", "sync-fleet", "audit-site", "refresh-bundle"),
        *("keep-store", "keep-archive"),
    ]
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
    first = pool.python("-m", "deployments.deploy_sites", *files)
    berth, windpark = (read_deployment(pool, name) for name in ("berth-12", "windpark-3"))

    assert (first.stdout.splitlines(), first.stderr) == (
        ["[1/2] created sync-site/berth-12", "[2/2] created sync-site/windpark-3", "2 sites: 2 created"],
        "",
    )
    assert schedules_of(berth) == [("15 2 * * *", "Europe/Berlin", True, {})]
    assert schedules_of(windpark) == [("0 4 * * 0", "Europe/Copenhagen", False, {})]
    assert (limit_of(berth), limit_of(windpark)) == ((1, "ENQUEUE"), (1, "ENQUEUE"))
    assert (berth["description"], berth["parameters"]["site"]["name"]) == ("Berth 12.", "berth-12")
    assert (berth["entrypoint"], berth["path"], berth["pull_steps"] or []) == ("flows.sync_site.sync_site", None, [])

    assert deploy(pool, *files) == ["unchanged", "unchanged"]
    assert lasting(read_deployment(pool, "berth-12")) == lasting(berth)
    assert lasting(read_deployment(pool, "windpark-3")) == lasting(windpark)

    write(files[0], SITE.replace("15 2", "45 3").replace("app:1.0", "app:1.1"))
    write(files[1], OTHER_SITE[: OTHER_SITE.index("schedule")])

    assert deploy(pool, *files) == [
        "changed (site.source.images, schedules.site.cron)",
        "changed (schedules.site)",
    ]
    assert schedules_of(read_deployment(pool, "berth-12")) == [("45 3 * * *", "Europe/Berlin", True, {})]
    assert schedules_of(read_deployment(pool, "windpark-3")) == []
    assert deploy(pool, *files) == ["unchanged", "unchanged"]


def test_schedules_may_differ_in_what_their_runs_do(pool: PrefectServer, tmp_path: Path) -> None:
    """Each has its own time and parameters; one that is taken out of the file goes, and the others stay as they are."""
    nightly = "  - {name: nightly, cron: 15 2 * * *}\n"
    weekly = "  - {name: weekly, cron: 0 4 * * 0, timezone: Europe/Berlin, deep: true, ignore_window: true}\n"
    text = f"{SITE[: SITE.index('schedule')].replace('berth-12', 'berth-13')}schedules:\n"
    file = write(tmp_path / "a.yaml", f"{text}{nightly}{weekly}")

    assert deploy(pool, file) == ["created"]
    assert sorted(schedules_of(read_deployment(pool, "berth-13")), key=str) == [
        ("0 4 * * 0", "Europe/Berlin", True, {"deep": True, "ignore_window": True}),
        ("15 2 * * *", "UTC", True, {}),
    ]

    write(file, f"{text}{weekly.replace('deep: true, ', '')}")

    assert deploy(pool, file) == ["changed (schedules.weekly.parameters.deep, schedules.nightly)"]
    assert schedules_of(read_deployment(pool, "berth-13")) == [
        ("0 4 * * 0", "Europe/Berlin", True, {"ignore_window": True})
    ]
    assert deploy(pool, file) == ["unchanged"]


def test_what_is_right_is_not_written(pool: PrefectServer) -> None:
    """Where nothing differs, the only requests are those that read deployments, a page at a time."""
    sites = [EdgeSite.from_yaml(SITE.replace("berth-12", f"quay-{number}"), "") for number in range(3)]
    asked: list[tuple[str, str]] = []
    hooks = {"request": [lambda request: asked.append((request.method, request.url.path))]}
    with pool.as_api(), get_client(sync_client=True, httpx_settings={"event_hooks": hooks}) as client:
        first = [SiteDeployments(client, POOL).deploy(site).verb for site in sites]
        asked.clear()
        deployments = SiteDeployments(client, POOL)
        second = [deployments.deploy(site).verb for site in sites]

    assert (first, second) == (["created"] * 3, ["unchanged"] * 3)
    assert set(asked) == {("POST", "/api/deployments/filter")}


def test_the_file_counts_and_not_what_was_changed_by_hand(pool: PrefectServer, tmp_path: Path) -> None:
    """Schedules and parameters are put back; that somebody has paused the deployment, or given it variables, stays."""
    file = write(tmp_path / "a.yaml", SITE.replace("berth-12", "berth-14"))
    deploy(pool, file)
    deployment = read_deployment(pool, "berth-14")
    path = f"/deployments/{deployment['id']}"
    by_hand = {"paused": True, "job_variables": {"env": {"A": "b"}}, "tags": ["mine"]}
    pool.ask("PATCH", path, by_hand)
    pool.ask("PATCH", f"{path}/schedules/{deployment['schedules'][0]['id']}", {"active": False})
    pool.ask("POST", f"{path}/schedules", [{"schedule": {"interval": 3600}, "active": True, "slug": "hourly"}])

    rehearsed = deploy(pool, file, "--dry-run")
    assert deploy(pool, file) == ["changed (tags, schedules.site.active, schedules.hourly)"]

    assert rehearsed == ["would change (tags, schedules.site.active, schedules.hourly)"]
    found = read_deployment(pool, "berth-14")
    assert schedules_of(found) == [("15 2 * * *", "Europe/Berlin", True, {})]
    assert (found["paused"], found["job_variables"], found["tags"]) == (True, by_hand["job_variables"], TAGS)


def test_sites_without_a_file_are_removed_on_request(pool: PrefectServer, tmp_path: Path) -> None:
    """They are told of where whole folders are deployed; those of other pools are somebody else's."""
    pool.ask("POST", "/work_pools/", {"name": "inland", "type": "process"})
    for name in ("lock-1", "lock-2"):
        write(tmp_path / f"{name}.yaml", SITE.replace("berth-12", name))
    said = [deploy(pool, tmp_path, "--pool", "inland")]
    (tmp_path / "lock-2.yaml").unlink()

    options: tuple[tuple[str, ...], ...] = ((), ("--remove", "--dry-run"), ("--remove",), ())
    said += [deploy(pool, tmp_path, "--pool", "inland", *each) for each in options]

    assert said == [
        ["created", "created"],
        ["unchanged", "sync-site/lock-2 has no file any more; --remove deletes it"],
        ["unchanged", "would remove"],
        ["unchanged", "removed"],
        ["unchanged"],
    ]
    query = {"deployments": {"name": {"any_": ["lock-1", "lock-2"]}}}
    assert [each["name"] for each in pool.ask("POST", "/deployments/filter", query)] == ["lock-1"]


def test_a_failure_at_one_site_stops_no_other(
    pool: PrefectServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prefect refuses one of three; the others are deployed, it is named at the end, and the exit code is 3."""
    sites = ["mole-1", "mole-2", "mole-3"]
    for name in sites:
        write(tmp_path / f"{name}.yaml", SITE.replace("berth-12", name))
    large = {"images": ["quay.io/edge/app:1.0"], "settings": {"var.TEXT": "x" * 600_000}}
    text = SITE.replace("berth-12", "mole-2").replace("{images: [quay.io/edge/app:1.0]}", json.dumps(large))
    write(tmp_path / "mole-2.yaml", text)

    with pytest.raises(SystemExit) as ended, pool.as_api():
        main([str(tmp_path)])

    out, err = capsys.readouterr()
    assert [line.split()[1] for line in out.splitlines()[:3]] == ["created", "failed", "created"]
    assert (ended.value.code, "  - sync-site/mole-2: it answers 422" in err.splitlines()) == (3, True)
    query = {"deployments": {"name": {"any_": sites}}}
    assert [each["name"] for each in pool.ask("POST", "/deployments/filter", query)] == ["mole-1", "mole-3"]


def test_a_wrong_file_does_not_stop_the_others(
    pool: PrefectServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told at the end with exit code 2; what is gone cannot be told while a file cannot be read."""
    write(tmp_path / "a.yaml", SITE.replace("berth-12", "berth-15"))
    write(tmp_path / "b.yaml", "name: [")

    with pytest.raises(SystemExit) as ended, pool.as_api():
        main([str(tmp_path)])
    out, err = capsys.readouterr()
    with pytest.raises(SystemExit) as refused, pool.as_api():
        main([str(tmp_path), "--remove"])

    assert (ended.value.code, out.splitlines()) == (2, ["[1/1] created sync-site/berth-15", "1 site: 1 created"])
    assert "1 of 2 site files cannot be used" in err
    assert (refused.value.code, capsys.readouterr().out) == (2, "")


def test_the_sites_of_the_project_fit_the_flow() -> None:
    """The parameters of each example pass the schema that the server enforces."""
    schema = parameter_schema(sync_site.fn).model_dump()
    sites = [file.site for file in read_sites([SITES])]

    assert len(sites) > 1
    assert None not in sites
    for site in filter(None, sites):
        parameters = wanted_settings(site, POOL)["parameters"]
        jsonschema.validate(parameters, {**schema, "$defs": schema["definitions"]})
        assert sync_site.validate_parameters(parameters)["site"].name == site.name
        assert parameters["site"]["store"] == site.store


WRONG_SITES = {
    "no file": (None, 2, "  - cannot read"),
    "no YAML": ("name: [", 2, "is not YAML"),
    "a typo": (SITE + "achrive: {directory: /srv}\n", 2, "achrive"),
    "no target": ("name: a\nsource: {images: [quay.io/edge/app:1.0]}\n", 2, "target"),
    "cron": (SITE.replace("15 2", "61 2"), 2, "schedule.cron: its minute cannot be read"),
    "time zone": (SITE.replace("Berlin", "Berlim"), 2, "schedule.timezone: there is no such time zone"),
    "an image": (SITE.replace("quay.io/edge/app:1.0", "Nginx"), 2, "source.images.0: 'Nginx' is not an image"),
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


def test_checking_asks_no_server(pool: PrefectServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` works where no server is; without it an unreachable server and a missing pool are told in a line."""
    file = write(tmp_path / "a.yaml", SITE)
    nowhere = PrefectServer(tmp_path, "http://127.0.0.1:9/api")
    with nowhere.as_api():
        main([str(file), "--check"])
    checked = capsys.readouterr()
    with nowhere.as_api(), pytest.raises(SystemExit) as unreachable:
        main([str(file)])
    connection = capsys.readouterr()
    with pool.as_api(), pytest.raises(SystemExit) as homeless:
        main([str(file), "--pool", "nowhere"])

    assert (checked.out, checked.err) == ("checked sync-site/berth-12\n", "")
    assert (unreachable.value.code, connection.err.splitlines()) == (
        1,
        ["error: cannot deploy with Prefect at http://127.0.0.1:9/api: [Errno 111] Connection refused"],
    )
    assert (homeless.value.code, capsys.readouterr().err.splitlines()) == (
        2,
        [
            "error: Prefect has no work pool nowhere",
            "  → make it with prefect work-pool create nowhere --type process",
        ],
    )


def test_single_files_do_not_say_what_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Removing everything but one site would be a costly misunderstanding."""
    with pytest.raises(SystemExit) as ended:
        main([str(write(tmp_path / "a.yaml", SITE)), "--remove"])

    assert (ended.value.code, "do not say which sites are gone" in capsys.readouterr().err) == (2, True)


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
    assert names == [
        "log in",
        f"look for obstacles at {place}",
        f"open {bundle}",
        f"report on {place}",
        f"validate {place}",
    ]


def start(worker: PrefectServer, flow: Flow[Any, Any], **parameters: object) -> str:
    """Start the deployment of a generic flow."""
    deployment = worker.ask("GET", f"/deployments/name/{flow.name}/{flow.name}")
    return worker.start(deployment["id"], parameters)


# Forms

DECLARED = [each["entrypoint"] for each in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]]
PLACES = [entrypoint.rpartition(".") for entrypoint in DECLARED]
DEPLOYED = [getattr(importlib.import_module(module), function) for module, _, function in PLACES]
FLOWS = {flow.name: flow for flow in (*DEPLOYED, rebuild_bundle)}
SECRET = re.compile(r"(password|passphrase|secret|token|api_?key|private_?key)$")
CHOICES = {
    ("ContentSource", "architecture"): ["amd64", "arm64"],
    ("TargetSettings", "on_conflict"): ["fail", "keep", "replace"],
    ("ContentSource", "agent_images"): ["none", "core", "all"],
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


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_the_form_is_in_order(flow: Flow[Any, Any]) -> None:
    """Each field has its position, in groups, too: a database need not keep the order of keys."""
    for title, form in forms_of(flow):
        positions = [field.get("position") for field in form["properties"].values()]
        assert positions == list(range(len(positions))), title


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_the_form_asks_for_no_secret(flow: Flow[Any, Any]) -> None:
    """What is typed into a form is kept and shown by Prefect: there are names of blocks and paths of files instead."""
    for title, form in forms_of(flow):
        for name, field in form["properties"].items():
            kinds = [field, *field.get("anyOf", ())]
            assert not SECRET.search(name), f"{title}.{name}"
            assert not any(kind.get("writeOnly") or kind.get("format") == "password" for kind in kinds), name


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_the_server_takes_the_defaults(flow: Flow[Any, Any]) -> None:
    """A form that is sent as it is drawn is a valid one, but for what is required."""
    forms = forms_of(flow)
    for title, form in forms:
        schema = {**form, "definitions": dict(forms[1:])}
        defaults = {name: field["default"] for name, field in form["properties"].items() if "default" in field}
        # The server looks at the whole; to do so for each group would take long.
        validate(defaults, schema, raise_on_error=True, preprocess=title == "Parameters", ignore_required=True)


def forms_of(flow: Flow[Any, Any]) -> list[tuple[str, Any]]:
    """The form of a run and all that are nested in it."""
    schema = parameter_schema(flow.fn).model_dump()
    return [("Parameters", schema), *schema["definitions"].items()]


def deploy(prefect: PrefectServer, *arguments: object) -> list[str]:
    """Deploy in this process; what is said of each site, without its name and the line with the sum."""
    said = io.StringIO()
    with prefect.as_api(), redirect_stdout(said):
        main([*map(str, arguments)])
    *lines, _ = said.getvalue().splitlines()
    return [re.sub(r"^\[[0-9/]+\] (.*?) sync-site/[a-z0-9-]+", r"\1", line) for line in lines]


def write(file: Path, text: str) -> Path:
    """Write `file` and return it."""
    file.write_text(text)
    return file


def read_deployment(prefect: PrefectServer, site: str) -> dict[str, Any]:
    """The deployment of a site."""
    found: dict[str, Any] = prefect.ask("GET", f"/deployments/name/sync-site/{site}")
    return found


def schedules_of(deployment: dict[str, Any]) -> list[tuple[str, str, bool, dict[str, Any]]]:
    """Cron, time zone, switch and parameters of each schedule."""
    return [
        (each["schedule"]["cron"], each["schedule"]["timezone"], each["active"], each["parameters"])
        for each in deployment["schedules"]
    ]


def limit_of(deployment: dict[str, Any]) -> tuple[int, str]:
    """How many runs at a time, and what becomes of the next one."""
    return deployment["global_concurrency_limit"]["limit"], deployment["concurrency_options"]["collision_strategy"]


def lasting(deployment: dict[str, Any]) -> dict[str, Any]:
    """What a second run must leave as it is; workers that look in change the rest."""
    names = ("id", "created", "entrypoint", "parameters", "description", "tags", "work_pool_name")
    schedules = [each["id"] for each in deployment["schedules"]]
    return {name: deployment[name] for name in names} | {"schedules": schedules}
