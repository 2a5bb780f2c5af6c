"""Faults F23, F28 and F30: several runs at once, targets that will never take something, and small machines."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import RefusedError, RegistryError
from edgelift.store.local import LocalStore
from tests.cli.commands import CommandLine, make_bundle
from tests.faults.children import Children, run_alone
from tests.faults.jobs import Job
from tests.faults.parts import (
    Place,
    assert_store_is_whole,
    assert_tags_are_whole,
    fill_store,
    make_bulk,
    open_registry,
    push,
    received_blobs,
    sent_blobs,
    size_of,
    tagged,
    write_lock,
)
from tests.faults.table import Notes
from tests.simulators.registry import RegistrySimulator

MIB = 2**20
LARGE_BLOB = 272 * MIB
ADDRESS_SPACE = 256 * MIB
SHARED = SampleLayer("tar", 600_000, seed="in all of them")
IMAGES = [make_image(f"team/app-{number}", layers=(SHARED, SampleLayer("tar", 200_000))) for number in range(4)]


@pytest.fixture
def target(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """An empty registry to push to."""
    with RegistrySimulator(tmp_path / "target") as simulator:
        yield simulator


# F23


def test_f23_two_runs_on_one_store(sim: RegistrySimulator, tmp_path: Path, note: Notes) -> None:
    """Two processes that pull the same images into one store fetch each blob once, and leave what one would have."""
    sim.put_image(*IMAGES)
    lock = write_lock(tmp_path / "lock.json", sim.host, *IMAGES)
    sim.forget_requests()
    sim.drip("/blobs/", piece=20_000, pause=0.02, times=None)  # so that they really meet
    both = Job(("build",), str(lock), str(tmp_path / "store"), str(tmp_path / "site.tar.zst"))
    alone = Job(("build",), str(lock), str(tmp_path / "store-of-one"), str(tmp_path / "one.tar.zst"))
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(run_alone, [both, both]))

    moved, store = sent_blobs(sim), LocalStore(tmp_path / "store")
    assert [(outcome.code, outcome.said) for outcome in outcomes] == [(0, "")] * 2
    digests = {blob.digest for image in IMAGES for blob in image.blobs}
    assert [sim.count("GET", digest) for digest in digests] == [1] * len(digests)
    assert_store_is_whole(store, *IMAGES)
    sim.heal()
    assert run_alone(alone).code == 0
    assert (tmp_path / "site.tar.zst").read_bytes() == (tmp_path / "one.tar.zst").read_bytes()
    assert (store.root / "index.json").read_bytes() == (tmp_path / "store-of-one" / "index.json").read_bytes()
    note(
        "two runs at once on one store and one bundle",
        "both done, each blob fetched once, store and bundle as after one run",
        moved=moved,
        needed=size_of(*IMAGES),
    )


def test_f23_a_killed_run_locks_nobody_out(
    sim: RegistrySimulator, children: Children, tmp_path: Path, note: Notes
) -> None:
    """The locks of a run that was killed are gone with it: the next one does not wait."""
    sim.put_image(*IMAGES)
    lock = write_lock(tmp_path / "lock.json", sim.host, *IMAGES)
    sim.forget_requests()
    sim.stall("GET", "/blobs/", after_bytes=100_000, times=None)
    job = Job(("pull",), str(lock), str(tmp_path / "store"))
    child = children.start(job)
    while sent_blobs(sim) < 200_000 and child.is_running:
        pass
    child.kill()
    child.wait()
    sim.heal()
    outcome = children.run(job)

    assert (outcome.code, outcome.said) == (0, "")
    assert_store_is_whole(LocalStore(tmp_path / "store"), *IMAGES)
    note("locks of a killed run", "gone with it; continued", moved=sent_blobs(sim), needed=size_of(*IMAGES))


def test_f23_two_runs_to_one_target(
    sim: RegistrySimulator, target: RegistrySimulator, tmp_path: Path, note: Notes
) -> None:
    """Two processes that push the same images to one registry both succeed, and every tag leads to all of its tree."""
    sim.put_image(*IMAGES)
    lock = write_lock(tmp_path / "lock.json", sim.host, *IMAGES)
    job = Job(("push", "validate"), str(lock), str(tmp_path / "store"), "", f"{target.host}/edge")
    assert run_alone(Job(("pull",), str(lock), str(tmp_path / "store"))).code == 0
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(run_alone, [job, job]))

    moved, needed = received_blobs(target), size_of(*IMAGES)
    assert [(outcome.code, outcome.said) for outcome in outcomes] == [(0, "")] * 2
    assert len(assert_tags_are_whole(target)) == len(IMAGES)
    assert moved <= 2 * needed
    note("two runs at once to one target", "both done and validated", moved=moved, needed=needed)


# F28


NEVER: dict[str, tuple[str, str, int, str]] = {
    "read-only: 405 at the upload": ("POST", "/uploads/", 405, "UNSUPPORTED"),
    "quota: 403 at the blob": ("PUT", "/uploads/", 403, "DENIED"),
    "quota: 412 at the manifest": ("PUT", "/manifests/", 412, "PRECONDITION"),
    "immutable tag: 400": ("PUT", "/manifests/1.0$", 400, "TAG_INVALID"),
    "immutable tag: 409": ("PUT", "/manifests/1.0$", 409, "CONFLICT"),
    "unknown media type: 415": ("PUT", "/manifests/", 415, "MANIFEST_INVALID"),
    "too large a blob: 413": ("PUT", "/uploads/", 413, "SIZE_INVALID"),
    "too large a manifest: 413": ("PUT", "/manifests/", 413, "SIZE_INVALID"),
}


@pytest.mark.parametrize(("what", "refusal"), NEVER.items(), ids=NEVER)
def test_f28_a_target_that_will_never_take_it(
    what: str, refusal: tuple[str, str, int, str], target: RegistrySimulator, store: LocalStore, note: Notes
) -> None:
    """What will never be taken is asked once and not again, is no reason to retry, and stops no other image."""
    method, path, status, code = refusal
    fill_store(store, *IMAGES[:3])
    places = [Place(f"edge/app-{number}") for number in range(3)]
    target.fail(method, f"edge/app-1{'.*' if path.startswith('/') else ''}{path}", status=status, code=code, times=None)
    registry, failures = open_registry(target.host), {}
    for image, place in zip(IMAGES, places, strict=False):
        try:
            push(store, registry, image, place)
        except RegistryError as error:
            failures[place.repository] = error

    assert list(failures) == ["edge/app-1"]
    error = failures["edge/app-1"]
    assert (error.status, error.retryable) == (status, False)
    assert target.host in error.message
    assert "edge/app-1" in error.message
    assert isinstance(error, RefusedError) == (status != 403)
    assert target.count(method, "app-1", status) <= (len(IMAGES[1].blobs) if "/uploads/" in path else 1)
    assert [tagged(target, image, place) for image, place in zip(IMAGES, places, strict=False)] == [True, False, True]
    assert_tags_are_whole(target)
    note(what, "refused at once, not retryable; the other images done")


def test_f28_the_command_reports_what_is_refused(
    api: str, sim: RegistrySimulator, target: RegistrySimulator, tmp_path: Path, note: Notes
) -> None:
    """A push of which one image is refused ends with 3, names that one with the reason, and has done the rest."""
    sim.put_image(*IMAGES)
    bundle = make_bundle(tmp_path / "given", sim.host, *IMAGES)
    target.fail("PUT", "app-1/manifests/1.0$", status=409, code="TAG_IMMUTABLE", times=None)
    arguments = ("push", "--file", bundle, "--registry", f"{target.host}/edge", "--output", "out")
    outcome = CommandLine(tmp_path, {"PREFECT_API_URL": api}).run(*arguments)

    assert (outcome.code, "Traceback" in outcome.err) == (3, False)
    assert outcome.error.startswith("1 of 4 images could not be pushed; the others are done and stay done")
    assert "team/app-1:1.0: " in outcome.error
    assert "409 TAG_IMMUTABLE" in outcome.error
    assert "team/app-2:1.0: " not in outcome.error
    assert len(assert_tags_are_whole(target)) == 3
    note("`edgelift push` with one immutable tag", "exit 3, that image named with the reason, the other three done")


# F30


def test_f30_few_files_may_be_open(
    sim: RegistrySimulator, target: RegistrySimulator, children: Children, tmp_path: Path, note: Notes
) -> None:
    """With 64 open files forty images are pulled, assembled, pushed and validated: nothing leaks."""
    images = [
        make_image(f"team/small-{number}", layers=(SampleLayer("tar", 3000), SampleLayer())) for number in range(40)
    ]
    sim.put_image(*images)
    lock = write_lock(tmp_path / "lock.json", sim.host, *images)
    sim.forget_requests()
    steps = ("build", "push", "validate")
    job = Job(steps, str(lock), str(tmp_path / "store"), str(tmp_path / "site.tar.zst"), f"{target.host}/edge")
    outcome = children.run(
        Job(*(job.steps, job.lock, job.store, job.bundle, job.target), limits=(("RLIMIT_NOFILE", 64),), images=8)
    )

    assert (outcome.code, outcome.said) == (0, "")
    assert len(assert_tags_are_whole(target)) == 40
    note("`ulimit -n 64`, 40 images", "pulled, pushed, validated", moved=sent_blobs(sim), needed=size_of(*images))


def test_f30_little_memory(sim: RegistrySimulator, target: RegistrySimulator, tmp_path: Path, note: Notes) -> None:
    """A blob that is larger than the memory a process may have is pulled, assembled and pushed."""
    image = make_bulk("team/large", (LARGE_BLOB // MIB,))
    sim.put_image(image)
    lock = write_lock(tmp_path / "lock.json", sim.host, image)
    sim.forget_requests()
    job = Job(
        ("build", "push"),
        str(lock),
        str(tmp_path / "store"),
        str(tmp_path / "site.tar.zst"),
        f"{target.host}/edge",
        limits=(("RLIMIT_AS", ADDRESS_SPACE),),
        images=1,
    )
    outcome = run_alone(job, environment={"MALLOC_ARENA_MAX": "2"})

    assert (outcome.code, outcome.said) == (0, "")
    assert len(assert_tags_are_whole(target)) == 1
    note(
        f"`ulimit -v` {ADDRESS_SPACE // MIB} MiB, a blob of {LARGE_BLOB // MIB} MiB",
        "pulled, assembled, pushed",
        moved=sent_blobs(sim),
        needed=size_of(image),
    )
