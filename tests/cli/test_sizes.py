"""`edgelift sizes`: what costs how much, as tables, for scripts, and as a picture."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edgelift.demo.content import SampleLayer, make_image
from edgelift.treemap.svg import draw_treemap
from tests.bundle.asked import BASE, CLUSTER, LOCK, WEB
from tests.cli.commands import CommandLine, make_bundle, read_lock
from tests.keys import KeyFiles
from tests.simulators.registry import RegistrySimulator

SHARED = SampleLayer("gzip", 30_000, seed="shared")
APP = make_image("team/app", layers=(SHARED, SampleLayer("tar", 5_000)))
PLAIN = make_image("team/plain", layers=(SHARED,))


@pytest.fixture
def lock_file(command_line: CommandLine) -> Path:
    """A lock of two packs and an image that no pack asks for."""
    path = command_line.folder / "site.lock.json"
    path.write_bytes(LOCK.to_json())
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bundle of two images that share a layer."""
    folder = tmp_path_factory.mktemp("given")
    with RegistrySimulator(folder / "registry") as sim:
        sim.put_image(APP, PLAIN)
        yield make_bundle(folder, sim.host, APP, PLAIN)


def test_the_tables(lock_file: Path, command_line: CommandLine) -> None:
    """Profiles, packs, images and shared layers, the costliest first, then the sums."""
    outcome = command_line.run("sizes", lock_file)
    tables = [block.splitlines() for block in outcome.out.split("\n\n")]

    assert (outcome.code, outcome.err) == (0, "")
    assert [table[0].split()[0] for table in tables[:4]] == ["PROFILE", "PACK", "IMAGE", "SHARED"]
    assert tables[1][1].startswith("apps > nginx ")
    assert tables[2][1].endswith("apps > nginx")
    assert tables[3][1].split()[:4] == [BASE.digest[:19], "4.9", "KiB", "3"]
    assert tables[3][1].endswith(WEB.reference)
    assert tables[4] == ["13.4 KiB carried; sharing saves 11.7 KiB"]


def test_the_cluster_definition(command_line: CommandLine) -> None:
    """Its bytes are told beside the sums, and in the picture."""
    lock = LOCK.model_copy(update={"cluster_definition": CLUSTER})
    (command_line.folder / "site.lock.json").write_bytes(lock.to_json())
    outcome = command_line.run("sizes", "site.lock.json", "--svg", "site.svg")

    assert outcome.out.splitlines()[-2:] == [
        "cluster definition harbour: 2.9 KiB",
        "16.3 KiB carried; sharing saves 11.7 KiB",
    ]
    drawn = (command_line.folder / "site.svg").read_text()
    assert "in 4 images and a cluster definition" in drawn
    assert "cluster definition harbour: 2.9 KiB" in drawn


def test_the_document(bundle: Path, command_line: CommandLine) -> None:
    """Scripts get the numbers in bytes, of a bundle as of its lock."""
    document = command_line.run("sizes", bundle, "--json").document
    of_lock = command_line.run("sizes", bundle.with_name("site.lock.json"), "--json").document

    assert document.pop("file") == str(bundle)
    assert of_lock.pop("file") == str(bundle.with_name("site.lock.json"))
    assert document == of_lock
    assert document["carried_bytes"] == read_lock(bundle).unique_size
    assert [len(each["images"]) for each in document["shared"]] == [2]
    assert document["saved_bytes"] == document["shared"][0]["size"]


def test_the_picture(bundle: Path, command_line: CommandLine) -> None:
    """It is written where it is asked for, and that is told beside the result."""
    outcome = command_line.run("sizes", bundle, "--svg", "site.svg", "--json")
    drawn = (command_line.folder / "site.svg").read_bytes()

    assert (outcome.code, outcome.err) == (0, "treemap: site.svg\n")
    assert outcome.document["name"] == "site"
    assert drawn == draw_treemap(read_lock(bundle))
    assert ElementTree.fromstring(drawn).tag.endswith("svg")


def test_what_it_reads_has_to_be_signed(lock_file: Path, command_line: CommandLine) -> None:
    """Under a public key, a lock that nobody has signed is refused, and nothing is drawn."""
    key = KeyFiles.write(command_line.folder / "keys", "site").public
    outcome = command_line.run("sizes", lock_file, "--public-key", key, "--svg", "site.svg")

    assert (outcome.code, "is not signed" in outcome.error) == (1, True)
    assert not (command_line.folder / "site.svg").exists()


@pytest.mark.parametrize(("name", "code"), [("none.json", 2), ("none.tar.zst", 1), ("other.json", 2)])
def test_what_is_neither(name: str, code: int, command_line: CommandLine) -> None:
    """The file that cannot be read is named."""
    (command_line.folder / "other.json").write_text("{}")
    outcome = command_line.run("sizes", name)

    assert (outcome.code, name in outcome.error) == (code, True)


def test_a_picture_that_cannot_be_written(lock_file: Path, command_line: CommandLine) -> None:
    """What stands in the way is named, and stays as it is."""
    (command_line.folder / "folder").mkdir()
    outcome = command_line.run("sizes", lock_file, "--svg", "folder")

    assert (outcome.code, "cannot write folder" in outcome.error) == (1, True)
