"""Several threads and processes in one store, one of them killed, and a disk that is full."""

import fcntl
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from edgelift.errors import UnreachableError
from edgelift.oci.content import CHUNK
from edgelift.store.local import LocalStore
from tests.store.content import describe, files_in, make_bytes
from tests.store.workers import begin, worker

SIZE = 4 * CHUNK + 11
INGEST = """
content = make_bytes(int(sys.argv[2]))
with store.ingest(describe(content)) as partial:
    if partial is None:
        print("was there")
    else:
        for start in range(0, len(content), 100_000):
            partial.write(content[start : start + 100_000])
            time.sleep(0.02)
        partial.commit()
        print("brought it")
"""
STOP_HALFWAY = """
content = make_bytes(int(sys.argv[2]))
with store.ingest(describe(content)) as partial:
    partial.write(content[:700_000])
    print("half", flush=True)
    time.sleep(60)
"""
FILL_THE_DISK = """
content = make_bytes(int(sys.argv[2]))
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    with store.ingest(describe(content)) as partial:
        for start in range(0, len(content), 100_000):
            partial.write(content[start : start + 100_000])
        partial.commit()
except StoreError as error:
    print(error)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the store of a test is."""
    return tmp_path / "store"


def test_two_processes_bring_a_blob_once(root: Path) -> None:
    """The second waits for the first and then finds the content there: nothing is fetched twice."""
    with worker(INGEST, root, str(SIZE)) as first, worker(INGEST, root, str(SIZE)) as second:
        begin(first, second)
        said = sorted(process.communicate(timeout=60)[0] for process in (first, second))

    assert said == ["brought it\n", "was there\n"]
    assert make_bytes(SIZE) == b"".join(LocalStore(root).read(describe(make_bytes(SIZE))))
    assert files_in(root / "partial") == {}


def test_a_killed_process_is_continued(root: Path) -> None:
    """What a killed process had written is there, its lock is not, and only the rest is fetched."""
    content = make_bytes(SIZE)
    with worker(STOP_HALFWAY, root, str(SIZE)) as process:
        begin(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.kill()
        process.wait()

    store = LocalStore(root)
    assert not store.exists(describe(content))
    with store.ingest(describe(content)) as partial:
        assert partial is not None
        assert partial.offset == 700_000
        partial.write(content[partial.offset :])
        partial.commit()

    assert content == b"".join(store.read(describe(content)))


def test_a_full_disk_says_what_is_needed(root: Path) -> None:
    """The error names what is needed, what is free, and that a re-run continues; no blob gets its name."""
    with worker(FILL_THE_DISK, root, str(SIZE)) as process:
        begin(process)
        said = process.communicate(timeout=60)[0]

    digest = describe(make_bytes(SIZE)).digest
    assert f"cannot write {digest} into {root}: the disk is full" in said
    assert f"{SIZE:,} bytes are needed, " in said
    assert " bytes are free\n" in said
    assert "run the same command again: it continues" in said
    assert files_in(root / "blobs") == {}
    assert {f"sha256-{digest.hex}": make_bytes(SIZE)[:300_000]} == files_in(root / "partial")


def test_after_a_full_disk_it_goes_on(root: Path) -> None:
    """With room again, the rest is written behind what had fitted."""
    content = make_bytes(SIZE)
    with worker(FILL_THE_DISK, root, str(SIZE)) as process:
        begin(process)
        process.wait(timeout=60)

    with LocalStore(root).ingest(describe(content)) as partial:
        assert partial is not None
        assert partial.offset == 300_000
        partial.write(content[partial.offset :])
        partial.commit()

    assert content == b"".join(LocalStore(root).read(describe(content)))


def bring(store: LocalStore, content: bytes, brought: list[int]) -> None:
    """Bring `content` slowly, noting in `brought` how much had to be written."""
    with store.ingest(describe(content)) as partial:
        if partial is None:
            brought.append(0)
            return
        for start in range(partial.offset, len(content), CHUNK):
            partial.write(content[start : start + CHUNK])
            time.sleep(0.01)
        partial.commit()
        brought.append(len(content))


@pytest.mark.parametrize("stores", [1, 6], ids=["in one store object", "each with its own"])
def test_threads_bring_a_blob_once(root: Path, stores: int) -> None:
    """However many tasks want a layer, one writes and the others find it there."""
    content = make_bytes(SIZE)
    opened = [LocalStore(root) for _ in range(stores)]
    brought: list[int] = []
    threads = [threading.Thread(target=bring, args=(opened[number % stores], content, brought)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(brought) == [0, 0, 0, 0, 0, SIZE]
    assert files_in(root / "partial") == {}


def test_different_blobs_do_not_wait(root: Path) -> None:
    """While one blob is on its way, others come and go."""
    store = LocalStore(root)
    with store.ingest(describe(b"slow")) as slow:
        assert slow is not None
        store.write(describe(b"quick"), b"quick")
        slow.write(b"slow")
        slow.commit()

    assert (store.exists(describe(b"slow")), store.exists(describe(b"quick"))) == (True, True)


def test_who_waits_continues_where_the_other_failed(root: Path) -> None:
    """A task that waited for another that gave up goes on with what that one left."""
    store = LocalStore(root)
    content = make_bytes(3 * CHUNK)
    has_begun = threading.Event()
    offsets: list[int] = []

    def fail() -> None:
        with suppress(UnreachableError), store.ingest(describe(content)) as partial:
            assert partial is not None
            partial.write(content[:CHUNK])
            has_begun.set()
            time.sleep(0.2)
            raise UnreachableError("the connection was cut")

    def go_on() -> None:
        has_begun.wait()
        with store.ingest(describe(content)) as partial:
            assert partial is not None
            offsets.append(partial.offset)
            partial.write(content[partial.offset :])
            partial.commit()

    threads = [threading.Thread(target=each) for each in (fail, go_on)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert offsets == [CHUNK]
    assert content == b"".join(store.read(describe(content)))


def test_who_waits_for_what_is_lost_again_begins_anew(root: Path) -> None:
    """A blob that is taken away as soon as it has its name is written once more, not into a file without a name."""
    store = LocalStore(root)
    other = threading.Thread(target=bring, args=(store, b"content", []))
    with store.ingest(describe(b"content")) as partial:
        assert partial is not None
        other.start()
        time.sleep(0.1)  # so that the other waits for our lock; if it comes later, there is nothing to wait for
        partial.write(b"content")
        partial.commit()
        store.path(describe(b"content").digest).unlink()
    other.join()

    assert b"".join(store.read(describe(b"content"))) == b"content"
    assert files_in(root / "partial") == {}


def test_a_partial_that_nobody_needs_is_removed(root: Path) -> None:
    """A task that had to wait, and finds the content there, clears away the partial file that it waited for."""
    store = LocalStore(root)
    partial = root / "partial" / f"sha256-{describe(b'content').digest.hex}"
    brought: list[int] = []
    other = threading.Thread(target=bring, args=(store, b"content", brought))
    with partial.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        other.start()
        time.sleep(0.1)  # so that it waits for the lock; if it comes later, there is nothing to clear away
        store.path(describe(b"content").digest).write_bytes(b"content")
    other.join()

    assert brought == [0]
    assert files_in(root / "partial") == {}
