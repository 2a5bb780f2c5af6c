"""Bundles kept in S3 when something goes wrong: on the way, at the server, or with the process itself."""

import datetime
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgelift.archive import s3 as s3_archive
from edgelift.errors import IntegrityError, StoreError
from tests.archive.buckets import MIB, PART, Bucket, digest_of
from tests.archive.faulty_s3 import Fault, FaultyS3

NONE = datetime.timedelta(0)

COMPLETE = "POST .*uploadId="

FAULTS_THAT_STOP = {
    "a part is damaged on the way": (Fault("damage request", "partNumber=2"), ("BadDigest", True)),
    "a part is refused": (Fault("deny", "partNumber=2"), ("AccessDenied", False)),
    "the parts may not become an object": (Fault("deny", COMPLETE), ("AccessDenied", False)),
}


@pytest.mark.parametrize(("fault", "answer"), FAULTS_THAT_STOP.values(), ids=FAULTS_THAT_STOP)
def test_an_upload_that_fails_leaves_nothing(
    proxy: FaultyS3, bucket: Bucket, three_parts: Path, fault: Fault, answer: tuple[str, bool]
) -> None:
    """The error names what the server said; neither an object nor a begun upload stays."""
    code, retryable = answer
    proxy.faults.append(replace(fault))

    with pytest.raises(
        StoreError, match=f"cannot archive edge.tar.zst as s3://{bucket.name}/edge.tar.zst.*{code}"
    ) as caught:
        bucket.archive(endpoint=proxy.endpoint).store(three_parts, digest=digest_of(three_parts))

    assert retryable == caught.value.retryable
    assert bucket.state() == ([], [])


FAULTS_TO_SURVIVE = {
    "the server asks to slow down": [Fault("slow down", "partNumber=2")],
    "a part's answer is lost": [Fault("lose answer", "partNumber=1")],
    "the answer that it is complete is lost": [Fault("lose answer", COMPLETE)],
    "it is lost, and the server has forgotten": [Fault("lose answer", COMPLETE), Fault("forget", COMPLETE)],
    "uploads may not be listed": [Fault("deny", r"GET .*\?uploads")],
    "objects may not be looked at before": [Fault("deny", "HEAD ")],
}


@pytest.mark.parametrize("faults", FAULTS_TO_SURVIVE.values(), ids=FAULTS_TO_SURVIVE)
def test_passing_faults_do_not_stop_an_upload(
    proxy: FaultyS3, bucket: Bucket, three_parts: Path, faults: list[Fault]
) -> None:
    """The bundle is whole in the end, whatever has to be asked again."""
    proxy.faults.extend(replace(fault) for fault in faults)

    bucket.archive(endpoint=proxy.endpoint).store(three_parts, digest=digest_of(three_parts))

    assert [fault.times for fault in proxy.faults] == [0] * len(faults)
    assert three_parts.read_bytes() == bucket.content(three_parts.name)


def test_an_object_that_cannot_be_seen_is_not_taken_for_kept(
    proxy: FaultyS3, bucket: Bucket, three_parts: Path
) -> None:
    """Where the server takes the bundle but does not show it, that is an error that says which right is missing."""
    proxy.faults.append(Fault("deny", "HEAD ", times=2))

    with pytest.raises(StoreError, match="allow s3:GetObject"):
        bucket.archive(endpoint=proxy.endpoint).store(three_parts, digest=digest_of(three_parts))


def test_a_broken_download_is_continued(proxy: FaultyS3, bucket: Bucket, three_parts: Path, tmp_path: Path) -> None:
    """After a cut the rest is asked for, not the whole again."""
    archive = bucket.archive(endpoint=proxy.endpoint)
    archive.store(three_parts, digest=digest_of(three_parts))
    proxy.faults.append(Fault("cut answer", "GET ", times=2))
    fetched: list[int] = []

    archive.restore(three_parts.name, tmp_path / "back", progress=fetched.append)

    assert digest_of(three_parts) == digest_of(tmp_path / "back")
    assert (0, three_parts.stat().st_size) == (proxy.faults[0].times, sum(fetched))


def test_a_damaged_download_gets_no_name(proxy: FaultyS3, bucket: Bucket, three_parts: Path, tmp_path: Path) -> None:
    """Wrong bytes raise `IntegrityError`; an earlier file of that name stands, and nothing lies beside it."""
    archive = bucket.archive(endpoint=proxy.endpoint)
    archive.store(three_parts, digest=digest_of(three_parts))
    proxy.faults.append(Fault("damage answer", "GET "))
    (tmp_path / "back").write_bytes(b"what was here before")

    with pytest.raises(IntegrityError, match=f"s3://{bucket.name}/edge.tar.zst is not what its digest says"):
        archive.restore(three_parts.name, tmp_path / "back")

    assert [(tmp_path / "back", b"what was here before")] == [(p, p.read_bytes()) for p in tmp_path.iterdir()]


STORE = f"""
import sys
from pathlib import Path
from pydantic import SecretStr
from edgelift.archive.s3 import S3Archive
from edgelift.oci.digest import Digest
endpoint, access_key, secret_key, bucket, path, digest = sys.argv[1:]
archive = S3Archive(bucket, endpoint=endpoint, access_key=SecretStr(access_key), secret_key=SecretStr(secret_key),
                    part_size={PART})
def peak():  # of this program alone: getrusage would count what its parent had when it forked
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
before = peak()
archive.store(Path(path), digest=Digest(digest))
print(peak() - before)
"""


def store_elsewhere(bucket: Bucket, endpoint: str, path: Path) -> subprocess.Popen[str]:
    """Another process that archives `path`; it prints by how many KiB its memory grew."""
    server = bucket.server
    arguments = [endpoint, server.access_key, server.secret_key, bucket.name, str(path), digest_of(path)]
    here = Path(s3_archive.__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", STORE, *arguments],
        cwd=here,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(here)},
    )


def test_a_killed_upload_shows_nothing_and_a_later_one_cleans_up(
    proxy: FaultyS3, bucket: Bucket, three_parts: Path
) -> None:
    """After SIGKILL no object is there; the next run removes the parts that stayed, and archives the bundle."""
    proxy.faults.append(Fault("hold", "partNumber=3"))
    process = store_elsewhere(bucket, proxy.endpoint, three_parts)
    assert proxy.held.wait(30)
    process.kill()
    process.communicate()
    assert bucket.state() == ([], [three_parts.name])

    bucket.archive(leftovers_after=NONE).store(three_parts, digest=digest_of(three_parts))

    assert bucket.state() == ([three_parts.name], [])


def test_an_interrupted_upload_is_aborted(proxy: FaultyS3, bucket: Bucket, three_parts: Path) -> None:
    """Ctrl-C ends the upload: neither an object nor parts of one stay."""
    proxy.faults.append(Fault("hold", "partNumber=3"))
    process = store_elsewhere(bucket, proxy.endpoint, three_parts)
    assert proxy.held.wait(30)

    process.send_signal(signal.SIGINT)
    proxy.released.set()
    _, errors = process.communicate(timeout=30)

    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert bucket.state() == ([], [])


def test_a_young_upload_of_another_process_is_left_alone(bucket: Bucket, three_parts: Path) -> None:
    """Two runs that archive under one name do not end each other."""
    bucket.server.client().create_multipart_upload(Bucket=bucket.name, Key=three_parts.name)

    bucket.archive().store(three_parts, digest=digest_of(three_parts))

    assert bucket.state() == ([three_parts.name], [three_parts.name])


def test_memory_does_not_grow_with_the_bundle(bucket: Bucket, tmp_path: Path) -> None:
    """Archiving 128 MiB takes a few parts' worth of memory."""
    large = tmp_path / "large.tar.zst"
    with large.open("wb") as file:
        file.truncate(128 * MIB)
    process = store_elsewhere(bucket, bucket.server.endpoint, large)

    grown, errors = process.communicate(timeout=120)

    assert errors == ""
    assert int(grown) * 1024 < 64 * MIB
