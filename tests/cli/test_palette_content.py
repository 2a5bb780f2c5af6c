"""The options about edge hosts and agent images: what they ask for, and what makes no sense together."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgelift.agent_services import AgentServices
from edgelift.cli.palette_content import palette_content_of
from edgelift.demo.content import make_image
from edgelift.demo.palette_api import DEMO_PROJECT
from edgelift.demo.palette_tenant import DemoHost, DemoService, DemoTenant
from edgelift.errors import ConfigurationError
from tests.cli.commands import CommandLine, references
from tests.palette.builders import image_values, make_pack, make_profile
from tests.simulators.palette import PaletteSimulator
from tests.simulators.registry import RegistrySimulator

KEY = "a1b2c3d4e5f6-secret-key"
APP = make_image("team/app", architectures=("amd64", "arm64"))
AGENT = make_image("edge/stylus-linux-amd64", architectures=("amd64",))
FILE = "core: {services: [stylus]}\nday_two: {services: []}\n"


def fields(edge_hosts: str | None = None, file: Path | None = None, **switches: bool) -> dict[str, Any]:
    """The fields of a source that these options set."""
    off = dict.fromkeys(("core", "services", "compliance", "fips"), False)
    return palette_content_of(edge_hosts, file=file, **off | switches)


def test_nothing_is_set_by_default() -> None:
    """Unlike Palette's own tool, edgelift carries no agent unless it is told to."""
    assert fields() == {}


CHOICES = {
    "core": ({"core": True}, {"agent_images": "core"}),
    "all": ({"services": True}, {"agent_images": "all"}),
    "all for FIPS": ({"services": True, "fips": True}, {"agent_images": "all", "fips": True}),
    "compliance": ({"compliance": True}, {"compliance_images": True}),
}


@pytest.mark.parametrize(("switches", "expected"), CHOICES.values(), ids=CHOICES)
def test_each_option_sets_its_field(switches: dict[str, bool], expected: dict[str, Any]) -> None:
    """As the help says."""
    assert fields(**switches) == expected


CONFLICTS = {
    "core and all": {"core": True, "services": True},
    "FIPS of nothing": {"fips": True},
}


@pytest.mark.parametrize("switches", CONFLICTS.values(), ids=CONFLICTS)
def test_options_that_make_no_sense_together_are_refused(switches: dict[str, bool]) -> None:
    """The message names the options."""
    with pytest.raises(ConfigurationError, match="--"):
        fields(**switches)


def test_a_file_says_which_services_are_needed(tmp_path: Path) -> None:
    """It is read before anybody is asked; a file that is none is named."""
    path = tmp_path / "services.yaml"
    path.write_text(FILE)
    assert fields(file=path, core=True)["agent_services"] == AgentServices.from_yaml(FILE, "")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="is not a text file"):
        fields(file=path, core=True)
    with pytest.raises(ConfigurationError, match="cannot read"):
        fields(file=tmp_path / "none.yaml", core=True)


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry with an application and the agent."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        simulator.put_image(APP, AGENT)
        yield simulator


def test_a_plan_for_the_hosts_of_a_site(sim: RegistrySimulator, command_line: CommandLine) -> None:
    """A tag is enough: profiles and architecture are the hosts', and the agent comes for that architecture."""
    app, agent = references(sim.host, APP, AGENT)
    profile = make_profile(make_pack(image_values(app)), uid="65c90f2d0a1b2c3d4e5f6a70")
    host = DemoHost("crane-1", "amd64", ("site:harbour-12",), (profile,))
    service = DemoService("stylus", "4.7.9", {"manifest.yaml": f"image: {agent.replace('amd64', 'arm64')}\n"})
    (command_line.folder / "services.yaml").write_text(FILE)
    with PaletteSimulator([profile], KEY, tenant=DemoTenant(hosts=[host], services=[service])) as palette:
        outcome = command_line.run(
            *("plan", "--edge-hosts", "site:harbour-12", "--project-id", DEMO_PROJECT.name, "--json"),
            *("--include-core-palette-images-only", "--agent-services", "services.yaml"),
            PALETTE_API_KEY=KEY,
            PALETTE_ENDPOINT=palette.url,
        )

    assert (outcome.code, [each["reference"] for each in outcome.document["images"]]) == (0, [agent, app])
    assert outcome.document["notes"] == [
        "1 edge host has the tag site:harbour-12: crane-1 (amd64)",
        "only amd64 is carried for them",
        "they run site@1.0.0",
    ]
    assert "crane-1 (amd64)" in outcome.err


def test_agent_images_need_the_api(command_line: CommandLine) -> None:
    """Exported profiles have none of them; the message says so."""
    outcome = command_line.run("plan", "--image", "nginx", "--include-service-images")

    assert (outcome.code, "agent images are in no export" in outcome.error) == (2, True)
