"""Commands over a bundle that another tool has compressed again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from edgelift.demo.content import make_image
from tests.cli.commands import CommandLine, make_bundle
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistrySimulator]:
    """A registry with an image."""
    with RegistrySimulator(tmp_path_factory.mktemp("source")) as simulator:
        simulator.put_image(APP)
        yield simulator


@pytest.fixture
def bundle(source: RegistrySimulator, tmp_path: Path) -> Path:
    """The bundle as it was built."""
    return make_bundle(tmp_path / "built", source.host, APP)


@pytest.fixture
def again(bundle: Path, tmp_path: Path) -> Path:
    """The same tar, compressed by a tool that knows nothing of seek tables."""
    path = tmp_path / "again.tar.zst"
    with bundle.open("rb") as file, path.open("wb") as other:
        tar = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        zstandard.ZstdCompressor().copy_stream(tar, other)
    return path


def test_it_is_inspected_and_reported_as_such(command_line: CommandLine, bundle: Path, again: Path) -> None:
    """The content is that of the bundle; that there is no seek table is in the document and in a warning."""
    here, there = (command_line.run("inspect", each, "--json") for each in (bundle, again))

    assert (here.document["seekable"], there.document["seekable"]) == (True, False)
    assert here.document["images"] == there.document["images"]
    assert "warning" not in here.err
    assert f"warning: {again} has no seek table" in there.err


def test_it_is_verified_and_never_ok(command_line: CommandLine, again: Path) -> None:
    """Right content in another file is an error that says so and names the way back."""
    outcome = command_line.run("verify", again)

    assert (outcome.code, outcome.out) == (1, "")
    assert "has the right content, but is not the file that edgelift wrote" in outcome.error
    assert "edgelift reassemble" in outcome.error


@pytest.mark.parametrize("command", ["serve", "push --registry 127.0.0.1:1 --file"])
def test_it_is_neither_served_nor_pushed(command_line: CommandLine, again: Path, command: str) -> None:
    """Both need any image at any time; the error names what makes that possible."""
    outcome = command_line.run(*command.split(), again)

    assert outcome.code == 1
    assert "has no seek table" in outcome.error
    assert "edgelift reassemble" in outcome.error


def test_it_is_validated_against(command_line: CommandLine, source: RegistrySimulator, again: Path) -> None:
    """A validation needs the lock alone."""
    outcome = command_line.run("validate", "--file", again, "--registry", f"{source.host}/elsewhere", "--json")

    assert (outcome.code, outcome.document["counts"]["missing"]) == (3, 1)


def test_the_bundle_is_made_from_it(command_line: CommandLine, bundle: Path, again: Path) -> None:
    """What comes out is the bundle that was built."""
    outcome = command_line.run("reassemble", again, "--output", "new.tar.zst")

    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("new.tar.zst: 1 image, ")
    assert bundle.read_bytes() == (command_line.folder / "new.tar.zst").read_bytes()
