"""Blobs that rot, or are replaced behind the store's back: no wrong byte completes a read, and a pull mends it."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgelift.errors import IntegrityError, StoreError
from edgelift.oci.content import CHUNK
from edgelift.oci.descriptor import Descriptor
from edgelift.store.local import LocalStore
from tests.store.content import WAYS, Way, describe, files_in, keep, make_bytes

SIZES = [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An empty store."""
    return LocalStore(tmp_path / "store")


def flip(position: int) -> Callable[[bytes], bytes]:
    """Damage: one bit is another at `position`."""

    def damage(content: bytes) -> bytes:
        changed = bytearray(content)
        changed[position] ^= 0x10
        return bytes(changed)

    return damage


ROT: dict[str, Callable[[bytes], bytes]] = {
    "the first byte": flip(0),
    "the last byte": flip(-1),
    "cut by one byte": lambda content: content[:-1],
    "empty": lambda content: b"",
    "one byte more": lambda content: content + b"x",
    "a chunk more": lambda content: content + bytes(CHUNK),
    "changed and one byte more": lambda content: flip(0)(content) + b"x",
    "changed and a chunk more": lambda content: flip(0)(content) + bytes(CHUNK),
    "zeros after a power cut": lambda content: bytes(len(content)),
}


def rot(store: LocalStore, descriptor: Descriptor, damage: Callable[[bytes], bytes]) -> bytes:
    """Change the file of a blob, and return what is in it now."""
    path = store.path(descriptor.digest)
    changed = damage(path.read_bytes())
    path.unlink()
    path.write_bytes(changed)
    return changed


@pytest.mark.parametrize("read", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("damage", ROT.values(), ids=ROT)
@pytest.mark.parametrize("size", SIZES)
def test_rotten_content_never_completes(
    store: LocalStore, size: int, damage: Callable[[bytes], bytes], read: Way
) -> None:
    """A consumer that waits for every byte never gets them all; the rotten file goes into quarantine."""
    content = make_bytes(size)
    descriptor = keep(store, content)
    changed = rot(store, descriptor, damage)
    taken: list[bytes] = []

    with pytest.raises(IntegrityError, match=f"copy of {descriptor.digest} is damaged") as caught:
        taken.extend(read(store, descriptor))  # what comes before the error stays in the list

    assert sum(map(len, taken)) < size
    assert caught.value.retryable
    assert {f"sha256-{descriptor.digest.hex}": changed} == files_in(store.root / "quarantine")
    assert not store.exists(descriptor)
    assert content == mended(store, content)


def mended(store: LocalStore, content: bytes) -> bytes:
    """What the store gives for `content` after another pull."""
    return b"".join(store.read(keep(store, content)))


def test_an_empty_blob_that_is_not_empty_any_more(store: LocalStore) -> None:
    """Content without a byte is checked like any other."""
    descriptor = keep(store, b"")
    rot(store, descriptor, lambda content: b"x")

    with pytest.raises(IntegrityError):
        list(store.read(descriptor))

    assert mended(store, b"") == b""


REPLACED: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "a link to the right content": lambda path: path.symlink_to("../../copy"),
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
    "a link to a folder": lambda path: path.symlink_to("/"),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "an empty folder": lambda path: path.mkdir(),
    "a full folder": lambda path: (path / "more").mkdir(parents=True) or (path / "file").touch(),
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("replace", REPLACED.values(), ids=REPLACED)
def test_what_is_no_file_is_not_content(store: LocalStore, replace: Callable[[Path], object]) -> None:
    """It is not there and not read, and the next pull puts the content in its place."""
    content = make_bytes(CHUNK + 1)
    (store.root / "copy").write_bytes(content)
    descriptor = keep(store, content)
    path = store.path(descriptor.digest)
    path.unlink()
    replace(path)

    with pytest.raises(StoreError, match=f"{descriptor.digest} is not in the store") as caught:
        list(store.read(descriptor))
    with pytest.raises(StoreError):
        list(store.read_range(descriptor, 0, 1))

    assert (caught.value.retryable, store.exists(descriptor)) == (True, False)
    assert content == mended(store, content)
    assert path.is_file()
    assert not path.is_symlink()
    assert (store.root / "copy").read_bytes() == content


@pytest.mark.parametrize("size", [3, 5])
def test_a_blob_of_another_size_is_not_there(store: LocalStore, size: int) -> None:
    """The size is checked before anything is read, so that a pull fetches what was cut."""
    descriptor = keep(store, b"four")
    rot(store, descriptor, lambda content: bytes(size))

    assert not store.exists(descriptor)
    assert mended(store, b"four") == b"four"


def test_a_late_reader_does_not_take_the_good_copy(store: LocalStore) -> None:
    """One who began on rotten content notices at the end, and leaves alone what was fetched meanwhile."""
    content = make_bytes(3 * CHUNK)
    descriptor = keep(store, content)
    rot(store, descriptor, flip(-1))
    late = store.read(descriptor)
    next(late)
    with pytest.raises(IntegrityError):
        list(store.read(descriptor))
    keep(store, content)

    with pytest.raises(IntegrityError):
        list(late)

    assert content == b"".join(store.read(descriptor))


def test_several_readers_all_learn_of_the_rot(store: LocalStore) -> None:
    """Many images share a layer: each that reads the rotten one hears that, not that it is gone."""
    descriptor = keep(store, make_bytes(2 * CHUNK))
    rot(store, descriptor, flip(-1))
    readers = [store.read(descriptor) for _ in range(4)]
    for reader in readers:
        next(reader)
    heard: list[type[BaseException]] = []

    def finish(reader: Iterator[bytes]) -> None:
        try:
            list(reader)
        except Exception as error:  # noqa: BLE001 - which one it is, is the question
            heard.append(type(error))

    threads = [threading.Thread(target=finish, args=(reader,)) for reader in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert heard == [IntegrityError] * 4


def meet_on_reading(store: LocalStore, descriptor: Descriptor) -> None:
    """Read content that has rotted."""
    rot(store, descriptor, lambda content: b"CONTENT")
    list(store.read(descriptor))


MEETINGS: dict[str, Callable[[LocalStore, Descriptor], object]] = {
    "on arrival": lambda store, descriptor: store.write(descriptor, b"CONTENT"),
    "on reading": meet_on_reading,
}
QUARANTINED: dict[str, Callable[[Path], object]] = {
    "an earlier file": lambda path: path.write_bytes(b"earlier"),
    "a link to another file": lambda path: path.symlink_to("../copy"),
    "an empty folder": lambda path: path.mkdir(),
    "a full folder": lambda path: (path / "more").mkdir(parents=True) or (path / "file").touch(),
}


@pytest.mark.parametrize("prepare", QUARANTINED.values(), ids=QUARANTINED)
@pytest.mark.parametrize("way", MEETINGS)
def test_the_quarantine_keeps_the_last_wrong_bytes(
    store: LocalStore, prepare: Callable[[Path], object], way: str
) -> None:
    """One wrong copy a digest is kept, whatever was there before it; links in the quarantine are not followed."""
    (store.root / "copy").write_bytes(b"copy")
    descriptor = describe(b"content") if way == "on arrival" else keep(store, b"content")
    kept = store.root / "quarantine" / f"sha256-{descriptor.digest.hex}"
    prepare(kept)

    with pytest.raises(IntegrityError):
        MEETINGS[way](store, descriptor)

    assert (kept.read_bytes(), kept.is_symlink()) == (b"CONTENT", False)
    assert (store.root / "copy").read_bytes() == b"copy"


def test_a_reader_may_stop(store: LocalStore) -> None:
    """A consumer that goes away early closes the file and brings nothing into quarantine."""
    descriptor = keep(store, make_bytes(3 * CHUNK))
    before = len(list(Path("/proc/self/fd").iterdir()))
    reader = store.read(descriptor)
    next(reader)
    reader.close()  # type: ignore[attr-defined]  # it is a generator

    assert before == len(list(Path("/proc/self/fd").iterdir()))
    assert store.exists(descriptor)


# What this process has hashed itself


def test_content_that_came_through_this_store_is_checked_again_when_it_leaves(store: LocalStore) -> None:
    """A disk that gives back other bytes is found out, even where nobody has touched the file."""
    content = make_bytes(2 * CHUNK + 7)
    descriptor = describe(content)
    store.write(descriptor, content)
    path = store.path(descriptor.digest)
    path.chmod(0o644)
    path.write_bytes(flip(CHUNK)(content))
    now = path.stat().st_ctime_ns
    store._checked[descriptor.digest] = store._checked[descriptor.digest]._replace(changed_at=now)  # the disk did it

    with pytest.raises(IntegrityError, match="damaged"):
        list(store.read(descriptor))


def test_a_file_that_was_touched_since_is_hashed_again(store: LocalStore) -> None:
    """Whoever changes a file changes the moment of its last change, which no program can set."""
    content = make_bytes(CHUNK)
    descriptor = describe(content)
    store.write(descriptor, content)
    path = store.path(descriptor.digest)
    before = path.stat()
    path.chmod(0o644)
    path.write_bytes(flip(5)(content))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    with pytest.raises(IntegrityError, match="damaged"):
        list(store.read(descriptor))
