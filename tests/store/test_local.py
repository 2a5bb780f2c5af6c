"""The store in a directory: nothing unverified gets a name, nothing damaged leaves."""

import fcntl
import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelift.errors import IntegrityError, RegistryError, StoreError, UnreachableError
from edgelift.oci.content import CHUNK, ContentStore, RangeReader
from edgelift.oci.descriptor import Descriptor
from edgelift.store.local import LocalStore
from tests.store.content import WAYS, Way, describe, files_in, keep, make_bytes

SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An empty store."""
    return LocalStore(tmp_path / "store")


@pytest.mark.parametrize("read", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("size", SIZES)
def test_content_goes_in_and_out(store: LocalStore, size: int, algorithm: str, read: Way) -> None:
    """What was committed is there under its digest, and comes out byte for byte in chunks."""
    content = make_bytes(size)
    descriptor = describe(content, algorithm)

    store.write(descriptor, content)

    chunks = list(read(store, descriptor))
    assert content == b"".join(chunks)
    assert max(map(len, chunks), default=0) <= CHUNK
    assert {f"{algorithm}/{descriptor.digest.hex}": content} == files_in(store.root / "blobs")
    assert (
        store.exists(descriptor),
        files_in(store.root / "partial"),
        files_in(store.root / "quarantine"),
    ) == (True, {}, {})


def test_the_store_is_what_its_protocols_say(store: LocalStore) -> None:
    """A local store can stand wherever a content store or a range reader is wanted."""
    as_store: ContentStore = store
    as_reader: RangeReader = store
    descriptor = keep(store, make_bytes(CHUNK + 10))

    assert as_store.exists(descriptor)
    assert make_bytes(CHUNK + 10)[5 : CHUNK + 7] == b"".join(as_reader.read_range(descriptor, 5, CHUNK + 7))


def test_a_disk_that_fails_while_a_blob_is_begun_keeps_no_lock(tmp_path: Path) -> None:
    """The next attempt, in the same process, must not wait for a lock that nobody will give up."""

    class FailingOnce(LocalStore):
        looks = 0

        def exists(self, descriptor: Descriptor) -> bool:
            """Fail when it is looked at under the lock."""
            self.looks += 1
            if self.looks == 2:
                raise StoreError("cannot look: Input/output error")
            return super().exists(descriptor)

    store, content = FailingOnce(tmp_path / "store"), make_bytes(1000)
    with pytest.raises(StoreError):
        store.write(describe(content), content)
    (partial,) = (store.root / "partial").iterdir()
    with partial.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_range_ends_where_the_content_ends(store: LocalStore) -> None:
    """Asking for more than there is gives what there is."""
    descriptor = keep(store, b"content")

    assert [b"".join(store.read_range(descriptor, *each)) for each in [(3, 99), (7, 99)]] == [b"tent", b""]


def test_a_blob_is_not_written_to_by_accident(store: LocalStore) -> None:
    """A complete blob is read-only for everybody."""
    descriptor = keep(store, b"content")

    assert stat.S_IMODE(store.path(descriptor.digest).stat().st_mode) == 0o444


def test_what_is_here_is_not_fetched(store: LocalStore) -> None:
    """There is nothing to ingest where the content is complete, also for a store that is opened anew."""
    descriptor = keep(store, b"content")

    with store.ingest(descriptor) as first, LocalStore(store.root).ingest(descriptor) as second:
        assert (first, second) == (None, None)
    store.write(descriptor, b"content")

    assert files_in(store.root / "partial") == {}


def test_nothing_is_visible_before_its_commit(store: LocalStore) -> None:
    """All bytes being here is not enough: they have no name before they are checked."""
    descriptor = describe(b"content")

    with store.ingest(descriptor) as partial:
        assert partial is not None
        partial.write(b"content")
        assert (store.exists(descriptor), files_in(store.root / "blobs")) == (False, {})
        partial.commit()

    assert store.exists(descriptor)


WRONG = {
    "a flipped bit": make_bytes(CHUNK + 9)[:-1] + bytes([make_bytes(CHUNK + 9)[-1] ^ 1]),
    "too short": make_bytes(CHUNK + 9)[:-1],
    "nothing": b"",
    "other content": bytes(CHUNK + 9),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_bytes_get_no_name(store: LocalStore, wrong: bytes) -> None:
    """They are kept for a look, out of the way; the right ones can follow at once."""
    content = make_bytes(CHUNK + 9)
    descriptor = describe(content)
    with store.ingest(descriptor) as partial:
        assert partial is not None
        partial.write(wrong)

        with pytest.raises(IntegrityError, match=f"what arrived for {descriptor.digest} is wrong") as caught:
            partial.commit()

        kept = {f"sha256-{descriptor.digest.hex}": wrong}
        assert (True, kept) == (caught.value.retryable, files_in(store.root / "quarantine"))
        assert (store.exists(descriptor), files_in(store.root / "blobs")) == (False, {})
        assert partial.offset == 0
        partial.write(content)
        partial.commit()
    assert content == b"".join(store.read(descriptor))


def test_the_error_tells_what_arrived(store: LocalStore) -> None:
    """Size and digest of what arrived, and where it is kept, say whether it was cut or changed."""
    descriptor = describe(b"content")

    with pytest.raises(IntegrityError) as caught:
        store.write(descriptor, b"HTML!")

    assert f"5 bytes with {describe(b'HTML!').digest[:23]}… in place of 7" in caught.value.message
    assert f"{store.root}/quarantine/sha256-{descriptor.digest.hex}" in str(caught.value.hint)


def test_more_than_the_descriptor_says_is_refused(store: LocalStore) -> None:
    """A server that sends without end fills no disk: what is beyond the size is not written."""
    descriptor = describe(b"content")
    with store.ingest(descriptor) as partial:
        assert partial is not None
        partial.write(b"cont")
        with pytest.raises(IntegrityError, match="longer than its 7 bytes"):
            partial.write(b"ent, and more")

        assert (4, {f"sha256-{descriptor.digest.hex}": b"cont"}) == (partial.offset, files_in(store.root / "partial"))
        partial.write(b"ent")
        partial.commit()

    assert b"".join(store.read(descriptor)) == b"content"


def test_an_attempt_is_continued(store: LocalStore) -> None:
    """What arrived before an error is there at the next attempt, and only the rest is written."""
    content = make_bytes(CHUNK + 100)
    descriptor = describe(content)
    with pytest.raises(RegistryError, match="cut"):
        begin(store, content, CHUNK)

    with store.ingest(descriptor) as partial:
        assert partial is not None
        assert partial.offset == CHUNK
        partial.write(content[CHUNK:])
        partial.commit()

    assert content == b"".join(store.read(descriptor))


def begin(store: LocalStore, content: bytes, size: int) -> None:
    """An attempt that the registry cuts after `size` bytes."""
    with store.ingest(describe(content)) as partial:
        assert partial is not None
        partial.write(content[:size])
        raise UnreachableError("the connection was cut")


def leave_behind(store: LocalStore, content: bytes, left: bytes) -> None:
    """Make it look as if an earlier attempt at `content` had left the bytes `left`."""
    (store.root / "partial" / f"sha256-{describe(content).digest.hex}").write_bytes(left)


def test_an_attempt_that_left_too_much_begins_anew(store: LocalStore) -> None:
    """A partial file that is longer than the content is of no use."""
    leave_behind(store, b"content", b"content and more")

    with store.ingest(describe(b"content")) as partial:
        assert partial is not None
        assert partial.offset == 0


LEFT = {"zeros after a power cut": bytes(7), "another start": b"xon", "all but one bit": b"contenT"}


@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT)
def test_a_wrong_start_is_noticed(store: LocalStore, left: bytes) -> None:
    """What an earlier attempt left is checked like what arrives: wrong bytes never get the name."""
    leave_behind(store, b"content", left)
    with store.ingest(describe(b"content")) as partial:
        assert partial is not None
        partial.write(b"content"[partial.offset :])
        with pytest.raises(IntegrityError):
            partial.commit()
        partial.write(b"content")
        partial.commit()

    assert b"".join(store.read(describe(b"content"))) == b"content"


def test_small_content_is_written_over_what_was_left(store: LocalStore) -> None:
    """A manifest comes whole: what an earlier attempt left does not matter."""
    leave_behind(store, b"content", b"xx")

    store.write(describe(b"content"), b"content")

    assert b"".join(store.read(describe(b"content"))) == b"content"


def test_starting_over(store: LocalStore) -> None:
    """A registry without ranges sends all from the start: `restart` makes room for it."""
    with store.ingest(describe(b"content")) as partial:
        assert partial is not None
        partial.write(b"conte")
        partial.restart()
        assert partial.offset == 0
        partial.write(b"content")
        partial.commit()

    assert store.exists(describe(b"content"))


@settings(max_examples=25, deadline=None)
@given(content=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=6), step=st.integers(1, 120))
def test_however_often_it_is_cut(content: bytes, cuts: list[int], step: int) -> None:
    """Attempts that end anywhere, in chunks of any size, add up to the content."""
    descriptor = describe(content)
    with tempfile.TemporaryDirectory() as folder:
        for cut in (*sorted(cuts), len(content)):
            with LocalStore(Path(folder)).ingest(descriptor) as partial:
                assert partial is not None
                while partial.offset < min(cut, len(content)):
                    partial.write(content[partial.offset : partial.offset + step])
                if cut == len(content):
                    partial.commit()
                    break

        assert content == b"".join(LocalStore(Path(folder)).read(descriptor))


def test_the_folder_of_a_store_may_be_lost(store: LocalStore) -> None:
    """When a commit cannot name the content, what arrived stays, and can still be written to."""
    descriptor = describe(b"content")
    (store.root / "blobs" / "sha256").rmdir()
    with pytest.raises(StoreError, match=r"cannot write sha256:.* No such file or directory"):
        store.write(descriptor, b"content")

    (left,) = (store.root / "partial").iterdir()
    assert (left.read_bytes(), stat.S_IMODE(left.stat().st_mode)) == (b"content", 0o644)
    with LocalStore(store.root).ingest(descriptor) as partial:
        assert partial is not None
        assert partial.offset == 7
        partial.commit()


def test_a_store_that_cannot_be(tmp_path: Path) -> None:
    """A store below a file is refused with its name and what to do."""
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match=r"cannot open the store .*file/store: Not a directory") as caught:
        LocalStore(tmp_path / "file" / "store")

    assert "another folder" in str(caught.value.hint)


def test_a_new_store_is_an_image_layout(store: LocalStore) -> None:
    """The folder says what it is (image-spec image-layout.md), and opening it again changes nothing."""
    before = files_in(store.root)
    LocalStore(store.root)

    assert {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}\n', "use.lock": b""} == before == files_in(store.root)


def test_free_space(store: LocalStore) -> None:
    """The space is that of the disk the store is on."""
    stat_result = os.statvfs(store.root)

    assert abs(store.free_space() - stat_result.f_bavail * stat_result.f_frsize) < 2**30


def test_the_disk_writes_while_content_arrives(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part is given to it once, in order, also after starting over; little is left for the end."""
    given: list[tuple[int, int]] = []
    monkeypatch.setattr("edgelift.store.partial.begin_writing", lambda _, start, size: given.append((start, size)))
    content = bytes(5 * 2**20)
    with store.ingest(describe(content)) as partial:
        assert partial is not None
        for start in range(0, 3 * 2**20, 2**19):
            partial.write(content[start : start + 2**19])
        assert given == [(0, 2 * 2**20)]
        partial.restart()
        given.clear()
        for start in range(0, len(content), 2**19):
            partial.write(content[start : start + 2**19])
        partial.commit()
    assert given == [(0, 2 * 2**20), (2 * 2**20, 2 * 2**20)]
