"""Deltas on the command line: what is told of them, and what is refused before anything begins."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.writer import assemble_bundle
from edgelift.delivery.base import Base, leave_out
from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import ConfigurationError
from edgelift.site import RegistryAccess
from tasks.plan import plan_lock, replay_lock
from tests.cli.commands import CommandLine, make_bundle, read_lock, references
from tests.simulators.registry import RegistrySimulator

SHARED = SampleLayer("gzip", 50_000, seed="shared")
OLD = make_image("team/app", tag="1", layers=(SHARED,))
NEW = make_image("team/app", tag="2", layers=(SHARED, SampleLayer("gzip", 3_000)))
LAYER = next(blob for blob in OLD.blobs if blob in NEW.blobs)


@dataclass(frozen=True)
class Given:
    """A registry that is source and target, yesterday's bundle, and today's as a delta of it."""

    sim: RegistrySimulator
    before: Path
    after: Path
    delta: Path

    @property
    def base(self) -> Path:
        """The lock of yesterday's bundle."""
        return self.before.with_name("before.lock.json")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    """All of it, made once."""
    folder = tmp_path_factory.mktemp("given")
    with RegistrySimulator(folder / "registry") as sim:
        sim.put_image(OLD, NEW)
        before = make_bundle(folder / "before", sim.host, OLD, name="before")
        after = make_bundle(folder / "after", sim.host, NEW, name="after")
        standing = read_lock(before)
        with BundleReader.open(after) as whole:
            lock = leave_out(whole.lock, Base(standing, standing.images))
            delta = assemble_bundle(lock, whole, folder / "delta.tar.zst").path
        yield Given(sim, before, after, delta)


def test_a_plan_on_top_of_a_base(command_line: CommandLine, given: Given) -> None:
    """The lock says what it leaves out, and the plan says how much that is."""
    asked = ("--image", *references(given.sim.host, NEW), "--name", "after", "--store", "store")
    outcome = command_line.run("plan", *asked, "--base", given.base, "--output", "l.json", "--json")

    lock = BundleLock.from_json((command_line.folder / "l.json").read_bytes())
    assert (outcome.code, lock.left_out) == (0, {LAYER.digest})
    assert outcome.document["base"] == {
        "name": "before",
        "lock": read_lock(given.before).digest,
        "left_out_blobs": 1,
        "left_out_bytes": LAYER.size,
    }


def test_a_plan_says_whether_the_base_is_there(command_line: CommandLine, given: Given, tmp_path: Path) -> None:
    """With a target, what is left out is looked for before the lock is written."""
    with RegistrySimulator(tmp_path / "empty") as empty:
        asked = ("--image", *references(given.sim.host, NEW), "--store", "store", "--registry", empty.host)
        outcome = command_line.run("plan", *asked, "--base", given.base, "--output", "l.json")
        rehearsed = command_line.run("push", "--file", given.delta, "--registry", empty.host, "--dry-run")
        methods = {each.method for each in empty.requests}

    assert (outcome.code, rehearsed.code) == (1, 1)
    assert all("delta of before" in each.error for each in (outcome, rehearsed))
    assert methods <= {"GET", "HEAD"}
    assert not (command_line.folder / "l.json").exists()


def test_where_nothing_is_common_all_is_carried(command_line: CommandLine, given: Given, tmp_path: Path) -> None:
    """A base without any of these blobs is a warning, and no base of the lock."""
    given.sim.put_image(other := make_image("team/strange"))
    strange = make_bundle(tmp_path / "strange", given.sim.host, other, name="strange")
    asked = ("--image", *references(given.sim.host, NEW), "--store", "store")
    outcome = command_line.run("plan", *asked, "--base", strange, "--json")

    assert (outcome.code, outcome.document["base"]) == (0, None)
    assert "has brought none of these blobs" in outcome.err


def test_a_build_does_not_replace_its_base(given: Given, tmp_path: Path) -> None:
    """Planned anew or from its lock, a delta under the name of its base is refused, and the base stays as it is."""
    folder, lock_file, before = str(given.before.parent), tmp_path / "delta.lock.json", given.before.read_bytes()
    with BundleReader.open(given.delta) as delta:
        lock_file.write_bytes(delta.lock.to_json())
    image = RequestedImage(reference=references(given.sim.host, NEW)[0])
    definition, store = BundleDefinition(name="before", images=(image,)), str(tmp_path / "store")

    with pytest.raises(ConfigurationError, match="is the base of this delta"):
        plan_lock.fn(definition, RegistryAccess(), store, folder, base=str(given.base))
    with pytest.raises(ConfigurationError, match="is the base of this delta"):
        replay_lock.fn(str(lock_file), "before", store, folder)
    assert given.before.read_bytes() == before


def test_what_is_told_of_a_delta(command_line: CommandLine, given: Given) -> None:
    """Who looks at it, or verifies it, hears of the base and of how much is not in the file."""
    inspected, verified = command_line.run("inspect", given.delta), command_line.run("verify", given.delta)

    for outcome in (inspected, verified):
        assert outcome.code == 0
        assert f"delta of before, lock {read_lock(given.before).digest}" in outcome.out
        assert "left out, since the site has them from there: 1 blob," in outcome.out


def test_a_difference_is_one_of_images(command_line: CommandLine, given: Given) -> None:
    """A delta is compared as the whole bundle is."""
    documents = [command_line.run("diff", given.before, each, "--json").document for each in (given.after, given.delta)]

    assert [each.pop("after") for each in documents] == [str(given.after), str(given.delta)]
    assert documents[0] == documents[1]
    assert documents[0]["shared"]["bytes"] >= LAYER.size


REFUSED = {
    "to serve it": (("serve", "{delta}"), 1, "leaves out 1 blob: it is a delta of before"),
    "a base that is not there": (("build", "--name", "x", "--image", "nginx", "--base", "no.json"), 2, "no.json"),
    "a base that is no bundle": (("build", "--name", "x", "--image", "nginx", "--base", "{registry}"), 1, "not a file"),
    "a base for a lock": (("build", "--name", "x", "--lock", "{base}", "--base", "{base}"), 2, "leave out --base"),
    "a base to compare with": (("build", "--check", "{delta}", "--base", "{base}"), 2, "--check builds nothing"),
    "bundles that are not there": (
        ("build", "--name", "x", "--image", "nginx", "--existing-bundles", "no.tar.zst"),
        2,
        "there is no no.tar.zst",
    ),
    "excluded profiles for a lock": (
        ("build", "--name", "x", "--lock", "{base}", "--exclude-profiles", "infra"),
        2,
        "--lock is built as it is",
    ),
}


@pytest.mark.parametrize(("arguments", "code", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(
    command_line: CommandLine, given: Given, arguments: tuple[str, ...], code: int, says: str
) -> None:
    """Told at once, before Prefect starts or a port is opened."""
    places = {"delta": given.delta, "base": given.base, "registry": given.before.parent}
    outcome = command_line.run(*(each.format(**places) for each in arguments))

    assert outcome.code == code
    assert says in outcome.error
