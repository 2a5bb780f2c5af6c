"""The site file: what `sync_site` takes, and how it says what is wrong."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from edgelift.errors import ConfigurationError
from edgelift.site import DEFAULT_ACCESS, ArchiveSettings, ContentSource, EdgeSite, RegistryAccess

SMALLEST = """\
name: plant-7
source: {images: [nginx]}
target: {registry: "mirror.example:5000"}
"""
FULL = """\
name: plant-7
description: A line for the operators.
source:
  profiles: [edge-infra@1.0.0, 66a1]
  project: Default
  palette: palette-prod
  profile_files: [exported.json]
  images: ["quay.io/kairos/x:1"]
  architecture: arm64
  settings: {k8s.version: "1.32", var.TAG: "2.0"}
  edge_hosts: site:plant-7
  agent_images: core
  compliance_images: true
  fips: true
  agent_services:
    core: {services: [stylus], images: []}
    versions: {stylus: 4.7.9}
  signatures: true
  require_signatures: true
  cosign_key: /etc/edgelift/cosign.pub
  packs: {include: true, registry: packs.example/edge, paths: [packs/greeting]}
  cluster_definition: {name: plant-7-cluster, profiles: [edge-infra@1.0.0]}
target:
  registry: mirror.example:5000/spectro-images
  rules: [quay.io=quay]
  docker_hub_aliases: true
  on_conflict: replace
access:
  registries: [quay, mirror]
  credentials_file: creds.json
  docker_config: false
  ca_cert: ca.pem
  insecure: true
  insecure_hosts: ["lab.example:5000"]
  certs_dir: /etc/docker/certs.d
  plain_http: ["127.0.0.1:5000"]
  mirrors: [docker.io=mirror.example:5000/hub, docker.io=other.example]
  rewrites: [ghcr.io/team=mirror.example:5000/team]
archive: {directory: /srv/bundles}
signing: {file: /etc/edgelift/site.key, passphrase_file: /run/secrets/passphrase}
public_key: /etc/edgelift/site.pub
deep: true
window: {start: "22:00", end: "04:30", timezone: Europe/Berlin}
schedules:
  - {name: nightly, cron: 15 2 * * *, timezone: Europe/Berlin, active: false}
  - {name: weekly, cron: 0 12 * * 0, timezone: Europe/Berlin, deep: true, ignore_window: true}
"""


def test_a_full_site_file_is_read() -> None:
    """Every key has its place."""
    site = EdgeSite.from_yaml(FULL, "plant-7.yaml")

    assert yaml.safe_load(FULL) == site.model_dump(mode="json", exclude_unset=True)


def test_what_a_site_file_leaves_out() -> None:
    """A site needs a name, something to carry and a target; the rest is careful: fail, verify, do not read back."""
    site = EdgeSite.from_yaml(SMALLEST, "plant-7.yaml")

    assert (site.access, site.archive, site.schedule, site.deep) == (DEFAULT_ACCESS, None, None, False)
    assert (site.target.on_conflict, site.target.rules, site.target.docker_hub_aliases) == ("fail", (), False)
    assert (site.access.insecure, site.access.docker_config, site.access.plain_http) == (False, True, ())


def changed(**parts: Any) -> str:
    """The smallest site file with other parts."""
    return yaml.safe_dump(yaml.safe_load(SMALLEST) | parts)


TARGET = {"registry": "mirror.example:5000"}
REFUSED = {
    "a misspelt key": (changed(sauce={"images": ["hunter2"]}), ["sauce"]),
    "a misspelt key further in": (changed(target=TARGET | {"on_conflit": "hunter2"}), ["target.on_conflit"]),
    "several mistakes": (changed(deep="hunter2", depp=1, name="hunter2/.."), ["deep", "depp", "name"]),
    "FIPS of nothing": (changed(source={"images": ["nginx"], "fips": True}), ["source", "fips is about"]),
    "a misspelt group": (
        changed(source={"agent_images": "core", "agent_services": {"cor": {}}}),
        ["source.agent_services.cor"],
    ),
    "nothing asked for": (changed(source={}), ["source", "name at least one profile, profile file, image or chart"]),
    "empty lists asked for": (changed(source={"profiles": [], "images": []}), ["source", "at least one profile"]),
    "a definition file, and more": (
        changed(source={"definition_file": "hunter2", "images": ["hunter2"], "architecture": "amd64"}),
        ["source", "a definition file says all of it: leave out architecture, images"],
    ),
    "a definition file, and packs": (
        changed(source={"definition_file": "hunter2", "packs": {"paths": ["hunter2"]}}),
        ["source", "a definition file says all of it: leave out packs"],
    ),
    "two archives": (
        changed(archive={"directory": "/hunter2", "block": "hunter2"}),
        ["archive", "exactly one of block, directory and artifact"],
    ),
    "no archive in it": (changed(archive={}), ["archive", "exactly one of block, directory and artifact"]),
    "two keys": (
        changed(signing={"file": "hunter2", "block": "hunter2"}),
        ["signing", "exactly one of block and file"],
    ),
    "no key in it": (changed(signing={}), ["signing", "exactly one of block and file"]),
    "a key that is no path": (changed(signing={"private_key": "hunter2"}), ["signing.private_key"]),
    "a passphrase beside a block": (
        changed(signing={"block": "hunter2", "passphrase_file": "hunter2"}),
        ["signing", "the passphrase of a block's key is in the block"],
    ),
    "checked, but not signed": (changed(public_key="hunter2"), ["a bundle that nobody signs would be refused"]),
    "checked without a bundle": (
        changed(public_key="hunter2", direct=True),
        ["direct copies make no bundle that could be checked"],
    ),
    "no target": (yaml.safe_dump({"name": "a", "source": {"images": ["hunter2"]}}), ["target: Field required"]),
    "a secret in a wrong place": (changed(access={"password": "hunter2"}), ["access.password"]),
    "an unknown conflict rule": (changed(target=TARGET | {"on_conflict": "hunter2"}), ["target.on_conflict"]),
    "repositories to be created where that is not done": (
        changed(target=TARGET | {"create_repositories": True}),
        ["target", "create_repositories is for Amazon ECR"],
    ),
    "an unknown architecture": (changed(source={"images": ["a"], "architecture": "hunter2"}), ["source.architecture"]),
    "signatures that are required and left out": (
        changed(source={"images": ["a"], "signatures": False, "require_signatures": True}),
        ["source", "cannot be left out"],
    ),
    "a key for signatures that nobody requires": (
        changed(source={"images": ["a"], "cosign_key": "hunter2"}),
        ["source", "set require_signatures, too"],
    ),
    "a list where one is wanted": (changed(name=["hunter2"]), ["name"]),
    "one where a list is wanted": (changed(source={"images": "hunter2"}), ["source.images"]),
    "a number for a text": (changed(source={"images": ["a"], "settings": {"v": 1.32}}), ["source.settings.v"]),
    "a schedule that cannot be": (changed(schedule={"cron": "61 2 * * *"}), ["schedule.cron (line", "its minute"]),
    "a place that is no time zone": (
        changed(schedule={"cron": "15 2 * * *", "timezone": "Europe/hunter2"}),
        ["schedule.timezone (line", "there is no such time zone"],
    ),
    "one schedule, and several": (
        changed(schedule={"cron": "@daily"}, schedules=[{"cron": "@weekly"}]),
        ["schedules (line", "leave out schedule"],
    ),
    "two schedules of one name": (
        changed(schedules=[{"cron": "@daily"}, {"cron": "@weekly"}]),
        ["schedules (line", "two schedules are called site"],
    ),
    "a schedule that never starts in the window": (
        changed(window={"start": "22:00", "end": "04:30"}, schedule={"cron": "0 12 * * *"}),
        ["schedule (line", "never starts inside the window 22:00-04:30 UTC"],
    ),
    "a window that is no time": (changed(window={"start": "25:00", "end": "04:30"}), ["window.start (line"]),
    "a window without an end": (changed(window={"start": "22:00"}), ["window.end (line", "Field required"]),
    "an endless description": (changed(description="hunter2" * 100), ["description"]),
    "a path as name": (changed(name="../hunter2"), ["name"]),
    "nothing": ("", ["document"]),
    "a list": ("- hunter2", ["document"]),
    "text": ("hunter2", ["document"]),
}


@pytest.mark.parametrize(("text", "named"), REFUSED.values(), ids=REFUSED)
def test_mistakes_are_named_without_their_values(text: str, named: list[str]) -> None:
    """The message names the file and every wrong key, and shows no value: it may be a secret."""
    with pytest.raises(ConfigurationError) as caught:
        EdgeSite.from_yaml(text, "plant-7.yaml")

    assert caught.value.message.startswith("plant-7.yaml is not a site file: ")
    assert [name for name in named if name not in caught.value.message] == []
    assert "hunter2" not in str(caught.value)
    assert "deployments/sites" in str(caught.value.hint)


NOT_YAML = {
    "a colon too many": ("name: hunter2: b", "at line 1, column 14: mapping values are not allowed here"),
    "a tab": ("source:\n\timages: [hunter2]", r"at line 2, column 1: found character '\\t'"),
    "an open bracket": ("source: {images: [hunter2", "at line 1, column 26: "),
    "an open quote": ("name: 'hunter2", "at line 1, column 15: "),
    "a Python object": ("!!python/object/apply:os.system ['hunter2']", "at line 1, column 1: "),
    "an unknown alias": ("name: *other", "at line 1, column 7: found undefined alias"),
    "a date that is none": ("name: 2024-13-45", "a character, date or number that is none"),
    "a number that is too long": ("name: " + "9" * 5000, "a character, date or number that is none"),
    "a control character": ("name: hunter2\x01", "a character, date or number that is none"),
    "nested without end": ("[" * 5000, "nested too deep"),
}


@pytest.mark.parametrize(("text", "problem"), NOT_YAML.values(), ids=NOT_YAML)
def test_what_is_not_yaml_is_found_by_line(text: str, problem: str) -> None:
    """The message gives file, line and column, and not the line itself: it may hold a secret."""
    with pytest.raises(ConfigurationError, match=f"plant-7.yaml is not YAML.*{problem}") as caught:
        EdgeSite.from_yaml(text, "plant-7.yaml")

    assert "hunter2" not in str(caught.value)


def described(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, bool]]:
    """Every field of a JSON schema, its definitions included, and whether it is described."""
    for model, definition in schema.get("$defs", {}).items():
        yield from described(definition, f"{path}{model}.")
    for name, field in schema.get("properties", {}).items():
        yield f"{path}{name}", bool(field.get("description"))


@pytest.mark.parametrize("model", [EdgeSite, ContentSource, RegistryAccess, ArchiveSettings])
def test_every_field_explains_itself(model: type[EdgeSite]) -> None:
    """The form of a run in Prefect's UI is made of the schema: no field is without its line."""
    fields = dict(described(model.model_json_schema()))

    assert [name for name, has_text in fields.items() if not has_text] == []
    assert fields


def test_the_form_shows_every_part() -> None:
    """The parts of a site are in its schema, with their defaults."""
    schema = EdgeSite.model_json_schema()

    assert set(schema["$defs"]) == {
        *("ContentSource", "TargetSettings", "RegistryAccess", "ArchiveSettings", "SigningSettings", "Schedule"),
        *("AgentServices", "ServiceGroup", "Release", "PackSource", "ClusterDefinitionSource", "Window"),
    }
    assert {"name", "source", "target"} == set(schema["required"])


def test_the_form_keeps_its_order() -> None:
    """Fields are drawn as they are written in the model: databases do not keep the order of keys."""
    schema = EdgeSite.model_json_schema()
    forms = [schema, *schema["$defs"].values()]

    for form in forms:
        assert [field["position"] for field in form["properties"].values()] == list(range(len(form["properties"])))


def test_schedules_are_one_or_several() -> None:
    """However they are written, the site has a list of them."""
    alone, several = EdgeSite.from_yaml(SMALLEST + "schedule: {cron: '@daily'}\n", ""), EdgeSite.from_yaml(FULL, "")

    assert [each.name for each in EdgeSite.from_yaml(SMALLEST, "").all_schedules] == []
    assert [each.name for each in alone.all_schedules] == ["site"]
    assert [each.name for each in several.all_schedules] == ["nightly", "weekly"]


def test_a_site_does_not_change() -> None:
    """What a run was started with is what it uses."""
    site = EdgeSite.from_yaml(SMALLEST, "plant-7.yaml")

    with pytest.raises(ValidationError, match="frozen"):
        site.name = "other"  # type: ignore[misc]  # that it cannot be set is the point


EXAMPLES = sorted((Path(__file__).parents[1] / "deployments" / "sites").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.name for path in EXAMPLES])
def test_the_examples_are_site_files(path: Path) -> None:
    """What people copy works."""
    assert EdgeSite.from_yaml(path.read_text(), str(path)).target.registry
