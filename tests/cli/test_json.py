"""`--json`: one document on standard output, with the keys that scripts rely on; all else is on standard error."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgelift.demo.content import make_image
from edgelift.demo.images import PROFILE_IMAGES
from edgelift.demo.palette_api import export_document
from edgelift.demo.profiles import demo_profiles
from tests.cli.commands import CommandLine, make_bundle, references
from tests.palette.builders import image_values, make_pack, make_profile
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app", architectures=("amd64", "arm64"))
PLAIN = make_image("team/plain")
CHART = """\
pack:
  content:
    images:
      - image: quay.io/app:1
      - image: "{{ .spectro.var.NOBODY }}"
    charts:
      - repo: https://charts.example
        name: app
        version: 1.2.3
"""


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry with two images."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        simulator.put_image(APP, PLAIN)
        yield simulator


@pytest.fixture
def bundle(sim: RegistrySimulator, tmp_path: Path) -> Path:
    """A bundle of both images."""
    return make_bundle(tmp_path / "given", sim.host, APP, PLAIN)


def asked(sim: RegistrySimulator) -> list[str]:
    """The options that ask for both images."""
    return [option for name in references(sim.host, APP, PLAIN) for option in ("--image", name)]


def test_images_of_profiles(command_line: CommandLine) -> None:
    """Images and charts with everywhere they are asked for, and no problem."""
    paths = []
    for profile in demo_profiles("registry.example"):
        paths.append(command_line.folder / f"{profile.name}.json")
        paths[-1].write_text(json.dumps(export_document(profile)))
    document = command_line.run("images", *paths, "--json").document

    assert {"images", "charts", "problems"} == document.keys()
    assert (len(document["images"]), document["problems"]) == (len(PROFILE_IMAGES), [])
    assert [sorted(image) for image in document["images"]] == [["origins", "reference"]] * len(PROFILE_IMAGES)
    pause = next(image for image in document["images"] if "/pause:" in image["reference"])
    assert [(each["profile"], each["pack"], bool(each["path"])) for each in pause["origins"]] == [
        ("edge-infra@1.0.0", "edge-k3s", True),
        ("hello-site@1.4.0", "hello", True),
    ]


def test_charts_and_problems_of_profiles(command_line: CommandLine) -> None:
    """A problem is in the document, on the terminal and in the exit code; the rest is there all the same."""
    path = command_line.folder / "addon.json"
    path.write_text(json.dumps(export_document(make_profile(make_pack(CHART), name="addon"))))
    outcome = command_line.run("images", path, "--json")
    document = outcome.document

    assert [image["reference"] for image in document["images"]] == ["quay.io/app:1"]
    charts = [{key: chart[key] for key in ("repository", "name", "version")} for chart in document["charts"]]
    assert charts == [{"repository": "https://charts.example", "name": "app", "version": "1.2.3"}]
    assert document["charts"][0]["origins"][0]["profile"] == "addon@1.0.0"
    assert [problem["severity"] for problem in document["problems"]] == ["error"]
    assert "NOBODY" in document["problems"][0]["message"]
    assert (outcome.code, outcome.error.startswith("1 problem has")) == (2, True)


def test_a_plan(sim: RegistrySimulator, command_line: CommandLine) -> None:
    """Digests, sizes and totals; nothing else stands on standard output."""
    outcome = command_line.run("plan", *asked(sim), "--json", "--output", "site.lock.json")
    document = outcome.document

    assert (outcome.code, document["errors"], document["warnings"]) == (0, [], [])
    assert [(each["reference"], each["digest"]) for each in document["images"]] == [
        (references(sim.host, APP)[0], APP.root.digest),
        (references(sim.host, PLAIN)[0], PLAIN.root.digest),
    ]
    assert document["totals"]["images"] == 2
    assert document["images"][0]["origins"] == [{"profile": "", "pack": "", "path": "name"}]
    lock = json.loads((command_line.folder / "site.lock.json").read_bytes())
    assert lock["format"] == "edgelift.lock/v1"


def test_a_plan_with_errors(sim: RegistrySimulator, command_line: CommandLine) -> None:
    """What could be pinned is listed beside what could not."""
    outcome = command_line.run("plan", *asked(sim), "--image", f"{sim.host}/team/none:1", "--json")

    assert (outcome.code, len(outcome.document["images"]), len(outcome.document["errors"])) == (1, 2, 1)
    assert f"{sim.host}/team/none:1" in outcome.document["errors"][0]


def test_an_inspection(bundle: Path, sim: RegistrySimulator, command_line: CommandLine) -> None:
    """What a bundle holds."""
    document = command_line.run("inspect", bundle, "--json").document

    assert (document["file"], document["file_size"], document["name"]) == (str(bundle), bundle.stat().st_size, "site")
    assert [each["reference"] for each in document["images"]] == references(sim.host, APP, PLAIN)


def test_a_verification(bundle: Path, command_line: CommandLine) -> None:
    """The verdict, the digest and the size of the file."""
    document = command_line.run("verify", bundle, "--json").document

    assert {"file", "verdict", "digest", "size"} <= document.keys()
    assert (document["verdict"], document["size"]) == ("ok", bundle.stat().st_size)


def test_a_validation(bundle: Path, sim: RegistrySimulator, command_line: CommandLine) -> None:
    """The receipt, with counts and the verdict on the whole; the exit code agrees with it."""
    place = f"edge/{sim.host.replace(':', '_')}"
    sim.put_image(replace(APP, repository=f"{place}/team/app"))
    outcome = command_line.run(
        *("validate", "--file", bundle, "--registry", f"{sim.host}/edge", "--json", "--receipt", "receipt.json")
    )

    assert (outcome.code, outcome.document["whole"]) == (3, False)
    assert outcome.document["counts"] == {"ok": 1, "differs": 0, "missing": 1, "not-checkable": 0}
    assert json.loads((command_line.folder / "receipt.json").read_bytes()) == outcome.document
    assert {"reference", "target", "verdict", "expected", "reason"} <= outcome.document["proofs"][1].keys()


def test_a_rehearsal(bundle: Path, sim: RegistrySimulator, command_line: CommandLine) -> None:
    """What a push would do, without doing it."""
    outcome = command_line.run("push", "--dry-run", "--file", bundle, "--registry", f"{sim.host}/edge", "--json")
    place = f"{sim.host}/edge/{sim.host.replace(':', '_')}"

    assert (outcome.code, outcome.document["errors"], outcome.document["warnings"]) == (0, [], [])
    assert outcome.document["pushes"] == [
        {"reference": references(sim.host, APP)[0], "target": f"{place}/team/app:1.0"},
        {"reference": references(sim.host, PLAIN)[0], "target": f"{place}/team/plain:1.0"},
    ]


def test_runs(api: str, sim: RegistrySimulator, command_line: CommandLine) -> None:
    """`build`, `push` and `sync` give one document each, and tell what goes on beside it."""
    with_api = replace(command_line, environment={"PREFECT_API_URL": api})
    built = with_api.run("build", "--name", "site", *asked(sim), "--output", "out", "--store", "store", "--json")
    bundle = built.document
    target = ("--registry", f"{sim.host}/edge", "--output", "out")
    pushed = with_api.run("push", "--file", bundle["path"], *target, "--json").document
    site = {"name": "plant", "source": {"images": references(sim.host, APP)}, "target": {"registry": sim.host}}
    (command_line.folder / "site.yaml").write_text(json.dumps(site))
    synced = with_api.run("sync", "site.yaml", "--output", "out", "--store", "store", "--json").document

    assert (Path(bundle["path"]).name, Path(bundle["lock_path"]).name) == ("site.tar.zst", "site.lock.json")
    assert (bundle["images"], bundle["size"]) == (2, Path(bundle["path"]).stat().st_size)
    assert "pulled 2 images" in built.err
    assert (pushed["counts"]["ok"], pushed["is_whole"]) == (2, True)
    assert (synced["counts"]["ok"], synced["is_whole"]) == (1, True)
    written = ("receipt_path", "settings_path", "sizes_path")
    assert all(Path(each[path]).is_file() for each in (pushed, synced) for path in written)


def test_quiet_says_nothing_but_the_result(sim: RegistrySimulator, command_line: CommandLine) -> None:
    """With --quiet standard error stays empty where all is well."""
    outcome = command_line.run("plan", *asked(sim), "--arch", "amd64", "--quiet")

    assert (outcome.code, outcome.err) == (0, "")


def test_values_are_shown_in_tables_without_json(command_line: CommandLine) -> None:
    """Without --json people get tables, with who asks for what."""
    path = command_line.folder / "addon.json"
    path.write_text(json.dumps(export_document(make_profile(make_pack(image_values("nginx:1")), name="addon"))))
    outcome = command_line.run("images", path)

    assert outcome.out.splitlines()[0].split() == ["IMAGE", "ASKED", "FOR", "BY"]
    assert outcome.out.splitlines()[1].startswith("docker.io/library/nginx:1  addon@1.0.0 > web")
    assert outcome.err.strip() == "1 image, 0 charts, 0 problems"
