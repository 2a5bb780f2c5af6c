"""Who works in a store, and who may take something away: told between real processes, some of them killed."""

import threading
import time
from pathlib import Path

import pytest

from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import StoreError
from edgelift.store.local import LocalStore
from edgelift.store.sweep import Rules, plan_sweep, sweep_store
from tests.simulators.registry import RegistrySimulator
from tests.store.content import blobs_in, describe, files_in, keep_image, lock_of, make_older
from tests.store.workers import begin, worker

STAY = """
print("open", flush=True)
sys.stdin.readline()
"""
LEAVE = """
del store
print("left", flush=True)
sys.stdin.readline()
"""
BE_ALONE = """
with store.alone(30):
    print("alone", flush=True)
    sys.stdin.readline()
    store.write(describe(b"content"), b"content")
"""
TAKE_TURN = """
with store.alone(30):
    time.sleep(0.1)
print("had its turn", flush=True)
"""
# One run after another: what is there is not fetched, and the bundle is made of all of it.
PULL_AND_ASSEMBLE = """
import random
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.writer import assemble_bundle
from edgelift.oci.credentials import Credentials
from edgelift.oci.pull import pull_content
from edgelift.oci.reference import ImageReference
from edgelift.oci.registry import Registry
from edgelift.transport import TransportSettings

del store
folder, rounds = Path(sys.argv[2]), int(sys.argv[3])
lock = BundleLock.from_json((folder / "lock.json").read_bytes())
registry = Registry(ImageReference.parse(lock.images[0].reference).registry, TransportSettings(), Credentials())
for number in range(rounds):
    content = LocalStore(Path(sys.argv[1]))
    for image in lock.images:
        pull_content(registry, ImageReference.parse(image.reference).repository, image.content, content)
        content.tag({image.reference: image.descriptor})
        time.sleep(random.random() * 0.03)
    assemble_bundle(lock, content, folder / "site.tar.zst")
    del content
    time.sleep(random.random() * 0.3)
print("done", flush=True)
"""
SWEEP_AGAIN_AND_AGAIN = """
from edgelift.store.sweep import Rules, plan_sweep, sweep_store

print("begun", flush=True)
while True:
    with store.alone(60):
        sweep = plan_sweep(store, Rules(grace=0, max_size=0), time.time() + 1)
        sweep_store(store, sweep)
    print(len(sweep.blobs), flush=True)
    time.sleep(0.02)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the store of a test is."""
    return tmp_path / "store"


def test_nothing_goes_while_another_has_the_store_open(root: Path) -> None:
    """Who wants to be alone hears that somebody is there, and what to do about it."""
    refused = pytest.raises(StoreError, match="in use by another process; nothing was deleted")
    with worker(STAY, root), refused as caught:
        LocalStore(root).alone(0).__enter__()

    assert (caught.value.retryable, "--wait" in str(caught.value.hint)) == (True, True)


def test_waiting_for_the_others(root: Path) -> None:
    """The one who waits is alone as soon as the last process that used the store has ended, or was killed."""
    store = LocalStore(root)
    with worker(STAY, root) as process:
        killer = threading.Timer(0.5, process.kill)
        killer.start()
        begun = time.monotonic()
        with store.alone(30):
            waited = time.monotonic() - begun
        killer.join()

    assert 0.3 < waited < 20


def test_a_store_that_nobody_holds_any_more_is_free(root: Path) -> None:
    """A store is in use as long as there is an object for it, not as long as its process lives."""
    with worker(LEAVE, root) as process:
        begin(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "left\n"
        with LocalStore(root).alone(0):
            pass


def test_who_comes_meanwhile_waits(root: Path) -> None:
    """Opening a store takes until what goes is gone, and finds what is there then."""
    with worker(BE_ALONE, root) as process:
        begin(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "alone\n"
        release = threading.Timer(0.5, begin, (process,))
        release.start()
        begun = time.monotonic()
        store = LocalStore(root)
        waited = time.monotonic() - begun
        release.join()

    assert waited > 0.3
    assert store.exists(describe(b"content"))


def test_one_who_is_killed_alone_lets_others_in(root: Path) -> None:
    """The lock dies with its process."""
    with worker(BE_ALONE, root) as process:
        begin(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "alone\n"
        process.kill()
        process.wait()

        assert LocalStore(root).references() == {}


def test_two_who_want_to_be_alone(root: Path) -> None:
    """They do not wait for each other for ever, though each has the store open: each has its turn."""
    with worker(TAKE_TURN, root) as first, worker(TAKE_TURN, root) as second:
        begin(first, second)
        said = [process.communicate(timeout=60)[0] for process in (first, second)]

    assert said == ["had its turn\n"] * 2


def test_runs_and_sweeps_at_the_same_time(root: Path, tmp_path: Path) -> None:
    """A process that pulls and assembles over and over never misses a blob, while another deletes all that it may."""
    images = [
        make_image(f"team/image-{number}", architectures=("amd64", "arm64"), layers=(SampleLayer("tar", 70_000),))
        for number in range(3)
    ]
    with RegistrySimulator(tmp_path / "registry") as sim:
        sim.put_image(*images)
        (tmp_path / "lock.json").write_bytes(lock_of(*images, host=sim.host).to_json())
        with (
            worker(PULL_AND_ASSEMBLE, root, str(tmp_path), "12") as runs,
            worker(SWEEP_AGAIN_AND_AGAIN, root) as sweeps,
        ):
            begin(runs, sweeps)
            said = runs.communicate(timeout=120)[0]
            sweeps.kill()
            swept = sweeps.communicate()[0].split()[1:]

    assert (runs.returncode, said) == (0, "done\n")
    assert sum(int(count) > 0 for count in swept) >= 3, "they hardly met: this proves nothing"


def test_what_is_being_written_by_another_program_stays(root: Path) -> None:
    """A partial download that somebody has locked is no leftover, however old it looks."""
    store = LocalStore(root)
    with store.ingest(describe(b"content")) as partial:
        assert partial is not None
        partial.write(b"cont")
        make_older(root / "partial" / f"sha256-{describe(b'content').digest.hex}", 100)

        held = plan_sweep(store, Rules(grace=0), time.time())
    free = plan_sweep(store, Rules(grace=0), time.time())

    assert ([len(each.leftovers) for each in (held, free)]) == [0, 1]


def test_a_sweep_that_was_killed_is_finished_by_the_next(root: Path) -> None:
    """Names go first: what is left has none, and goes as such."""
    store, image = LocalStore(root), make_image("team/app")
    store.untag([keep_image(store, image, days=40)])
    store.path(image.root.digest).unlink()

    sweep_store(store, plan_sweep(store, Rules(grace=86_400), time.time()))

    assert (blobs_in(store), store.references()) == (set(), {})


def test_a_store_that_cannot_be_written_to_is_read_all_the_same(root: Path) -> None:
    """A medium that nobody can write to may have no lock file: nothing is deleted there, either."""
    store = LocalStore(root)
    store.write(describe(b"content"), b"content")
    (root / "use.lock").unlink()
    (root / "use.lock").symlink_to("nowhere/at-all")  # no file can be made there, nor opened

    again = LocalStore(root)

    assert b"".join(again.read(describe(b"content"))) == b"content"
    with pytest.raises(StoreError, match="nothing can be changed"):
        again.alone(0).__enter__()
    assert files_in(root / "quarantine") == {}
