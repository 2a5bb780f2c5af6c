"""Bundles in parts on the command line: built, named in every way, lost and made again."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgelift.bundle.parts import PartsIndex
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.verify import verify_bundle
from edgelift.bundle.writer import assemble_bundle
from edgelift.demo.content import SampleLayer, make_image
from edgelift.oci.digest import Digest
from edgelift.store.local import LocalStore
from tests.bundle.parted import MIB, flip
from tests.cli.commands import CommandLine, files_below, make_bundle, read_lock, references
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app", layers=(SampleLayer("gzip", 2_400_000), SampleLayer("gzip", 900_000)))
TOOL = make_image("team/tool")


@dataclass(frozen=True)
class Media:
    """A bundle in four parts with its lock, the store it was made from, and the same bundle in one piece."""

    folder: Path
    whole: Path
    store: Path
    sim: RegistrySimulator

    @property
    def index(self) -> Path:
        """The index."""
        return self.folder / "site.tar.zst.parts.json"

    def part(self, number: int) -> Path:
        """The file of a part."""
        return self.folder / f"site.tar.zst.part-{number:04}"


@pytest.fixture
def media(tmp_path: Path) -> Iterator[Media]:
    """Four parts of 1 MiB, the last one short."""
    with RegistrySimulator(tmp_path / "registry") as sim:
        sim.put_image(APP, TOOL)
        whole = make_bundle(tmp_path / "given", sim.host, APP, TOOL)
        lock, store = read_lock(whole), whole.parent / "store-of-the-bundle"
        assemble_bundle(lock, LocalStore(store), tmp_path / "media" / "site.tar.zst", part_size=MIB)
        (tmp_path / "media" / "site.lock.json").write_bytes(lock.to_json())
        yield Media(tmp_path / "media", whole, store, sim)


def test_a_lost_and_a_damaged_part_are_named_and_made_again(media: Media, command_line: CommandLine) -> None:
    """As on the road: four parts, one is gone and one has a wrong bit; the command that the error names mends both."""
    media.part(2).unlink()
    flip(media.part(3))
    shown, told = (command_line.run("verify", media.index, *more) for more in ((), ("--json",)))
    command = shown.err.rpartition("edgelift ")[2].split()
    one, other = (command_line.run(*command[:2], "--part", number, "--store", media.store) for number in (2, 3))
    verified = command_line.run("verify", media.folder, "--json")

    assert (shown.code, told.code) == (1, 1)
    assert "2 of the 4 parts of site.tar.zst are not right" in shown.error
    assert "site.tar.zst.part-0002 is missing; it has to have 1,048,576 bytes and sha256:" in shown.error
    assert "site.tar.zst.part-0003 is damaged: it has sha256:" in shown.error
    assert command == ["reassemble", str(media.index), "--part", "2", "--part", "3"]
    assert told.document["verdict"] == "parts are not right"
    assert [(each["number"], each["problem"]) for each in told.document["parts"]] == [(2, "missing"), (3, "damaged")]
    assert [each["size"] for each in told.document["parts"]] == [MIB, MIB]
    assert (one.code, one.out) == (0, f"{media.part(2)}: 1.0 MiB\n")
    assert (other.code, other.out) == (0, f"{media.part(3)}: 1.0 MiB\n")
    assert (verified.code, verified.document["verdict"], verified.document["parts"]) == (0, "ok", 4)
    assert verified.document["digest"] == Digest.of(media.whole.read_bytes())


def test_every_command_that_reads_takes_parts(media: Media, command_line: CommandLine) -> None:
    """By their index, one of them or their folder: the answers are those of the bundle in one piece."""
    index, part, folder, target = media.index, media.part(1), media.folder, f"{media.sim.host}/x"
    inspected, same = (command_line.run("inspect", each, "--json").document for each in (part, media.whole))
    compared = command_line.run("diff", index, folder, "--json").document
    checked = command_line.run("build", "--check", folder, "--json").document
    rehearsed = command_line.run("push", "--dry-run", "--file", part, "--registry", target, "--json")
    validated = command_line.run("validate", "--file", folder, "--registry", target, "--json")
    quick = command_line.run("verify", folder, "--quick", "--json").document

    assert (inspected.pop("file"), same.pop("file")) == (str(part), str(media.whole))
    assert inspected == same
    assert (compared["unchanged"], compared["added"]) == (2, [])
    assert (checked["verdict"], checked["size"]) == ("ok", media.whole.stat().st_size)
    assert (rehearsed.code, len(rehearsed.document["pushes"])) == (0, 2)
    assert (validated.code, validated.document["counts"]["missing"]) == (3, 2)
    assert quick["verdict"] == "structure ok"


@pytest.mark.parametrize("command", ["serve", "push --registry 127.0.0.1:1 --file"])
def test_a_part_that_is_missing_is_named_by_whoever_reads(
    media: Media, command_line: CommandLine, command: str
) -> None:
    """Which one, what it has to be, and what to do; nothing else begins."""
    media.part(4).unlink()
    outcome = command_line.run(*command.split(), media.index)

    assert outcome.code == 1
    assert "site.tar.zst.part-0004 is missing; it has to have" in outcome.error
    assert f"edgelift reassemble {media.index} --part 4" in outcome.error


def test_it_is_built_pushed_and_rebuilt_in_parts(media: Media, api: str, command_line: CommandLine) -> None:
    """`build` says which parts there are; `push` takes them; another build leaves them alone."""
    common = {"PREFECT_API_URL": api}
    options = ("--name", "site", "--output", "out", "--store", "store", "--part-size", "1MiB", "--json")
    asked = [option for name in references(media.sim.host, APP, TOOL) for option in ("--image", name)]
    (command_line.folder / "kept").mkdir()
    built = command_line.run("build", *asked, *options, "--archive-directory", "kept", **common)
    document = built.document
    before = [Path(each).stat().st_ino for each in document["parts"]]
    again = command_line.run("build", "--lock", document["lock_path"], *options, **common)
    with RegistrySimulator(command_line.folder / "target") as target:
        pushed = command_line.run(
            "push", "--file", document["path"], "--registry", target.host, "--output", "o", "--json", **common
        )

    names = [f"site.tar.zst.part-{number:04}" for number in range(1, 5)]
    assert built.code == 0, built.err
    assert Path(document["path"]).name == "site.tar.zst.parts.json"
    assert [Path(each).name for each in document["parts"]] == names
    content = b"".join(Path(each).read_bytes() for each in document["parts"])
    assert (document["size"], document["digest"]) == (len(content), Digest.of(content))
    folder = f"site-{Digest.of(Path(document['lock_path']).read_bytes()).hex[:12]}"  # the next lock has another
    assert document["archived"].endswith(f"/kept/{folder}/site.tar.zst.parts.json")
    kept = [*names, "site.lock.json", "site.tar.zst.parts.json"]
    assert files_below(command_line.folder / "out") == sorted(kept)
    archived = command_line.folder / "kept" / folder
    assert files_below(archived) == sorted(name + end for name in kept for end in ("", ".sha256"))
    assert subprocess.check_output("cat site.tar.zst.part-????", shell=True, cwd=archived) == content
    assert verify_bundle(archived).file_size == document["size"]
    assert "nothing to assemble, it stands and is right" in again.err
    assert before == [Path(each).stat().st_ino for each in again.document["parts"]]
    assert (pushed.code, pushed.document["counts"]["ok"]) == (0, 2), pushed.err


def test_a_site_file_may_ask_for_parts(media: Media, api: str, command_line: CommandLine) -> None:
    """The bundle of the site is written in parts, and pushed from them."""
    site = {
        "name": "plant",
        "source": {"images": references(media.sim.host, APP)},
        "target": {"registry": f"{media.sim.host}/edge"},
        "part_size": MIB,
    }
    (command_line.folder / "site.yaml").write_text(json.dumps(site))
    synced = command_line.run("sync", "site.yaml", "--output", "out", "--store", "store", "--json", PREFECT_API_URL=api)
    index = PartsIndex.from_json((command_line.folder / "out" / "plant.tar.zst.parts.json").read_bytes(), "the index")

    assert (synced.code, synced.document["is_whole"]) == (0, True), synced.err
    assert len(index.parts) == 4


def test_a_disk_that_takes_no_large_file_takes_parts(media: Media, command_line: CommandLine) -> None:
    """The error names the option; a bundle that stands is put into parts, and parts into one file."""
    out = command_line.folder / "stick" / "site.tar.zst"
    refused = command_line.run("reassemble", media.whole, "--output", out, largest_file=MIB)
    cut = command_line.run("reassemble", media.whole, "--output", out, "--part-size", "1MiB", largest_file=MIB)
    joined = command_line.run("reassemble", out.parent, "--output", "one.tar.zst", "--json")

    assert (refused.code, "write it in parts (--part-size 4GB)" in refused.error) == (1, True)
    assert (cut.code, cut.out) == (0, f"{out}.parts.json: 2 images, 3.2 MiB in 4 parts\n"), cut.err
    assert joined.document == {"path": "one.tar.zst", "size": media.whole.stat().st_size, "parts": []}
    assert (command_line.folder / "one.tar.zst").read_bytes() == media.whole.read_bytes()


BAD = {
    "too small": (("build", "--name", "x", "--image", "a", "--part-size", "1KB"), "parts of 1,000 bytes are too small"),
    "no size": (("build", "--name", "x", "--image", "a", "--part-size", "big"), "--part-size: 'big' cannot be read"),
    "no output": (("reassemble", "x"), "where to is not said"),
    "a size of parts that have one": (("reassemble", "x", "--part", 1, "--part-size", "1GB"), "leave out --part-size"),
    "a lock without a part": (("reassemble", "x", "--output", "y", "--lock", "z"), "say which with --part"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_options_that_make_no_sense_are_told(
    arguments: tuple[object, ...], message: str, command_line: CommandLine
) -> None:
    """Before anything is asked for or written."""
    outcome = command_line.run(*arguments)

    assert (outcome.code, message in outcome.error) == (2, True), outcome.err


def test_only_parts_are_made_again(media: Media, command_line: CommandLine) -> None:
    """A bundle in one piece has none, and a number has to be one of them; without a store there is no content."""
    store = ("--store", media.store)
    whole = command_line.run("reassemble", media.whole, "--part", 1, *store)
    beyond = command_line.run("reassemble", media.index, "--part", 5, *store)
    nowhere = command_line.run("reassemble", media.index, "--part", 1, "--store", "none")

    assert (whole.code, "is not a bundle in parts" in whole.error) == (2, True)
    assert (beyond.code, "has parts 1 to 4" in beyond.error) == (2, True)
    assert (nowhere.code, "there is no store in none" in nowhere.error) == (2, True)


def test_a_bundle_in_parts_is_served(media: Media) -> None:
    """The folder is a bundle, and not a store, where it holds an index of parts."""
    from edgelift.cli.serving import _served  # noqa: PLC0415 - loads a web server
    from edgelift.serve.pinned import BundleContent  # noqa: PLC0415 - as above

    with _served(str(media.folder), None, None) as content:
        assert isinstance(content, BundleContent)
    with BundleReader.open(media.folder) as bundle:
        assert len(bundle.lock.images) == 2
