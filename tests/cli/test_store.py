"""`edgelift store`: what is told, what is mended, what is deleted, and how it ends."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.bundle.writer import assemble_bundle
from edgelift.demo.content import SampleLayer, make_image
from edgelift.store.local import LocalStore
from tests.cli.commands import CommandLine
from tests.simulators.registry import RegistrySimulator
from tests.store.content import blobs_in, contents_of, files_in, keep_image, lock_of, make_older, name_of

LAYER = SampleLayer("tar", 200_000)
APP = make_image("team/app", architectures=("amd64", "arm64"), layers=(LAYER,))
PLAIN = make_image("team/plain", layers=(LAYER,))
LOST = max(PLAIN.blobs, key=lambda blob: blob.size)


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry with both images."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        simulator.put_image(APP, PLAIN)
        yield simulator


@pytest.fixture
def root(tmp_path: Path, sim: RegistrySimulator) -> Path:
    """A store with both, pulled 60 days ago and today; no process has it open."""
    store = LocalStore(tmp_path / "store")
    keep_image(store, APP, days=60, host=sim.host)
    keep_image(store, PLAIN, host=sim.host)
    return store.root


def damage(root: Path) -> None:
    """Flip a bit of a blob."""
    path = root / "blobs" / "sha256" / LOST.digest.hex
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[1000] ^= 4
    path.write_bytes(content)


# stat


def test_stat(command_line: CommandLine, root: Path) -> None:
    """A table for people."""
    outcome = command_line.run("store", "stat", "--store", root)

    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines()[0].split() == ["CONTENT", "FILES", "SIZE", "OLDEST", "NEWEST"]
    assert "2 images, locks of 0 runs" in outcome.out


def test_stat_for_scripts(command_line: CommandLine, root: Path) -> None:
    """One document with everything in bytes."""
    document = command_line.run("store", "stat", "--store", root, "--json").document

    assert {"store", "images", "blobs", "partial", "quarantine", "runs", "disk_free"} == document.keys()
    assert document["blobs"]["count"] == len(contents_of(APP, PLAIN))


def test_the_store_of_the_cache_folder(command_line: CommandLine, root: Path) -> None:
    """Without --store it is the one that runs use."""
    cache = command_line.folder / "home" / ".cache" / "edgelift"
    cache.mkdir(parents=True)
    (cache / "store").symlink_to(root)

    assert command_line.run("store", "stat", "--json").document["images"] == 2


@pytest.mark.parametrize("command", ["stat", "fsck", "gc"])
def test_no_store(command_line: CommandLine, command: str) -> None:
    """None is made by looking at it, and a folder of something else is none."""
    (command_line.folder / "photos").mkdir()
    for arguments in ((), ("--store", "photos"), ("--store", "nowhere")):
        outcome = command_line.run("store", command, *arguments)

        assert (outcome.code, "there is no store in" in outcome.error) == (2, True)
    assert files_in(command_line.folder) == {}


# fsck


def test_all_is_right(command_line: CommandLine, root: Path) -> None:
    """One line, exit code 0."""
    outcome = command_line.run("store", "fsck", "--store", root)

    assert (outcome.code, outcome.err) == (0, "")
    assert "2 images: all is right" in outcome.out


def test_damage_remains(command_line: CommandLine, root: Path, sim: RegistrySimulator) -> None:
    """Exit code 3: what is damaged, who needs it, and how to mend it; a second look finds it missing."""
    damage(root)
    first = command_line.run("store", "fsck", "--store", root)
    second = command_line.run("store", "fsck", "--store", root)

    assert (first.code, second.code) == (3, 3)
    assert f"{LOST.digest} was damaged and is in quarantine, needed by {name_of(PLAIN, sim.host)}" in first.error
    assert "--repair" in first.error
    assert f"{LOST.digest} is not there" in second.error


def test_repair_from_the_registry(command_line: CommandLine, root: Path, sim: RegistrySimulator) -> None:
    """What was mended is told with where it came from, and it is all right then."""
    damage(root)
    outcome = command_line.run("store", "fsck", "--store", root, "--repair")

    assert (outcome.code, outcome.err) == (0, "")
    assert f"mended from {sim.host}/team/plain" in outcome.out
    assert "1 problem, 1 of them mended" in outcome.out
    assert command_line.run("store", "fsck", "--store", root).code == 0


def test_repair_from_a_bundle(command_line: CommandLine, root: Path, sim: RegistrySimulator) -> None:
    """The document names the bundle; no registry is asked."""
    bundle = assemble_bundle(
        lock_of(PLAIN, host=sim.host), LocalStore(root), command_line.folder / "plain.tar.zst"
    ).path
    damage(root)
    outcome = command_line.run("store", "fsck", "--store", root, "--repair-from", bundle, "--json")
    document = outcome.document

    assert (outcome.code, document["unmended"], sim.requests) == (0, 0, [])
    assert document["problems"] == [
        {
            "digest": LOST.digest,
            "kind": "wrong",
            "size": LOST.size,
            "images": [name_of(PLAIN, sim.host)],
            "mended_from": str(bundle),
            "failures": [],
        }
    ]


def test_a_repair_that_fails(command_line: CommandLine, root: Path, sim: RegistrySimulator) -> None:
    """The document is whole, standard error says why, and the exit code is 3."""
    damage(root)
    sim.fail("GET", LOST.digest, status=404, times=None)
    outcome = command_line.run("store", "fsck", "--store", root, "--repair", "--json")

    assert (outcome.code, outcome.document["unmended"]) == (3, 1)
    assert len(outcome.document["problems"][0]["failures"]) == 1
    assert sim.host in outcome.error


def test_no_bundle_to_repair_from(command_line: CommandLine, root: Path) -> None:
    """A bundle that cannot be opened is told before an hour of hashing."""
    outcome = command_line.run("store", "fsck", "--store", root, "--repair-from", "none.tar.zst")

    assert (outcome.code, "cannot open none.tar.zst" in outcome.error) == (1, True)


# gc


def test_a_rehearsal(command_line: CommandLine, root: Path, sim: RegistrySimulator) -> None:
    """Without --delete it is told what would go, and how to have it go."""
    before = files_in(root)
    outcome = command_line.run("store", "gc", "--store", root, "--older-than", "30d")

    assert (outcome.code, before) == (0, files_in(root))
    assert outcome.out.splitlines()[1].startswith(name_of(APP, sim.host))
    assert "would delete 1 image," in outcome.out
    assert "--delete does it" in outcome.err


def test_deleting(command_line: CommandLine, root: Path, sim: RegistrySimulator) -> None:
    """With --delete it goes, and the store is right afterwards."""
    outcome = command_line.run("store", "gc", "--store", root, "--older-than", "30d", "--delete", "--json")
    document = outcome.document

    assert (outcome.code, document["deleted"]) == (0, True)
    assert [each["reference"] for each in document["images"]] == [name_of(APP, sim.host)]
    assert document["remaining_bytes"] == sum(map(len, PLAIN.contents.values()))
    assert blobs_in(LocalStore(root)) == contents_of(PLAIN)
    assert command_line.run("store", "fsck", "--store", root).code == 0


def test_what_stays_beyond_the_size(command_line: CommandLine, root: Path, sim: RegistrySimulator) -> None:
    """A lock that is to be kept counts for more than the size, and that is said."""
    (command_line.folder / "site.lock.json").write_bytes(lock_of(APP, host=sim.host).to_json())
    outcome = command_line.run(
        *("store", "gc", "--store", root, "--max-size", "1KB", "--keep-lock", "site.lock.json", "--delete")
    )

    assert (outcome.code, blobs_in(LocalStore(root))) == (0, contents_of(APP))
    assert "more than --max-size remain" in outcome.err


def test_the_grace(command_line: CommandLine, root: Path) -> None:
    """How long leftovers are kept can be said."""
    partial = root / "partial" / f"sha256-{LOST.digest.hex}"
    partial.write_bytes(b"begun")
    make_older(partial, 2)
    kept = command_line.run("store", "gc", "--store", root, "--json").document
    gone = command_line.run("store", "gc", "--store", root, "--grace", "1d", "--json").document

    assert ([kept["leftovers"], gone["leftovers"]]) == [[], [f"partial/{partial.name}"]]


def test_a_store_in_use(command_line: CommandLine, root: Path) -> None:
    """While somebody has the store open nothing goes, and what would go can be told all the same."""
    opened = LocalStore(root)
    before = files_in(opened.root)
    refused = command_line.run("store", "gc", "--store", root, "--max-size", "0", "--delete")
    told = command_line.run("store", "gc", "--store", root, "--max-size", "0")

    assert (refused.code, "in use by another process; nothing was deleted" in refused.error) == (1, True)
    assert (told.code, before) == (0, files_in(opened.root))


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "an age without a unit": (("--older-than", "30"), "--older-than: '30' cannot be read"),
    "a size of another kind": (("--max-size", "30d"), "--max-size: '30d' cannot be read"),
    "a grace that is none": (("--grace", "soon"), "--grace: 'soon' cannot be read"),
    "no lock": (("--keep-lock", "none.json"), "cannot read none.json"),
    "a lock that is none": (("--keep-lock", "empty.json"), "empty.json is not a bundle lock"),
}


@pytest.mark.parametrize(("arguments", "says"), BAD.values(), ids=BAD)
def test_bad_input(command_line: CommandLine, root: Path, arguments: tuple[str, ...], says: str) -> None:
    """What cannot be understood is named, and nothing goes."""
    (command_line.folder / "empty.json").write_text(json.dumps({}))
    outcome = command_line.run("store", "gc", "--store", root, "--delete", *arguments)

    assert (outcome.code, says in outcome.error) == (2, True)
    assert blobs_in(LocalStore(root)) == contents_of(APP, PLAIN)
