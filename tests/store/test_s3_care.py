"""A store in S3 is looked after as one in a folder: told of, hashed and mended, swept, by one who is alone there."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgelift.bundle.reader import BundleReader
from edgelift.bundle.writer import assemble_bundle
from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import ConfigurationError, StoreError
from edgelift.oci.descriptor import Descriptor
from edgelift.store import s3_names
from edgelift.store.check import check_store
from edgelift.store.local import LocalStore
from edgelift.store.mending import BundleMending
from edgelift.store.opening import holdings_of
from edgelift.store.s3 import S3Store
from edgelift.store.survey import survey_store
from edgelift.store.sweep import Rules, Sweep, plan_sweep, sweep_store
from tests.archive.buckets import Bucket
from tests.archive.faulty_s3 import Fault, FaultyS3
from tests.store.content import contents_of, describe, keep_image, lock_of, make_bytes, name_of
from tests.store.s3_content import PIECE, keep_in_bucket, keys_in, store_in, uploads_in

DAY = 86_400
LAYER = SampleLayer("tar", 100_000)
APP = make_image("team/app", architectures=("amd64", "arm64"), layers=(LAYER,))
PLAIN = make_image("team/plain", layers=(LAYER, SampleLayer("gzip", 5_000)))
SHARED = max(PLAIN.blobs, key=lambda blob: blob.size)
OWN = min(PLAIN.blobs, key=lambda blob: blob.size)
SHORT = 1.0  # seconds for which the mark of a machine counts that is about to die
PATIENCE = 30.0  # seconds


@pytest.fixture
def store(bucket: Bucket) -> S3Store:
    """A store with both images, opened by a machine that has brought neither."""
    keep_in_bucket(store_in(bucket), APP, PLAIN)
    return store_in(bucket)


def blob_key(descriptor: Descriptor) -> str:
    """Where a blob is."""
    return f"blobs/{descriptor.digest.algorithm}/{descriptor.digest.hex}"


def change(bucket: Bucket, descriptor: Descriptor) -> bytes:
    """Flip a bit of a blob; gives what it is now."""
    content = bytearray(bucket.content(blob_key(descriptor)))
    content[len(content) // 2] ^= 1
    bucket.server.client().put_object(Bucket=bucket.name, Key=blob_key(descriptor), Body=bytes(content))
    return bytes(content)


def lose(bucket: Bucket, *descriptors: Descriptor) -> None:
    """Delete blobs behind the store's back."""
    for descriptor in descriptors:
        bucket.server.client().delete_object(Bucket=bucket.name, Key=blob_key(descriptor))


def leave_work(bucket: Bucket) -> Descriptor:
    """What a killed machine leaves: a piece of a large blob, its upload, and the lock of its run; gives the blob."""
    descriptor = describe(make_bytes(PIECE + 10))
    client = bucket.server.client()
    place = f"partial/sha256-{descriptor.digest.hex}/{0:015}-{'0' * 32}"
    client.put_object(Bucket=bucket.name, Key=place, Body=b"some bytes")
    client.create_multipart_upload(Bucket=bucket.name, Key=blob_key(descriptor))
    store_in(bucket).runs.keep("killed", lock_of(APP))
    return descriptor


def test_what_is_told(bucket: Bucket, store: S3Store, tmp_path: Path) -> None:
    """The same document as of a folder; pieces and uploads count as partial, and nobody knows what is free."""
    local = LocalStore(tmp_path / "store")
    keep_image(local, APP)
    keep_image(local, PLAIN)
    leave_work(bucket)
    expected, found = survey_store(local), survey_store(store)

    assert list(found) == list(expected)
    assert (found["store"], found["disk_free"]) == (f"s3://{bucket.name}", None)
    assert (found["images"], found["runs"], found["quarantine"]["count"]) == (2, 1, 0)
    assert [found["blobs"][each] for each in ("count", "bytes")] == [
        expected["blobs"][each] for each in ("count", "bytes")
    ]
    assert (found["partial"]["count"], found["partial"]["bytes"]) == (2, 10)


def test_no_store_is_made_by_looking_after_one(bucket: Bucket) -> None:
    """A prefix in which nobody has worked says so, and stays empty."""
    with pytest.raises(ConfigurationError, match="there is no store in s3://"):
        store_in(bucket, prefix="nothing", is_made=False)

    assert bucket.state() == ([], [])


# fsck


def test_a_store_that_is_right(bucket: Bucket, store: S3Store, proxy: FaultyS3) -> None:
    """Every byte is looked at, each blob is asked for once, and nothing is touched."""
    before, told = keys_in(bucket), list[int]()
    watched = store_in(bucket, endpoint=proxy.endpoint)
    proxy.seen.clear()

    outcome = check_store(watched, progress=told.append)

    assert (outcome.problems, outcome.strays, outcome.images) == ((), (), 2)
    assert (outcome.blobs, outcome.size) == (len(contents_of(APP, PLAIN)), sum(told))
    assert len([line for line in proxy.seen if line.startswith("GET") and OWN.digest.hex in line]) == 1
    assert keys_in(bucket) == before


def test_damage_is_set_aside_and_mended(bucket: Bucket, store: S3Store, tmp_path: Path) -> None:
    """What is wrong or missing is named with the images that need it, and comes back out of a bundle."""
    path = assemble_bundle(lock_of(APP, PLAIN), store, tmp_path / "site.tar.zst").path
    wrong = change(bucket, SHARED)
    lose(bucket, OWN, APP.root)
    found = check_store(store_in(bucket))
    with BundleReader.open(path) as bundle:
        mended = check_store(store_in(bucket), sources=[BundleMending(bundle)])

    assert {each.digest: each.kind for each in found.unmended} == {
        SHARED.digest: "wrong",
        OWN.digest: "missing",
        APP.root.digest: "missing",
    }
    assert [each.images for each in found.problems if each.digest == OWN.digest] == [(name_of(PLAIN),)]
    assert bucket.content(f"quarantine/sha256-{SHARED.digest.hex}") == wrong
    assert (len(mended.problems), mended.unmended, check_store(store_in(bucket)).problems) == (3, (), ())


def test_what_is_damaged_on_the_way_is_no_damage(bucket: Bucket, store: S3Store, proxy: FaultyS3) -> None:
    """The bucket has the right bytes, and keeps them."""
    proxy.faults.append(Fault("damage answer", f"GET .*{OWN.digest.hex}"))

    assert check_store(store_in(bucket, endpoint=proxy.endpoint)).problems == ()
    assert keys_in(bucket, "quarantine/") == []


def test_what_the_server_does_not_give_back_stays(bucket: Bucket, store: S3Store, proxy: FaultyS3) -> None:
    """It is told, and neither taken away nor taken for mended: the server may give it tomorrow."""
    path_of_own = blob_key(OWN)
    proxy.faults.append(Fault("deny", f"GET .*{OWN.digest.hex}", times=99))

    (problem,) = check_store(store_in(bucket, endpoint=proxy.endpoint)).unmended

    assert (problem.digest, problem.kind) == (OWN.digest, "unreadable")
    assert path_of_own in keys_in(bucket, "blobs/")


def test_what_is_none_of_the_stores(bucket: Bucket, store: S3Store) -> None:
    """What no edgelift put there is listed and left alone; what it did put there is not."""
    leave_work(bucket)
    store.remember(name_of(APP), APP.root)
    for key in ("notes.txt", "blobs/sha256/half.tmp", "names/readme", "partial/sha256-x/y"):
        bucket.server.client().put_object(Bucket=bucket.name, Key=key, Body=b"")

    assert check_store(store).strays == ("blobs/sha256/half.tmp", "names/readme", "notes.txt", "partial/sha256-x/y")


# gc


def sweep(store: S3Store, *, days: float = 8, **rules: object) -> Sweep:
    """Delete by `rules` in so many `days`, with a week of grace unless they say something else."""
    moment = time.time() + days * DAY
    planned = plan_sweep(store, Rules(**{"grace": 7 * DAY, **rules}), moment)  # type: ignore[arg-type]
    sweep_store(store, planned)
    return planned


def test_what_stays_and_what_goes(bucket: Bucket, store: S3Store) -> None:
    """Images go with their names and with all that only they need, and so do hints at them; a lock keeps its own."""
    store.remember(name_of(APP), APP.root)
    store.remember(name_of(PLAIN), PLAIN.root)

    done = sweep(store, older_than=5 * DAY, keep=(lock_of(PLAIN),))

    assert [image.reference for image in done.images] == [name_of(APP)]
    assert store_in(bucket).references() == {name_of(PLAIN): PLAIN.root.plain()}
    kept = {key.removeprefix("blobs/").replace("/", ":") for key in keys_in(bucket, "blobs/")}
    assert kept == contents_of(PLAIN)
    assert done.remaining == sum(map(len, PLAIN.contents.values()))
    assert (store.recall(name_of(APP)), store.recall(name_of(PLAIN))) == (None, PLAIN.root.plain())


def test_a_plan_deletes_nothing(bucket: Bucket, store: S3Store) -> None:
    """What would go is told, and the bucket is as before."""
    leave_work(bucket)
    before = bucket.state()

    planned = plan_sweep(store, Rules(grace=0, max_size=0), time.time() + DAY)

    assert (len(planned.images), len(planned.leftovers), len(planned.runs)) == (2, 2, 1)
    assert [key for key in bucket.state()[0] if "use/" not in key] == [key for key in before[0] if "use/" not in key]
    assert bucket.state()[1] == before[1]


@pytest.mark.parametrize("days", [6, 8])
def test_leftovers_go_with_their_time(bucket: Bucket, store: S3Store, days: int) -> None:
    """Pieces, uploads that were killed, quarantine and the locks of dead runs are kept for a week."""
    leave_work(bucket)
    bucket.server.client().put_object(Bucket=bucket.name, Key=f"quarantine/sha256-{OWN.digest.hex}", Body=b"wrong")

    done = sweep(store, days=days)

    left = [key for place in ("partial/", "quarantine/", "runs/") for key in keys_in(bucket, place)]
    left += uploads_in(bucket)
    assert (len(left), len(done.leftovers), len(done.runs)) == ((4, 0, 0) if days == 6 else (0, 3, 1))


def test_what_somebody_is_at_stays(bucket: Bucket, store: S3Store) -> None:
    """A blob under a lease keeps its pieces and its upload, however old they are."""
    descriptor = leave_work(bucket)
    lease = f"leases/sha256-{descriptor.digest.hex}"
    bucket.server.client().put_object(Bucket=bucket.name, Key=lease, Body=b"{}")

    assert sweep(store).leftovers == ()
    assert (len(keys_in(bucket, "partial/")), len(uploads_in(bucket)), keys_in(bucket, "leases/")) == (1, 1, [lease])


def test_nothing_goes_because_a_server_does_not_answer(bucket: Bucket, store: S3Store, proxy: FaultyS3) -> None:
    """Of a manifest that cannot be read, nobody knows what hangs on it: the error is told instead."""
    watched = store_in(bucket, endpoint=proxy.endpoint)
    proxy.faults.append(Fault("deny", f"GET .*{PLAIN.root.digest.hex}", times=99))

    with pytest.raises(StoreError, match="AccessDenied"):
        sweep(watched)

    assert len(keys_in(bucket, "blobs/")) == len(contents_of(APP, PLAIN))


def test_a_pull_counts_as_use(bucket: Bucket, proxy: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that stands is written anew once a day, and not each time."""
    store = store_in(bucket, endpoint=proxy.endpoint)
    keep_in_bucket(store, PLAIN)
    writes = [0, 0]
    for number, fresh in enumerate((s3_names._FRESH, -1.0)):
        monkeypatch.setattr(s3_names, "_FRESH", fresh)
        proxy.seen.clear()
        store.tag({name_of(PLAIN): PLAIN.root})
        writes[number] = len([line for line in proxy.seen if line.startswith("PUT") and "/names/" in line])

    assert writes == [0, 1]


# Alone


def test_nobody_is_alone_while_another_has_it_open(bucket: Bucket, store: S3Store) -> None:
    """Who wants to be is told who is there; once that one is gone, he is."""
    other = store_in(bucket)
    with pytest.raises(StoreError, match="; nothing was deleted") as caught, store.use.alone(0):
        pass
    assert caught.value.retryable

    del other
    with store.use.alone(PATIENCE):
        assert keys_in(bucket, "alone") == ["alone"]
    assert keys_in(bucket, "alone") == []


def test_a_machine_that_has_died_is_not_waited_for_for_long(bucket: Bucket) -> None:
    """Its mark counts for as long as marks hold; so does a lease, which machines of older releases make."""
    for key in (f"use/{'0' * 32}", f"leases/sha256-{OWN.digest.hex}"):
        bucket.server.client().put_object(Bucket=bucket.name, Key=key, Body=b"{}")
    waiting = store_in(bucket, use_seconds=SHORT)

    with pytest.raises(StoreError, match="in use by another machine"), waiting.use.alone(0):
        pass
    with waiting.use.alone(PATIENCE):
        assert keys_in(bucket, "alone") == ["alone"]


def test_who_comes_while_somebody_is_alone_waits(bucket: Bucket, store: S3Store) -> None:
    """He sees what is left; who was killed while he was alone keeps nobody out for long."""
    with ThreadPoolExecutor(1) as pool:
        with holdings_of(store).alone(PATIENCE):
            coming = pool.submit(store_in, bucket)
            while len(keys_in(bucket, "use/")) < 2:
                assert not coming.done()
            assert not coming.done()
        assert coming.result(PATIENCE).exists(OWN)

    bucket.server.client().put_object(Bucket=bucket.name, Key="alone", Body=b"{}")
    assert store_in(bucket, use_seconds=SHORT).exists(OWN)


def test_nobody_is_alone_without_conditional_writes(bucket: Bucket, proxy: FaultyS3) -> None:
    """Such a server cannot tell who was first: nothing is taken away there."""
    proxy.faults.append(Fault("not implemented", r"PUT .*/edgelift-store"))
    store = store_in(bucket, endpoint=proxy.endpoint)

    with pytest.raises(StoreError, match="does not heed conditions, so nobody can be alone"), store.use.alone(0):
        pass
