"""`fleet` and `audit`: what they print, and how they exit."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgelift.demo.content import make_image
from tests.cli.commands import CommandLine, references
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app")
PLACES = ("--output", "out", "--store", "store")


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry that is the source, and in folders of its own the target of each site."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        simulator.put_image(APP)
        yield simulator


@pytest.fixture
def run(api: str, sim: RegistrySimulator, tmp_path: Path) -> CommandLine:
    """The command line with a Prefect server, and the files of two sites in the folder `sites`."""
    (tmp_path / "sites").mkdir()
    for name in ("harbour", "plant"):
        site = {"source": {"images": references(sim.host, APP)}, "target": {"registry": f"{sim.host}/{name}"}}
        (tmp_path / "sites" / f"{name}.yaml").write_text(json.dumps({"name": name, **site}))
    return replace(CommandLine(tmp_path), environment={"PREFECT_API_URL": api})


def test_a_fleet_and_an_audit(run: CommandLine, sim: RegistrySimulator) -> None:
    """A failed canary ends with exit code 3 and the table all the same; then all is well, until something is lost."""
    sim.deny("/v2/plant/.*/manifests/", "PUT")
    failed = run.run("fleet", "sites", "--canary", "plant", *PLACES)
    sim.heal()
    whole = run.run("fleet", "sites/plant.yaml", "sites/harbour.yaml", "--parallel", "2", *PLACES, "--json")
    audited = run.run("audit", "sites/plant.yaml", *PLACES)
    tag = next((run.folder / "registry" / "repositories" / "plant").glob(f"*/team/app/_tags/{APP.tag}"))
    tag.unlink()
    lost = run.run("audit", "sites/plant.yaml", *PLACES, "--json")

    assert (failed.code, whole.code, audited.code, lost.code) == (3, 0, 0, 3), failed.err + whole.err + audited.err
    heading, *rows = failed.out.splitlines()
    assert heading.split()[:3] == ["SITE", "LOCK", "STATE"]
    assert [row.split()[0] for row in rows[:2]] == ["harbour", "plant"]
    assert "not begun" in rows[0]
    assert "stopped: the canary plant is not whole" in rows[2]
    assert "2 of 2 sites are not whole" in failed.error
    assert (whole.document["builds"], whole.document["whole"]) == (1, True)
    assert [each["site"] for each in whole.document["sites"]] == ["plant", "harbour"]
    assert "1 as delivered" in audited.out
    assert [each["change"] for each in lost.document["changes"]] == ["missing"]
    assert "1 reference is not at" in lost.error


def test_what_is_wrong_is_told_before_prefect_starts(command_line: CommandLine, sim: RegistrySimulator) -> None:
    """A folder without sites, a canary that nobody knows, a site that nothing was delivered to."""
    site = {"name": "plant", "source": {"images": references(sim.host, APP)}, "target": {"registry": sim.host}}
    (command_line.folder / "plant.yaml").write_text(json.dumps(site))
    (command_line.folder / "empty").mkdir()
    empty = command_line.run("fleet", "empty")
    canary = command_line.run("fleet", "plant.yaml", "--canary", "habour")
    unknown = command_line.run("audit", "plant.yaml")

    outcomes = (empty, canary, unknown)
    assert [outcome.code for outcome in outcomes] == [2, 2, 2]
    assert [("Prefect" in outcome.err, "Traceback" in outcome.err) for outcome in outcomes] == [(False, False)] * 3
    assert "there is no site file in empty" in empty.error
    assert "no site of the fleet is called so" in canary.error
    assert "there is no receipt of plant yet" in unknown.error
