"""Leases: one machine at a time fetches a blob, as long as it makes progress, and none is waited for that is dead."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from edgelift.errors import StoreError
from edgelift.oci.descriptor import Descriptor
from tests.archive.buckets import Bucket
from tests.archive.faulty_s3 import Fault, FaultyS3
from tests.store.content import describe, make_bytes
from tests.store.s3_content import bring, keys_in, store_in

CONTENT = make_bytes(1000)
SHORT = 1.0  # seconds that the lease of somebody holds who is about to die
PATIENCE = 30.0  # seconds


def lease_key(descriptor: Descriptor) -> str:
    """Where the lease on a blob is."""
    return f"leases/{descriptor.digest.algorithm}-{descriptor.digest.hex}"


def version_of(bucket: Bucket, descriptor: Descriptor) -> str:
    """Which lease stands there."""
    found = bucket.server.client().head_object(Bucket=bucket.name, Key=lease_key(descriptor))
    return str(found["ETag"])


def test_another_machine_waits_and_finds_the_blob(bucket: Bucket) -> None:
    """While one brings a blob, it has a lease; the other fetches nothing, and goes on once the blob is there."""
    first, second, descriptor = store_in(bucket), store_in(bucket), describe(CONTENT)
    fetched = list[int]()
    with ThreadPoolExecutor(1) as pool, first.ingest(descriptor) as partial:
        assert partial is not None
        assert keys_in(bucket) == [lease_key(descriptor)]
        waiting = pool.submit(bring, second, CONTENT, fetched=fetched)
        partial.write(CONTENT)
        partial.commit()
        assert waiting.result(PATIENCE) == descriptor  # it need not wait for the lease to go

    assert (fetched, keys_in(bucket, "leases/")) == ([], [])


def test_one_that_gives_up_leaves_it_to_the_other(bucket: Bucket) -> None:
    """The lease ends with the attempt, not with the time that it holds."""
    first, second, descriptor = store_in(bucket), store_in(bucket), describe(CONTENT)
    fetched = list[int]()
    with ThreadPoolExecutor(1) as pool:
        with first.ingest(descriptor):
            waiting = pool.submit(bring, second, CONTENT, fetched=fetched)
        waiting.result(PATIENCE)

    assert fetched == [len(CONTENT)]


def test_one_that_makes_no_progress_is_not_waited_for(bucket: Bucket) -> None:
    """Its lease runs out and is taken over; when it wakes up it is told so, and leaves the other's lease alone."""
    dead, second, descriptor = store_in(bucket, lease_seconds=SHORT), store_in(bucket), describe(CONTENT)

    with dead.ingest(descriptor) as stalled:
        assert stalled is not None
        with second.ingest(descriptor) as partial:  # waits for the lease to run out
            assert partial is not None
            with pytest.raises(StoreError, match="taken over") as raised:
                stalled.write(CONTENT)
            partial.write(CONTENT)
            assert keys_in(bucket, "leases/") == [lease_key(descriptor)]
            partial.commit()

    assert raised.value.retryable
    assert b"".join(dead.read(descriptor)) == CONTENT


def test_progress_renews_a_lease(bucket: Bucket) -> None:
    """It is written anew as bytes arrive, each time another one, so that nobody can take over what they saw before."""
    descriptor, versions = describe(CONTENT), list[str]()
    with store_in(bucket, lease_seconds=0.0).ingest(descriptor) as partial:  # it is due at once
        assert partial is not None
        for byte in CONTENT[:3]:
            partial.write(bytes([byte]))
            versions.append(version_of(bucket, descriptor))

    assert len(set(versions)) == 3


def test_a_lease_is_not_written_for_every_chunk(bucket: Bucket, proxy: FaultyS3) -> None:
    """While it holds for long enough no request is spent on it."""
    store = store_in(bucket, endpoint=proxy.endpoint)

    with store.ingest(describe(CONTENT)) as partial:
        assert partial is not None
        for byte in CONTENT:
            partial.write(bytes([byte]))
        partial.commit()

    assert len([line for line in proxy.seen if line.startswith("PUT") and "/leases/" in line]) == 1


def test_an_answer_that_was_lost_does_not_lock_us_out(bucket: Bucket, proxy: FaultyS3) -> None:
    """The lease is ours, though the server says that there is one already when it is asked once more."""
    proxy.faults.append(Fault("lose answer", r"PUT .*/leases/"))
    fetched = list[int]()

    bring(store_in(bucket, endpoint=proxy.endpoint), CONTENT, fetched=fetched)

    assert (fetched, keys_in(bucket, "leases/")) == ([len(CONTENT)], [])


def test_a_lease_that_cannot_be_read_runs_out(bucket: Bucket) -> None:
    """Whatever stands there holds for as long as one of ours would."""
    descriptor, fetched = describe(CONTENT), list[int]()
    bucket.server.client().put_object(Bucket=bucket.name, Key=lease_key(descriptor), Body=b"{")

    bring(store_in(bucket, lease_seconds=SHORT), CONTENT, fetched=fetched)

    assert fetched == [len(CONTENT)]


def test_the_threads_of_a_process_take_turns(bucket: Bucket, proxy: FaultyS3) -> None:
    """Four images share a layer: one thread brings it, the others spend no request on its lease meanwhile."""
    store, descriptor = store_in(bucket, endpoint=proxy.endpoint), describe(CONTENT)
    at_work, fetched = threading.Barrier(4), list[int]()

    def pull() -> None:
        at_work.wait(PATIENCE)
        with store.ingest(descriptor) as partial:
            if partial is not None:
                time.sleep(0.2)  # long enough for the others to be there
                partial.write(CONTENT)
                partial.commit()
                fetched.append(len(CONTENT))

    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(pull) for _ in range(4)]:
            each.result(PATIENCE)

    assert fetched == [len(CONTENT)]
    assert len([line for line in proxy.seen if line.startswith("PUT") and "/leases/" in line]) == 1
