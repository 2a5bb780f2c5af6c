"""The store in S3, on a real server: nothing unverified gets a name, nothing damaged leaves, what was cut goes on."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from edgelift.delivery.preflight import check_disk
from edgelift.demo.content import make_image
from edgelift.errors import ConfigurationError, IntegrityError, StoreError
from edgelift.oci.content import CHUNK
from edgelift.oci.descriptor import Descriptor
from edgelift.store.s3 import S3Store
from edgelift.store.working import WorkingStore
from tests.archive.buckets import Bucket
from tests.archive.faulty_s3 import Fault, FaultyS3
from tests.store.content import describe, lock_of, make_bytes
from tests.store.s3_content import PIECE, bring, keys_in, store_in, uploads_in

LARGE = make_bytes(2 * PIECE + 1234)  # two whole pieces, and some more
LOCK = lock_of(make_image("team/app"))


class CutError(Exception):
    """What ends an attempt here."""


def cut(store: S3Store, content: bytes, after: int) -> None:
    """Begin to bring `content`, and stop after so many bytes of it."""

    def begin() -> None:
        with store.ingest(describe(content)) as partial:
            assert partial is not None
            for start in range(partial.offset, after, CHUNK):
                partial.write(content[start : min(start + CHUNK, after)])
            raise CutError

    with pytest.raises(CutError):
        begin()


def blob_key(descriptor: Descriptor) -> str:
    """Where a blob is, for anybody who looks into the bucket."""
    return f"blobs/{descriptor.digest.algorithm}/{descriptor.digest.hex}"


SIZES = {"nothing": 0, "a byte": 1, "some chunks": CHUNK + 1, "a whole piece": PIECE, "pieces": len(LARGE)}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_content_goes_in_and_out(bucket: Bucket, size: int) -> None:
    """What was committed is one object under its digest, and comes out byte for byte, by every way; nothing is left."""
    content, store = make_bytes(size), store_in(bucket)

    descriptor = bring(store, content)

    other = store_in(bucket)  # which has seen nothing of it
    chunks = list(other.read(descriptor))
    assert other.exists(descriptor)
    assert content == b"".join(chunks) == bucket.content(blob_key(descriptor))
    assert content == b"".join(map(bytes, other.read_into(memoryview(bytearray(CHUNK - 1)), descriptor)))
    assert max(map(len, chunks), default=0) <= CHUNK
    assert (keys_in(bucket), uploads_in(bucket)) == ([blob_key(descriptor)], [])


def test_sha512_and_a_prefix(bucket: Bucket) -> None:
    """Both algorithms have a place of their own, below the prefix."""
    store, content = store_in(bucket, prefix="edge/store/"), b"content"
    descriptor = describe(content, "sha512")

    store.write(descriptor, content)

    assert keys_in(bucket, "edge/store/blobs") == [f"edge/store/blobs/sha512/{descriptor.digest.hex}"]
    assert store.exists(descriptor)


def test_it_can_stand_where_a_store_in_a_folder_does(bucket: Bucket) -> None:
    """All that plan, pull, assemble and push need is there; it is in no folder of this machine."""
    store: WorkingStore = store_in(bucket)

    assert store.root is None


def test_ranges(bucket: Bucket) -> None:
    """Parts of a blob can be had, across the borders of its pieces; past the end there is nothing."""
    store = store_in(bucket)
    descriptor = bring(store, LARGE)

    found = [
        b"".join(store.read_range(descriptor, *each))
        for each in ((5, 9), (PIECE - 3, PIECE + CHUNK), (len(LARGE) - 2, 2**40), (len(LARGE), 2**40))
    ]

    assert found == [LARGE[5:9], LARGE[PIECE - 3 : PIECE + CHUNK], LARGE[-2:], b""]


def test_what_is_here_is_not_fetched(bucket: Bucket) -> None:
    """There is nothing to ingest where the content is complete, also for another machine."""
    fetched = list[int]()

    for _ in range(2):
        bring(store_in(bucket), b"content", fetched=fetched)

    assert fetched == [7]


def test_the_same_digest_with_another_size_is_not_here(bucket: Bucket) -> None:
    """A manifest that lies about a size finds nothing."""
    store = store_in(bucket)
    descriptor = bring(store, b"content")

    assert not store.exists(descriptor.model_copy(update={"size": 8}))


@pytest.mark.parametrize("content", [b"content", LARGE], ids=["small", "in pieces"])
def test_nothing_is_visible_before_its_commit(bucket: Bucket, content: bytes) -> None:
    """All bytes being here is not enough: they have no name before they are checked."""
    store, descriptor = store_in(bucket), describe(content)

    with store.ingest(descriptor) as partial:
        assert partial is not None
        for start in range(0, len(content), CHUNK):
            partial.write(content[start : start + CHUNK])
        assert (store_in(bucket).exists(descriptor), keys_in(bucket, "blobs/")) == (False, [])
        partial.commit()

    assert store_in(bucket).exists(descriptor)


WRONG = {
    "a flipped bit": LARGE[:-1] + bytes([LARGE[-1] ^ 1]),
    "too short": LARGE[:-1],
    "nothing at all": b"",
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_bytes_never_get_a_name(bucket: Bucket, wrong: bytes) -> None:
    """Wrong content is refused and forgotten; the right one can follow at once."""
    store, descriptor = store_in(bucket), describe(LARGE)

    with store.ingest(descriptor) as partial:
        assert partial is not None
        partial.write(wrong)
        with pytest.raises(IntegrityError, match="is wrong"):
            partial.commit()
        assert (partial.offset, keys_in(bucket, "blobs/"), keys_in(bucket, "partial/")) == (0, [], [])
        partial.write(LARGE)
        partial.commit()

    assert b"".join(store.read(descriptor)) == LARGE


def test_content_that_is_too_long_is_refused(bucket: Bucket) -> None:
    """The byte beyond the size ends it."""
    with store_in(bucket).ingest(describe(b"content")) as partial:
        assert partial is not None
        with pytest.raises(IntegrityError, match="is longer than its 7 bytes"):
            partial.write(b"content!")


def test_wrong_small_content_is_refused(bucket: Bucket) -> None:
    """What is kept in one go is checked as well."""
    with pytest.raises(IntegrityError, match="are not sha256:"):
        store_in(bucket).write(describe(b"content"), b"contend")

    assert keys_in(bucket) == []


def test_a_plan_asks_for_no_blob_of_it(bucket: Bucket, proxy: FaultyS3, tmp_path: Path) -> None:
    """What a bucket still takes is not known, so there is nothing to add up: only the bundle has to fit on the disk."""
    store = store_in(bucket, endpoint=proxy.endpoint)
    proxy.seen.clear()

    assert (check_disk(LOCK, store, tmp_path / "site.tar.zst"), proxy.seen) == (None, [])


# What was cut


def test_another_machine_goes_on_where_one_stopped(bucket: Bucket) -> None:
    """Only what is in no piece yet is fetched again; the pieces of both make the blob, and nothing else is left."""
    cut(store_in(bucket), LARGE, PIECE + 2 * CHUNK)
    fetched = list[int]()

    descriptor = bring(store_in(bucket), LARGE, fetched=fetched)

    assert fetched == [len(LARGE) - PIECE]
    assert bucket.content(blob_key(descriptor)) == LARGE
    assert (keys_in(bucket), uploads_in(bucket)) == ([blob_key(descriptor)], [])


def test_what_all_attempts_left_is_used(bucket: Bucket) -> None:
    """A third machine goes on with the pieces of two others."""
    for after in (PIECE + CHUNK, 2 * PIECE + 10):
        cut(store_in(bucket), LARGE, after)
    fetched = list[int]()

    bring(store_in(bucket), LARGE, fetched=fetched)

    assert fetched == [len(LARGE) - 2 * PIECE]


def test_pieces_that_are_wrong_are_never_published(bucket: Bucket) -> None:
    """Somebody has changed a piece: the digest tells, all of it goes, and the content is fetched from its start."""
    cut(store_in(bucket), LARGE, PIECE)
    (piece,) = keys_in(bucket, "partial/")
    bucket.server.client().put_object(Bucket=bucket.name, Key=piece, Body=bytes(PIECE))
    store, descriptor = store_in(bucket), describe(LARGE)

    with store.ingest(descriptor) as partial:
        assert partial is not None
        begun = partial.offset
        partial.write(LARGE[begun:])
        with pytest.raises(IntegrityError):
            partial.commit()
        assert (begun, partial.offset, keys_in(bucket, "blobs/")) == (PIECE, 0, [])


STRAYS = {
    "of another name": ("something", PIECE),
    "that nothing leads up to": (f"{PIECE:015}-{'0' * 32}", PIECE),
    "that is too small to be joined": (f"{0:015}-{'0' * 32}", 100),
    "that is too large": (f"{0:015}-{'0' * 32}", len(LARGE) + 1),
}


@pytest.mark.parametrize(("name", "size"), STRAYS.values(), ids=STRAYS)
def test_pieces_that_do_not_fit_are_passed_over(bucket: Bucket, name: str, size: int) -> None:
    """They are not used, and go with the others."""
    descriptor = describe(LARGE)
    place = f"partial/sha256-{descriptor.digest.hex}/{name}"
    bucket.server.client().put_object(Bucket=bucket.name, Key=place, Body=bytes(size))
    fetched = list[int]()

    bring(store_in(bucket), LARGE, fetched=fetched)

    assert (fetched, keys_in(bucket, "partial/")) == ([len(LARGE)], [])


def test_a_join_that_fails_leaves_the_pieces(bucket: Bucket, proxy: FaultyS3) -> None:
    """The server refuses to complete it: no blob, no upload that is half done, and a later attempt has only to join."""
    proxy.faults.append(Fault("deny", r"POST .*uploadId="))
    with pytest.raises(StoreError, match="AccessDenied"):
        bring(store_in(bucket, endpoint=proxy.endpoint), LARGE)
    assert (keys_in(bucket, "blobs/"), uploads_in(bucket)) == ([], [])
    fetched = list[int]()

    bring(store_in(bucket), LARGE, fetched=fetched)

    assert fetched == [0]


def test_an_answer_that_was_lost_after_the_join(bucket: Bucket, proxy: FaultyS3) -> None:
    """The server has joined the pieces and nobody heard of it: what is asked again finds the blob there."""
    proxy.faults.append(Fault("lose answer", r"POST .*uploadId="))
    store = store_in(bucket, endpoint=proxy.endpoint)

    descriptor = bring(store, LARGE)

    assert bucket.content(blob_key(descriptor)) == LARGE
    assert keys_in(bucket, "partial/") == []


# What was damaged


def test_a_damaged_blob_does_not_leave(bucket: Bucket) -> None:
    """Somebody has changed it: the last bytes are not given, it is set aside, and the next run fetches it anew."""
    store = store_in(bucket)
    descriptor = bring(store, LARGE)
    bucket.server.client().put_object(Bucket=bucket.name, Key=blob_key(descriptor), Body=WRONG["a flipped bit"])
    given = list[bytes]()

    with pytest.raises(IntegrityError, match="was damaged; it was moved to quarantine/") as raised:
        given.extend(store.read(descriptor))

    assert (len(b"".join(given)) < len(LARGE), raised.value.retryable) == (True, True)
    assert (store.exists(descriptor), keys_in(bucket)) == (False, [f"quarantine/sha256-{descriptor.digest.hex}"])
    assert bucket.content(keys_in(bucket)[0]) == WRONG["a flipped bit"]


def test_bytes_that_were_damaged_on_the_way_do_not_cost_the_blob(bucket: Bucket, proxy: FaultyS3) -> None:
    """The server has the right ones: reading fails, and may be tried again."""
    descriptor = bring(store_in(bucket), b"content")
    proxy.faults.append(Fault("damage answer", r"GET .*/blobs/"))
    store = store_in(bucket, endpoint=proxy.endpoint)

    with pytest.raises(IntegrityError, match="was damaged between") as raised:
        list(store.read(descriptor))

    assert raised.value.retryable
    assert b"".join(store.read(descriptor)) == b"content"


def test_a_blob_that_is_gone_is_told_of(bucket: Bucket) -> None:
    """Somebody has deleted it while it counted as being here: reading says so, and then it does not count any more."""
    store = store_in(bucket)
    descriptor = bring(store, b"content")
    bucket.server.client().delete_object(Bucket=bucket.name, Key=blob_key(descriptor))

    with pytest.raises(StoreError, match="is not in the store s3://") as raised:
        list(store.read(descriptor))

    assert (raised.value.retryable, store.exists(descriptor)) == (True, False)


def test_an_answer_that_breaks_off_is_asked_for_again(bucket: Bucket, proxy: FaultyS3) -> None:
    """Reading goes on behind the last byte that came."""
    descriptor = bring(store_in(bucket), LARGE)
    proxy.faults.append(Fault("cut answer", r"GET .*/blobs/"))

    assert b"".join(store_in(bucket, endpoint=proxy.endpoint).read(descriptor)) == LARGE


# What else a store keeps


def test_names(bucket: Bucket) -> None:
    """A tag moves, and hints are hints: another machine sees both."""
    one, other = describe(b"one"), describe(b"other")
    store = store_in(bucket)
    store.tag({"quay.io/team/app:1": one})
    store.tag({"docker.io/team/b:2": one})
    store.tag({"quay.io/team/app:1": other})
    store.remember("quay.io/team/app:1", one)

    seen = store_in(bucket)

    assert seen.references() == {"docker.io/team/b:2": one, "quay.io/team/app:1": other}
    assert (seen.recall("quay.io/team/app:1"), seen.recall("quay.io/team/app:2")) == (one, None)


def test_a_hint_that_is_damaged_is_none(bucket: Bucket) -> None:
    """Nothing depends on it."""
    store = store_in(bucket)
    store.remember("quay.io/team/app:1", describe(b"one"))
    (key,) = keys_in(bucket, "resolved/")
    bucket.server.client().put_object(Bucket=bucket.name, Key=key, Body=b"{")

    assert store.recall("quay.io/team/app:1") is None


def test_the_lock_of_a_run(bucket: Bucket) -> None:
    """A retry finds it on whatever machine it is, and a receipt leads to it by its digest."""
    store_in(bucket).runs.keep("run", LOCK)

    runs = store_in(bucket).runs

    assert (runs.recall("run"), runs.recall("another")) == (LOCK, None)
    assert (runs.find(LOCK.digest), runs.find(describe(b"none").digest)) == (LOCK, None)


def test_a_damaged_lock_is_told_of(bucket: Bucket) -> None:
    """A retry must not plan anew what was approved; looking for another lock passes it over."""
    bucket.server.client().put_object(Bucket=bucket.name, Key="runs/run/lock.json", Body=b"{}")
    runs = store_in(bucket).runs

    with pytest.raises(ConfigurationError, match=r"runs/run/lock\.json"):
        runs.recall("run")
    assert runs.find(LOCK.digest) is None


# Opening one


def test_a_bucket_that_is_not_there(bucket: Bucket) -> None:
    """It is told at once, not blob by blob; nobody makes one."""
    with pytest.raises(StoreError, match="NoSuchBucket") as raised:
        store_in(replace(bucket, name="nowhere-at-all"))

    assert "make the bucket" in str(raised.value.hint)


@pytest.mark.parametrize("url", ["s3://", "s3:///prefix", "s3://a\nb"])
def test_a_url_names_a_bucket(url: str) -> None:
    """Anything else is refused before anybody is asked."""
    with pytest.raises(ConfigurationError, match="does not name a bucket"):
        S3Store.at(url)


def test_a_server_without_conditional_writes(bucket: Bucket, proxy: FaultyS3, caplog: pytest.LogCaptureFixture) -> None:
    """It is told, once; then nobody waits for anybody, and what is published is as right as ever."""
    proxy.faults.append(Fault("not implemented", r"PUT .*/edgelift-store"))

    with caplog.at_level(logging.WARNING):
        store = store_in(bucket, endpoint=proxy.endpoint)
    with store.ingest(describe(b"content")):
        bring(store_in(bucket), b"content")

    assert "does not heed conditions" in caplog.text
    assert keys_in(bucket, "leases/") == []
