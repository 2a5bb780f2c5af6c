"""Packs and the cluster definition on the command line: planned, built, signed, taken out, and built once more."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgelift.demo.content import make_image
from edgelift.demo.palette_api import DEMO_PROJECT
from edgelift.demo.palette_documents import cluster_definition
from edgelift.oci.digest import Digest
from edgelift.palette.models import ClusterProfile
from tests.cli.commands import CommandLine, files_below
from tests.keys import KeyFiles, openssl_accepts
from tests.packs.samples import make_pack_folder
from tests.palette.builders import image_values, make_pack, make_profile
from tests.simulators.palette import PaletteSimulator
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app")
KEY = "a1b2c3d4e5f6-secret-key"
UID = "65c90f2d0a1b2c3d4e5f6a70"
LOCAL = "local.invalid/spectro-packs/archive/greeting:1.0.0"
DEFINITION = ("--cluster-definition-name", "harbour", "--cluster-definition-profile-ids", UID)


@dataclass(frozen=True)
class Stage:
    """A registry, a Palette with one profile of it, keys, and a folder with a local pack that declares the image."""

    sim: RegistrySimulator
    palette: PaletteSimulator
    profile: ClusterProfile
    keys: KeyFiles
    pack: Path
    line: CommandLine

    @property
    def image(self) -> str:
        """The image."""
        return f"{self.sim.host}/{APP.repository}:{APP.tag}"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Everything right."""
    with RegistrySimulator(tmp_path / "registry") as sim:
        sim.put_image(APP)
        values = image_values(f"{sim.host}/{APP.repository}:{APP.tag}")
        profile = make_profile(make_pack(values), uid=UID)
        with PaletteSimulator([profile], KEY) as palette:
            environment = {"PALETTE_API_KEY": KEY, "PALETTE_ENDPOINT": palette.url}
            (tmp_path / "work").mkdir()
            yield Stage(
                sim,
                palette,
                profile,
                KeyFiles.write(tmp_path / "keys", "site"),
                make_pack_folder(tmp_path / "pack", values),
                CommandLine(tmp_path / "work", environment),
            )


def asked(stage: Stage) -> tuple[object, ...]:
    """The options that ask for the profile, the cluster definition of it, and the local pack."""
    return ("--profiles", UID, "--project-id", DEMO_PROJECT.name, *DEFINITION, "--packs", stage.pack)


def test_a_plan_pins_both(stage: Stage) -> None:
    """The lock for a courier has them; no path of this machine is in it, nor the key."""
    outcome = stage.line.run("plan", *asked(stage), "--output", "site.lock.json", "--json")
    lock = (stage.line.folder / "site.lock.json").read_text()

    assert outcome.code == 0, outcome.err
    assert [(each["reference"], each["kind"]) for each in outcome.document["images"]] == [
        (stage.image, "image"),
        (LOCAL, "pack"),
    ]
    told = outcome.document["cluster_definition"]
    assert (told["name"], told["digest"]) == ("harbour", Digest.of(cluster_definition([stage.profile])))
    assert [part in lock for part in (str(stage.pack), str(stage.line.folder), KEY)] == [False] * 3


def test_built_signed_and_taken_out_again(stage: Stage, api: str) -> None:
    """The file beside the bundle is the one in it; both are Palette's, and openssl accepts what the key has signed."""
    built = stage.line.run(
        "build", *asked(stage), "--name", "site", "--output", "out", "--store", "store",
        "--signing-key", stage.keys.private, PREFECT_API_URL=api,
    )  # fmt: skip
    bundle, beside = stage.line.folder / "out" / "site.tar.zst", stage.line.folder / "out" / "harbour.tgz"
    arguments = ("inspect", bundle, "--public-key", stage.keys.public, "--cluster-definition", "far.tgz")
    shown, verified = stage.line.run(*arguments), stage.line.run("verify", bundle, "--public-key", stage.keys.public)

    assert (built.code, shown.code, verified.code) == (0, 0, 0), built.err + shown.err + verified.err
    assert beside.read_bytes() == cluster_definition([stage.profile])
    assert (stage.line.folder / "far.tgz").read_bytes() == beside.read_bytes()
    assert openssl_accepts(beside, stage.keys.public)
    assert [("cluster definition harbour of site 1.0.0" in each.out) for each in (shown, verified)] == [True, True]


def test_built_again_from_the_lock(stage: Stage, api: str) -> None:
    """From the same store without Palette and without the packs; from another with what it lacks, to the same bytes."""
    built = stage.line.run(
        "build", *asked(stage), "--name", "site", "--output", "out", "--store", "store", PREFECT_API_URL=api
    )
    paths, questions = len(stage.palette.paths), "out/site.lock.json"
    again = ("build", "--name", "site", "--lock", questions, "--output")
    same = stage.line.run(*again, "same", "--store", "store", PREFECT_API_URL=api)
    empty = stage.line.run(*again, "empty", "--store", "empty", PREFECT_API_URL=api)
    given = stage.line.run(*again, "given", "--store", "empty", "--packs", stage.pack, PREFECT_API_URL=api)
    held = ("--existing-bundles", "out/site.tar.zst")
    other = stage.line.run(*again, "other", "--store", "empty", *held, PREFECT_API_URL=api)
    files = [stage.line.folder / folder / name for folder in ("out", "same", "other") for name in PRODUCTS]

    assert [each.code for each in (built, same, empty, given, other)] == [0, 0, 2, 2, 0], empty.err + other.err
    assert "pack greeting 1.0.0 is not in the store" in empty.error
    assert "--packs" in empty.error
    assert "cluster definition harbour" in given.error
    assert len({(path.name, path.read_bytes()) for path in files}) == len(PRODUCTS)
    assert len(stage.palette.paths) == paths


PRODUCTS = ("site.tar.zst", "site.lock.json", "harbour.tgz")


def test_the_cluster_definition_alone(stage: Stage) -> None:
    """It and its signature are made, and nothing else: no bundle, no store, no question to a registry."""
    before = files_below(stage.line.folder)
    outcome = stage.line.run(
        "build", "--project-id", DEMO_PROJECT.name, *DEFINITION, "--download-cluster-config-only",
        "--output", "out", "--signing-key", stage.keys.private,
    )  # fmt: skip
    made = stage.line.folder / "out" / "harbour.tgz"

    assert (outcome.code, outcome.out) == (0, "out/harbour.tgz\n"), outcome.err
    assert [each for each in files_below(stage.line.folder) if each not in before] == [
        "out/harbour.tgz",
        "out/harbour.tgz.sig",
    ]
    assert made.read_bytes() == cluster_definition([stage.profile])
    assert openssl_accepts(made, stage.keys.public)
    assert stage.sim.requests == []


def test_what_palette_refuses_leaves_nothing(stage: Stage) -> None:
    """A 404 is an error here; a file that stood there stays, and so does its signature."""
    stage.palette.answers_with(404, path="/spc/download", times=None)
    (stage.line.folder / "harbour.tgz").write_bytes(b"of yesterday")
    outcome = stage.line.run(
        "build", "--project-id", DEMO_PROJECT.name, *DEFINITION, "--download-cluster-config-only", "--output", "."
    )

    assert outcome.code == 1
    assert "makes no cluster definition of these profiles" in outcome.error
    assert (stage.line.folder / "harbour.tgz").read_bytes() == b"of yesterday"


def test_a_bundle_without_one_gives_none(stage: Stage, api: str) -> None:
    """It is said, and no file is made."""
    stage.line.run("build", "--image", stage.image, "--name", "site", "--output", "out", PREFECT_API_URL=api)
    outcome = stage.line.run("inspect", "out/site.tar.zst", "--cluster-definition", "far.tgz")

    assert (outcome.code, "holds no cluster definition" in outcome.error) == (1, True)
    assert not (stage.line.folder / "far.tgz").exists()


BAD = {
    "a name alone": (("--cluster-definition-name", "x"), "has a name and profiles"),
    "profiles alone": (("--cluster-definition-profile-ids", "x"), "has a name and profiles"),
    "a name with a path": ((*DEFINITION[2:], "--cluster-definition-name", "../x"), "cannot be the name of a cluster"),
    "the file alone, of nothing": (("--download-cluster-config-only",), "none is asked for"),
    "a pack that is none": (("--packs", "."), "is no pack: there is no pack.json"),
    "a registry for no packs": (("--pack-registry", "registry.example"), "say include"),
    "only images of no pack": (("--images-only",), "name their paths"),
    "packs that only Palette knows": (("--profile-file", "p.json", "--include-packs"), "--pack-registry HOST/BASE"),
}


@pytest.mark.parametrize(("options", "says"), BAD.values(), ids=BAD)
def test_a_mistake_is_told_at_once(options: tuple[str, ...], says: str, command_line: CommandLine) -> None:
    """Exit code 2, what to do, and nobody is asked for anything."""
    (command_line.folder / "p.json").write_text(EXPORTED)
    command = "build" if "--download-cluster-config-only" in options else "plan"
    outcome = command_line.run(command, "--image", "127.0.0.1:1/app:1", "--name", "site", *options)

    assert (outcome.code, says in outcome.error) == (2, True), outcome.err


EXPORTED = """{"metadata": {"name": "p"}, "spec": {"version": "1", "template": {"type": "add-on", "packs": [
{"name": "web", "type": "spectro", "version": "1", "layer": "addon", "values": ""}]}}}"""
