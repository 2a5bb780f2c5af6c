"""`edgelift diff`: what changes from one bundle or lock to another."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.demo.content import SampleLayer, make_image
from tests.cli.commands import CommandLine, make_bundle, references
from tests.simulators.registry import RegistrySimulator

LAYER = SampleLayer("tar", 50_000, seed="shared")
APP = make_image("team/app", layers=(LAYER,))
NEW_APP = make_image("team/app", layers=(LAYER, SampleLayer("gzip", 3_000)))
PLAIN = make_image("team/plain", layers=(LAYER,))
OTHER = make_image("team/other", architectures=("amd64", "arm64"))


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistrySimulator]:
    """A registry where a tag moves and images come and go."""
    with RegistrySimulator(tmp_path_factory.mktemp("registry")) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def bundles(sim: RegistrySimulator, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A bundle of yesterday and one of today, with their locks beside them."""
    folder = tmp_path_factory.mktemp("given")
    sim.put_image(APP, PLAIN)
    before = make_bundle(folder / "before", sim.host, APP, PLAIN)
    sim.put_image(NEW_APP, OTHER)
    return before, make_bundle(folder / "after", sim.host, NEW_APP, OTHER)


def test_the_table(command_line: CommandLine, bundles: tuple[Path, Path], sim: RegistrySimulator) -> None:
    """A row a change, with digests and who asked for it, then the sums."""
    outcome = command_line.run("diff", *bundles)
    rows = [line.split()[:2] for line in outcome.out.splitlines()]

    assert (outcome.code, outcome.err) == (0, "")
    assert rows[:4] == [
        ["CHANGE", "IMAGE"],
        ["added", references(sim.host, OTHER)[0]],
        ["removed", references(sim.host, PLAIN)[0]],
        ["moved", references(sim.host, APP)[0]],
    ]
    assert f"{APP.root.digest[:19]} → {NEW_APP.root.digest[:19]}" in outcome.out
    assert "1 added, 1 removed, 1 moved, 0 as before" in outcome.out


def test_the_document(command_line: CommandLine, bundles: tuple[Path, Path], sim: RegistrySimulator) -> None:
    """The same for scripts: digests in full, bytes each way."""
    document = command_line.run("diff", *bundles, "--json").document
    (moved,) = document["moved"]

    assert (moved["before"], moved["after"]) == (APP.root.digest, NEW_APP.root.digest)
    assert [[each["reference"] for each in document[key]] for key in ("added", "removed")] == [
        references(sim.host, OTHER),
        references(sim.host, PLAIN),
    ]
    before, after = ({**first.contents, **second.contents} for first, second in ((APP, PLAIN), (NEW_APP, OTHER)))
    sizes = {name: document[name]["bytes"] for name in ("arriving", "leaving", "shared")}
    assert sizes == {
        "arriving": sum(len(raw) for digest, raw in after.items() if digest not in before),
        "leaving": sum(len(raw) for digest, raw in before.items() if digest not in after),
        "shared": sum(len(raw) for digest, raw in after.items() if digest in before),
    }


def test_locks_and_bundles_are_the_same_to_it(command_line: CommandLine, bundles: tuple[Path, Path]) -> None:
    """Either side may be a bundle or its lock."""
    locks = [path.with_name("site.lock.json") for path in bundles]
    answers = [command_line.run("diff", *pair, "--json").document for pair in (bundles, locks, (bundles[0], locks[1]))]
    for answer in answers:
        del answer["before"], answer["after"]

    assert answers[0] == answers[1] == answers[2]


def test_no_difference(command_line: CommandLine, bundles: tuple[Path, Path]) -> None:
    """Without a change there is no table."""
    outcome = command_line.run("diff", bundles[0], bundles[0])

    assert (outcome.code, outcome.out.splitlines()[0]) == (0, "0 added, 0 removed, 0 moved, 2 as before")


def test_what_is_neither(command_line: CommandLine, bundles: tuple[Path, Path]) -> None:
    """The file that cannot be read is named."""
    (command_line.folder / "empty.json").write_text(json.dumps({}))
    (command_line.folder / "empty.tar.zst").touch()
    for wrong, code in (("empty.json", 2), ("none.json", 2), ("empty.tar.zst", 1), ("none.tar.zst", 1)):
        outcome = command_line.run("diff", bundles[0], wrong)

        assert (outcome.code, wrong in outcome.error) == (code, True)
