"""Runs that cannot end well: what `build`, `push` and `sync` say, how they exit, and what they leave behind."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgelift.demo.content import SampleImage, SampleLayer, make_image
from edgelift.demo.palette_api import DEMO_PROJECT
from edgelift.demo.profiles import demo_profiles
from tests.cli.commands import CommandLine, files_below, make_bundle, read_lock, references
from tests.simulators.palette import PaletteSimulator
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app", layers=(SampleLayer("tar", 300_000),))
SMALL = make_image("team/small")
OTHER = make_image("team/app", seed="another")
TWO_LAYERS = make_image("team/two", layers=(SampleLayer("gzip", 200_000), SampleLayer("gzip", 200_001)))
LARGE = max(APP.blobs, key=lambda blob: blob.size)


@pytest.fixture
def run(api: str, tmp_path: Path) -> CommandLine:
    """The command line with a Prefect server."""
    return CommandLine(tmp_path, {"PREFECT_API_URL": api})


@pytest.fixture
def source(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry with two images."""
    with RegistrySimulator(tmp_path / "source") as sim:
        sim.put_image(APP, SMALL)
        yield sim


@pytest.fixture
def target(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """An empty registry."""
    with RegistrySimulator(tmp_path / "target") as sim:
        yield sim


@pytest.fixture
def bundle(source: RegistrySimulator, tmp_path: Path) -> Path:
    """A bundle of both images."""
    return make_bundle(tmp_path / "given", source.host, APP, SMALL)


def build(host: str, *images: SampleImage) -> tuple[object, ...]:
    """The arguments that build a bundle of these images into the folder `out`."""
    asked = [option for name in references(host, *images) for option in ("--image", name)]
    return ("build", "--name", "site", *asked, "--output", "out", "--store", "store")


def push(bundle: Path, target: RegistrySimulator, *options: str) -> tuple[object, ...]:
    """The arguments that push a bundle; what the run writes goes into the folder `out`."""
    return ("push", "--file", bundle, "--registry", f"{target.host}/edge", "--output", "out", *options)


def place_of(source: RegistrySimulator, image: SampleImage) -> str:
    """The repository that `image` goes to at the target."""
    return f"edge/{source.host.replace(':', '_')}/{image.repository}"


def test_a_wrong_key_ends_a_build(run: CommandLine) -> None:
    """What Palette refuses is told as by `plan`."""
    with PaletteSimulator(demo_profiles("registry.example"), "right") as palette:
        environment = {"PALETTE_ENDPOINT": palette.url, "PALETTE_API_KEY": "a-wrong-secret"}
        arguments = ("--profiles", "edge-infra", "--project-id", DEMO_PROJECT.name, "--output", "out")
        outcome = run.run("build", "--name", "site", *arguments, **environment)

    assert outcome.code == 1
    assert "refused the API key" in outcome.error
    assert "Traceback" not in outcome.err
    assert "a-wrong-secret" not in outcome.err + outcome.out


def test_an_image_that_is_not_there_ends_a_build_before_anything_moves(
    run: CommandLine, source: RegistrySimulator
) -> None:
    """All that is missing is named; no blob is fetched and no bundle begun."""
    missing = [make_image(name) for name in ("team/none", "team/neither")]
    outcome = run.run(*build(source.host, APP, *missing))

    assert outcome.code == 1
    assert outcome.error.startswith("2 problems stand in the way; nothing was moved")
    assert all(name in outcome.error for name in references(source.host, *missing))
    assert source.count("GET", "/blobs/") == 0
    assert (files_below(run.folder / "out"), "Traceback" in outcome.err) == ([], False)


def test_one_image_that_fails_leaves_the_others_done(run: CommandLine, source: RegistrySimulator) -> None:
    """A blob that stays wrong names its image and its registry; the same command then only fetches what is missing."""
    source.flip(LARGE.digest, at_byte=100, times=None)
    outcome = run.run(*build(source.host, APP, SMALL))

    assert outcome.code == 3
    assert outcome.error.startswith("1 of 2 images could not be pulled; the others are done and stay done")
    assert f"{source.host}/team/app:1.0: {source.host}/team/app sends wrong bytes" in outcome.error
    assert "→ run it again" in outcome.error
    assert (files_below(run.folder / "out"), "Traceback" in outcome.err) == ([], False)

    source.heal()
    source.forget_requests()
    assert run.run(*build(source.host, APP, SMALL)).code == 0
    assert [each.path.rpartition("/")[2] for each in source.requests if "/blobs/" in each.path] == [LARGE.digest]


def test_a_disk_that_fills_up_leaves_no_bundle(run: CommandLine, source: RegistrySimulator) -> None:
    """A disk that takes no file of that size is told with what is needed; nothing looks finished."""
    outcome = run.run(*build(source.host, APP, SMALL), largest_file=200_000)

    assert outcome.code == 3
    assert "the disk is full" in outcome.error
    assert "→ free some space" in outcome.error
    assert (files_below(run.folder / "out"), "Traceback" in outcome.err) == ([], False)
    assert not any(LARGE.digest.hex in name for name in files_below(run.folder / "store" / "blobs"))


def test_a_disk_too_small_for_the_bundle_leaves_the_old_one(run: CommandLine, source: RegistrySimulator) -> None:
    """Where the pull fits and the bundle does not, the bundle that stood there is untouched."""
    assert run.run(*build(source.host, SMALL)).code == 0
    before = (run.folder / "out" / "site.tar.zst").read_bytes()
    source.put_image(TWO_LAYERS)
    outcome = run.run(*build(source.host, SMALL, TWO_LAYERS), largest_file=250_000)

    assert (outcome.code, "Traceback" in outcome.err) == (1, False)
    assert "site.tar.zst: it needs" in outcome.error
    assert "→" in outcome.error
    assert (run.folder / "out" / "site.tar.zst").read_bytes() == before
    assert files_below(run.folder / "out") == ["site.lock.json", "site.tar.zst"]


def test_a_malformed_reference_ends_a_build(run: CommandLine) -> None:
    """The same words and the same exit code as in a plan."""
    outcome = run.run("build", "--name", "site", "--image", "https://quay.io/app", "--output", "out")

    assert (outcome.code, "Traceback" in outcome.err) == (2, False)
    assert outcome.error.startswith("'https://quay.io/app' is not an image reference")


def test_a_lock_with_unknown_keys_is_not_built(run: CommandLine, bundle: Path) -> None:
    """A typo in an edited lock is told, not overlooked."""
    document = json.loads(read_lock(bundle).to_json())
    document["images"][0]["referense"] = "x"
    (run.folder / "edited.json").write_text(json.dumps(document))
    outcome = run.run("build", "--name", "site", "--lock", "edited.json", "--output", "out")

    assert (outcome.code, "Traceback" in outcome.err) == (2, False)
    assert "images.0.referense" in outcome.error
    assert files_below(run.folder / "out") == []


def test_a_truncated_bundle_is_not_pushed(run: CommandLine, bundle: Path, target: RegistrySimulator) -> None:
    """Half of a bundle is refused before the target hears of it."""
    content = bundle.read_bytes()
    bundle.write_bytes(content[: len(content) // 2])
    outcome = run.run(*push(bundle, target))

    assert (outcome.code, "Traceback" in outcome.err) == (1, False)
    assert str(bundle) in outcome.error
    assert target.requests == []


def test_an_altered_bundle_does_not_arrive(run: CommandLine, bundle: Path, target: RegistrySimulator) -> None:
    """A flipped bit in a layer is noticed on the way: its image has no tag, and the error names the file."""
    content = bytearray(bundle.read_bytes())
    content[content.find(APP.contents[LARGE.digest][4096:4200])] ^= 1
    bundle.write_bytes(content)
    outcome = run.run(*push(bundle, target))

    assert outcome.code in (1, 3)
    assert "Traceback" not in outcome.err
    assert str(bundle) in outcome.error
    assert "damaged" in outcome.error
    assert target.count("PUT", "/app/manifests/") == 0


def test_a_target_that_denies_ends_a_push_before_anything_moves(
    run: CommandLine, bundle: Path, target: RegistrySimulator
) -> None:
    """The preflight says so, once."""
    target.deny("/uploads/", "POST")
    outcome = run.run(*push(bundle, target))

    assert (outcome.code, "Traceback" in outcome.err) == (1, False)
    assert "cannot take this bundle as it stands; nothing was moved" in outcome.error
    assert "403" in outcome.error
    assert (target.count("PUT"), files_below(run.folder / "out")) == (0, [])


def test_a_conflict_ends_a_push_before_anything_moves(
    run: CommandLine, bundle: Path, source: RegistrySimulator, target: RegistrySimulator
) -> None:
    """A tag that stands with another digest stops everything, unless told otherwise."""
    target.put_image(replace(OTHER, repository=place_of(source, APP)))
    outcome = run.run(*push(bundle, target))

    assert (outcome.code, "Traceback" in outcome.err) == (1, False)
    assert "→ --on-conflict replace moves the tag" in outcome.error
    assert target.count("PUT") == 0


def test_a_tag_that_is_kept_is_not_whole(
    run: CommandLine, bundle: Path, source: RegistrySimulator, target: RegistrySimulator
) -> None:
    """With `keep` the rest is delivered; the receipt and the exit code say that one reference differs."""
    target.put_image(replace(OTHER, repository=place_of(source, APP)))
    outcome = run.run(*push(bundle, target, "--on-conflict", "keep"))

    receipt = json.loads((run.folder / "out" / "site.receipt.json").read_bytes())
    assert (outcome.code, receipt["counts"]["differs"], receipt["counts"]["ok"]) == (3, 1, 1)
    assert "1 of 2 references are not proved" in outcome.error


def test_a_target_that_is_gone_ends_a_push(run: CommandLine, bundle: Path) -> None:
    """A port where nothing listens is named with the next step."""
    outcome = run.run("push", "--file", bundle, "--registry", "127.0.0.1:1/edge", "--output", "out")

    assert (outcome.code, "Traceback" in outcome.err) == (1, False)
    assert "127.0.0.1:1: cannot log in: connection refused" in outcome.error
    assert "→ check that it runs" in outcome.error


def test_a_target_that_loses_a_blob_is_not_whole(
    run: CommandLine, source: RegistrySimulator, target: RegistrySimulator
) -> None:
    """A registry that takes everything and serves less is found out; the receipt names what is missing."""
    site = {
        "name": "plant-7",
        "source": {"images": references(source.host, APP, SMALL)},
        "target": {"registry": f"{target.host}/edge"},
        "access": {"docker_config": False},
    }
    (run.folder / "site.yaml").write_text(json.dumps(site))
    target.fail("HEAD", f"/app/blobs/{LARGE.digest}", status=404, code="BLOB_UNKNOWN", times=None)
    outcome = run.run("sync", "site.yaml", "--output", "out", "--store", "store")

    receipt = json.loads((run.folder / "out" / "plant-7.receipt.json").read_bytes())
    assert (outcome.code, "Traceback" in outcome.err) == (3, False)
    assert (receipt["counts"]["missing"], receipt["counts"]["ok"]) == (1, 1)
    assert f"missing, blob {LARGE.digest} is missing" in outcome.error
