"""Faults F13 and F14: processes that are killed at any moment, and processes that are told to end."""

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgelift.bundle.verify import verify_bundle
from edgelift.demo.content import SampleImage, SampleLayer, make_image
from edgelift.store.local import LocalStore
from tests.cli.commands import EDGELIFT, CommandLine
from tests.faults.children import Children, Outcome
from tests.faults.jobs import Job
from tests.faults.parts import (
    assert_nothing_wrong_has_a_name,
    assert_store_is_whole,
    assert_tags_are_whole,
    layer_of,
    leftovers,
    make_bulk,
    names_in,
    read_lock,
    received_blobs,
    sent_blobs,
    size_of,
    write_lock,
)
from tests.faults.table import Notes
from tests.simulators.registry import RegistrySimulator

MIB = 2**20
KILLS = 50
LAYERS = (  # MiB, image by image: one GiB
    *((128, 24), (104, 40), (100, 28, 4), (64, 64, 8), (96, 2, 2), (48, 48), (72,), (32, 16, 8, 8)),
    *((40, 1, 1, 1, 1), (20, 20), (30,), (14,)),
)
MEMORY = 150 * MIB
SIGKILL = -signal.SIGKILL
APP = make_image("team/app", layers=(SampleLayer("tar", 300_000), SampleLayer("gzip", 20_000)))
PAIR = make_image("team/pair", architectures=("amd64", "arm64"), layers=(SampleLayer("tar", 90_000),))
TINY = make_image("team/tiny", layers=(SampleLayer("tar", 300_000),))


@pytest.fixture
def target(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """An empty registry to push to."""
    with RegistrySimulator(tmp_path / "target") as simulator:
        yield simulator


# F13: any moment


@pytest.fixture
def gibibyte(sim: RegistrySimulator, tmp_path: Path) -> list[SampleImage]:
    """The registry filled with a GiB of images; their bytes are not kept in memory."""
    images = []
    for number, sizes in enumerate(LAYERS):
        image = make_bulk(f"team/bulk-{number:02}", sizes)
        put_straight(tmp_path / "registry", image)
        sim.put_image(replace(image, blobs=()))
        images.append(replace(image, contents={}))
    return images


def put_straight(root: Path, image: SampleImage) -> None:
    """Put the blobs where the registry in `root` looks for them, without its checks: for much content."""
    for blob in image.blobs:
        content = root / "blobs" / "sha256" / blob.digest.hex
        link = root / "repositories" / image.repository / "_blobs" / "sha256" / blob.digest.hex
        for path in (content, link):
            path.parent.mkdir(parents=True, exist_ok=True)
        content.write_bytes(image.contents[blob.digest])
        link.touch()


def moments(total: int) -> list[tuple[int, float]]:
    """When to kill: after so many bytes of all, and so many seconds more. Some come before anything is asked for."""
    chance = random.Random(13)
    places = sorted(chance.randrange(total) for _ in range(KILLS - 5))
    return [(0, chance.uniform(0, 0.2)) for _ in range(5)] + [(place, chance.uniform(0, 0.03)) for place in places]


def kill_at(children: Children, job: Job, sim: RegistrySimulator, place: int, delay: float) -> Outcome:
    """Start the job, and kill it after `place` bytes of all runs and `delay` seconds."""
    child = children.start(job)
    while sent_blobs(sim) < place and child.is_running:
        time.sleep(0.002)
    time.sleep(delay)
    child.kill()
    return child.wait()


@pytest.mark.timeout(600)
def test_f13_fifty_kills_in_a_gibibyte(
    *,
    sim: RegistrySimulator,
    gibibyte: list[SampleImage],
    children: Children,
    tmp_path: Path,
    note: Notes,
) -> None:
    """Fifty kills at random moments of the sync of a GiB cost at most 5 %, and leave the store as one run would have.

    Bodies come in pieces of 64 KiB, so that what was on the way at a kill is no more than a line of that speed holds.
    """
    lock, needed = write_lock(tmp_path / "lock.json", sim.host, *gibibyte), size_of(*gibibyte)
    sim.forget_requests()
    sim.drip("/blobs/", piece=64 * 1024, pause=0.004, times=None)
    job = Job(("pull",), str(lock), str(tmp_path / "store"))
    killed = [kill_at(children, job, sim, place, delay) for place, delay in moments(needed)]
    sim.heal()
    last = children.run(job)

    moved, store = sent_blobs(sim), LocalStore(tmp_path / "store")
    assert needed >= 1024 * MIB
    assert [outcome.code for outcome in killed] == [SIGKILL] * KILLS
    assert (last.code, last.said) == (0, "")
    assert moved - needed <= needed * 0.05
    assert_store_is_whole(store, *gibibyte)
    at_once = LocalStore(tmp_path / "at-once")
    for image in read_lock(lock).images:
        at_once.tag({image.reference: image.descriptor})
    assert (store.root / "index.json").read_bytes() == (at_once.root / "index.json").read_bytes()
    memory = max(outcome.memory for outcome in (*killed, last))
    assert memory <= MEMORY
    note(
        f"{KILLS} SIGKILLs at random moments of the pull of 1 GiB ({len(gibibyte)} images)",
        f"converged, the store as after one run; at most {memory // MIB} MiB of memory",
        moved=moved,
        needed=needed,
    )


# F13: every moment


def test_f13_a_kill_before_every_change_of_the_disk(
    *, sim: RegistrySimulator, target: RegistrySimulator, children: Children, tmp_path: Path, note: Notes
) -> None:
    """Pull, assemble, push: killed before each single change of the disk, nothing wrong has a name, a re-run completes.

    The child's interpreter is told to kill itself before the n-th call that changes a disk; n grows until none is left.
    """
    sim.put_image(TINY)
    lock = write_lock(tmp_path / "lock.json", sim.host, TINY)
    sim.forget_requests()
    count, twice = 1, 0
    while True:
        folder = tmp_path / f"crash-{count}"
        folder.mkdir()
        steps = ("build", "push", "validate")
        base = f"edge-{count}x"
        job = Job(steps, str(lock), str(folder / "store"), str(folder / "site.tar.zst"), f"{target.host}/{base}")
        outcome = children.run(replace(job, crash=count))
        if outcome.code == 0:
            break
        assert outcome.code == SIGKILL, outcome.said
        _look(folder, target, base)
        again = children.run(job)
        assert (again.code, again.said) == (0, "")
        store = LocalStore(folder / "store")
        assert_nothing_wrong_has_a_name(store)
        assert names_in(store.root / "partial") == set()
        assert {name for name in leftovers(store) if not name.startswith(".oci-layout.")} == set()
        verify_bundle(folder / "site.tar.zst")
        assert len(assert_tags_are_whole(target, base)) == 1
        moved = sent_blobs(sim)
        twice = max(twice, moved - size_of(TINY))
        sim.forget_requests()
        count += 1

    assert count > 30
    assert twice <= size_of(TINY)
    note(
        f"a kill before each of the {count - 1} changes of the disk in pull, assemble and push",
        "nothing wrong has a name, the bundle's name only when whole, every re-run completes; the worst of them",
        moved=size_of(TINY) + twice,
        needed=size_of(TINY),
    )


def _look(folder: Path, target: RegistrySimulator, base: str) -> None:
    """What has to be true after a crash, before anything is run again (I2, I7)."""
    if (folder / "store" / "blobs" / "sha256").exists():
        for path in (folder / "store" / "blobs" / "sha256").iterdir():
            assert path.is_file()
        assert_nothing_wrong_has_a_name(LocalStore(folder / "store"))
    if (folder / "site.tar.zst").exists():
        verify_bundle(folder / "site.tar.zst")
    assert_tags_are_whole(target, base)


# F13: between the steps of a push


MOMENTS: dict[str, tuple[str, str]] = {
    "POST of an upload": ("POST", "/uploads/$"),
    "PUT of a blob": ("PUT", "/uploads/"),
    "PUT of a manifest by digest": ("PUT", "/manifests/sha256"),
    "PUT of the tag": ("PUT", "/manifests/1.0$"),
}


@pytest.mark.parametrize("is_done", [False, True], ids=["before it is done", "after it is done"])
@pytest.mark.parametrize(("what", "request_"), MOMENTS.items(), ids=MOMENTS)
def test_f13_a_kill_between_the_steps_of_a_push(
    *,
    what: str,
    request_: tuple[str, str],
    is_done: bool,
    sim: RegistrySimulator,
    target: RegistrySimulator,
    children: Children,
    tmp_path: Path,
    note: Notes,
) -> None:
    """A push that dies at a request leaves no tag that leads nowhere; the next one sends only what is missing."""
    sim.put_image(PAIR)
    lock, method, path = write_lock(tmp_path / "lock.json", sim.host, PAIR), *request_
    job = Job(("push",), str(lock), str(tmp_path / "store"), "", f"{target.host}/edge")
    assert children.run(replace(job, steps=("pull",))).code == 0
    if is_done:
        target.hold_answer(method, path)
    else:
        target.stall(method, path, after_bytes=None)
    child = children.start(job)
    while target.count(method, path) == 0 and child.is_running:
        time.sleep(0.005)
    time.sleep(0.1)  # for what is done before the answer
    child.kill()
    assert child.wait().code == SIGKILL
    assert_tags_are_whole(target)

    target.heal()
    again = children.run(replace(job, steps=("push", "validate")))

    moved, needed = received_blobs(target), size_of(PAIR)
    assert (again.code, again.said) == (0, "")
    assert len(assert_tags_are_whole(target)) == 1
    when = "after it was done" if is_done else "before it was done"
    note(f"a kill at the {what}, {when}", "no tag without its tree; the re-run completed", moved=moved, needed=needed)


# F14


def test_f14_told_to_end(sim: RegistrySimulator, tmp_path: Path, note: Notes) -> None:
    """Although a registry is silent, a command that is told to end does so within ten seconds, with the right code."""
    sim.put_image(APP)
    lock = write_lock(tmp_path / "lock.json", sim.host, APP)
    place = (*("--registry", sim.host), *("--map", f"{sim.host}={sim.host}"))
    arguments = ("validate", "--lock", str(lock), *place, "--deep")
    command = CommandLine(tmp_path)
    environment = command.full_environment
    sim.stall("GET", "/blobs/", after_bytes=1000, times=None)
    numbers = (signal.SIGINT, signal.SIGTERM)
    processes = [
        subprocess.Popen(
            [EDGELIFT, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in numbers
    ]
    while sim.count("GET", layer_of(APP).digest) < len(numbers) and None in (each.poll() for each in processes):
        time.sleep(0.02)
    begun = time.monotonic()
    for process, number in zip(processes, numbers, strict=True):
        process.send_signal(number)
    said = [process.communicate(timeout=60)[1] for process in processes]
    seconds = time.monotonic() - begun

    assert [process.returncode for process in processes] == [130, 143]
    assert seconds <= 10
    assert ["run the same command again: it continues" in each for each in said] == [True, True]
    assert "Traceback" not in "".join(said)
    sim.heal()
    assert command.run(*arguments).code == 0
    note("SIGINT and SIGTERM while a registry is silent", "exit 130 and 143 within ten seconds; then completed")
