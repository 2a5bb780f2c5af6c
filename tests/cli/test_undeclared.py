"""Images that packs use and do not declare, on the command line: looked at, told in a plan, carried on request."""

import json
import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.cli.undeclared import with_undeclared
from edgelift.demo.content import make_image
from edgelift.demo.palette_api import DEMO_PROJECT, export_document
from edgelift.demo.palette_tenant import DemoHost, DemoTenant
from edgelift.errors import ConfigurationError
from edgelift.site import DEFAULT_ACCESS, ContentSource
from tests.cli.commands import CommandLine
from tests.palette.builders import image_values, make_pack, make_profile
from tests.palette.charts import chart_files, deployment, make_chart, pack_chart
from tests.palette.undeclared.test_folder import write_pack
from tests.simulators.charts import ChartRepositorySimulator
from tests.simulators.palette import PaletteSimulator
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app")
SIDE = make_image("team/side")


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry with two images."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        simulator.put_image(APP, SIDE)
        yield simulator


def write_profile(folder: Path, host: str) -> Path:
    """A profile that declares one image and uses another."""
    values = image_values(f"{host}/team/app:1.0") + f"sidecar: {{image: '{host}/team/side:1.0'}}\n"
    path = folder / "profile.json"
    path.write_text(json.dumps(export_document(make_profile(make_pack(values)))))
    return path


def test_profiles_and_folders_of_packs_are_looked_at(command_line: CommandLine) -> None:
    """Charts in a folder are read; the table says where each image is used, the document says all."""
    profile = write_profile(command_line.folder, "quay.io")
    folder = write_pack(command_line.folder / "web", charts=["charts/web.tgz"])
    (folder / "charts").mkdir()
    (folder / "charts" / "web.tgz").write_bytes(make_chart(dep=deployment("team/app:{{ .Chart.AppVersion }}")).data)
    shown = command_line.run("images", "--undeclared", profile, folder)
    document = command_line.run("images", "--undeclared", profile, folder, "--json").document

    assert [
        (report["profile"], report["pack"], [(each["image"], each["confidence"]) for each in report["undeclared"]])
        for report in document["packs"]
    ] == [
        ("site@1.0.0", "web", [("quay.io/team/side:1.0", "likely")]),
        ("", "web", [("docker.io/team/app:9.9.9", "certain")]),
    ]
    assert "values.yaml:5 sidecar.image (its key is image)" in shown.out
    assert "2 images are used and not declared, 2 of them certain or likely, in 2 packs" in shown.err
    assert shown.code == 0


def test_a_plan_counts_them_and_names_the_option(sim: RegistrySimulator, command_line: CommandLine) -> None:
    """Nothing is carried that was not asked for, and nothing is left out in silence."""
    outcome = command_line.run("plan", "--profile-file", write_profile(command_line.folder, sim.host), "--json")

    assert [image["reference"] for image in outcome.document["images"]] == [f"{sim.host}/team/app:1.0"]
    (warning,) = outcome.document["warnings"]
    assert warning.startswith("1 image is used by these packs, but not declared and not carried")
    assert "--include-undeclared confident" in warning


def test_a_plan_carries_them_on_request(sim: RegistrySimulator, command_line: CommandLine) -> None:
    """The lock says of each which pack uses it, and where."""
    profile = write_profile(command_line.folder, sim.host)
    outcome = command_line.run(
        "plan", "--profile-file", profile, "--include-undeclared", "confident", "--output", "l.json", "--json"
    )
    lock = json.loads((command_line.folder / "l.json").read_text())

    assert (outcome.code, outcome.document["warnings"]) == (0, [])
    origins = {image["reference"]: image["origins"][0]["path"] for image in lock["definition"]["images"]}
    assert origins[f"{sim.host}/team/side:1.0"] == "undeclared: values.yaml:5 sidecar.image"


def test_nobody_is_asked_without_a_terminal(command_line: CommandLine) -> None:
    """A script would wait for ever."""
    profile = write_profile(command_line.folder, "quay.io")
    outcome = command_line.run("plan", "--profile-file", profile, "--include-undeclared", "ask")

    assert outcome.code == 2
    assert "needs a terminal" in outcome.error


def test_a_lock_is_built_as_it_is() -> None:
    """What it carries has been decided."""
    with pytest.raises(ConfigurationError, match="leave out --include-undeclared"):
        with_undeclared(Path("l.json"), "all", DEFAULT_ACCESS, None)


def ask(source: ContentSource, folder: Path, typed: bytes) -> object:
    """What is to be carried by what somebody types at a terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as keyboard, os.fdopen(os.dup(theirs), "w") as screen, pytest.MonkeyPatch.context() as patch:
        os.write(ours, typed)
        patch.setattr("sys.stdin", keyboard)
        patch.setattr("sys.stderr", screen)
        answered = with_undeclared(source, "ask", DEFAULT_ACCESS, str(folder / "store")).include_undeclared
    os.close(ours)
    return answered


def test_at_a_terminal_each_image_is_asked_for(tmp_path: Path) -> None:
    """Yes to the first and no to the second: the first is carried. Of a third only the tag is asked for."""
    values = "a: {image: 'team/one:1'}\nb: {image: 'team/two:1'}\nc: {image: {repository: team/open, tag: ''}}\n"
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(export_document(make_profile(make_pack(values)))))
    source = ContentSource(profile_files=(str(path),))

    assert ask(source, tmp_path, b"y\nn\nv7\n") == ("docker.io/team/one:1", "docker.io/team/open:v7")
    assert ask(source, tmp_path, b"n\nn\n\n") == ()


def test_profiles_of_edge_hosts_are_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the hosts of the site run are found as a build finds them."""
    profile = make_profile(make_pack("a: {image: 'team/one:1'}\n"), uid="65c90f2d0a1b2c3d4e5f6a70")
    host = DemoHost("crane", tags=("site:harbour",), profiles=(profile,))
    with PaletteSimulator([profile], "a key", tenant=DemoTenant(hosts=[host])) as palette:
        monkeypatch.setenv("PALETTE_ENDPOINT", palette.url)
        monkeypatch.setenv("PALETTE_API_KEY", "a key")
        source = ContentSource(edge_hosts="site:harbour", project=DEMO_PROJECT.name)
        assert ask(source, tmp_path, b"y\n") == ("docker.io/team/one:1",)


def test_charts_are_fetched_on_request(command_line: CommandLine) -> None:
    """Those that an exported profile declares are looked into; without asking, nothing goes over the network."""
    archive = pack_chart(chart_files(dep=deployment("team/app:1")))
    with ChartRepositorySimulator() as charts:
        charts.add(archive)
        values = f"pack: {{content: {{charts: [{{repo: '{charts.url}', name: web, version: 1.2.3}}]}}}}"
        path = command_line.folder / "profile.json"
        path.write_text(json.dumps(export_document(make_profile(make_pack(values)))))
        before = command_line.run("images", "--undeclared", path, "--json").document
        asked = list(charts.asked)
        after = command_line.run("images", "--undeclared", "--fetch-charts", path, "--json").document

    assert [report["undeclared"] for report in before["packs"]] == [[]]
    assert asked == []
    ((found,),) = [report["undeclared"] for report in after["packs"]]
    assert (found["image"], found["confidence"]) == ("docker.io/team/app:1", "certain")


def test_charts_are_fetched_to_be_looked_into_alone(command_line: CommandLine) -> None:
    """The list of what is declared needs none."""
    outcome = command_line.run("images", "--fetch-charts", write_profile(command_line.folder, "quay.io"))

    assert (outcome.code, "give --undeclared, too" in outcome.error) == (2, True)
