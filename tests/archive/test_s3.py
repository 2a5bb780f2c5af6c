"""Bundles kept in S3: a real SeaweedFS, behind a proxy where something goes wrong on the way."""

import datetime
import os
import pickle
import random
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from edgelift.archive import s3 as s3_archive
from edgelift.archive.s3 import MAX_PARTS, S3Archive, part_size_for
from edgelift.errors import ConfigurationError, IntegrityError, StoreError
from edgelift.oci.digest import Digest
from tests.archive.faulty_s3 import Fault, FaultyS3, faulty_s3
from tests.real_parts import RunningS3

MIB = 2**20
PART = 5 * MIB
NONE = datetime.timedelta(0)


@dataclass(frozen=True)
class Bucket:
    """A bucket of the test's own; what is in it is looked at without the archive."""

    server: RunningS3
    name: str

    def archive(self, **settings: object) -> S3Archive:
        """An archive in this bucket, with parts as small as S3 takes them, unless `settings` say otherwise."""
        defaults = {
            "bucket": self.name,
            "endpoint": self.server.endpoint,
            "access_key": SecretStr(self.server.access_key),
            "secret_key": SecretStr(self.server.secret_key),
            "part_size": PART,
        }
        return S3Archive(**{**defaults, **settings})

    def content(self, key: str) -> bytes:
        """What anybody reads under `key`."""
        return self.server.client().get_object(Bucket=self.name, Key=key)["Body"].read()

    def state(self) -> tuple[list[str], list[str]]:
        """The objects that anybody can see, and the uploads that are neither completed nor aborted."""
        client = self.server.client()
        objects = client.list_objects_v2(Bucket=self.name).get("Contents", [])
        uploads = client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])
        return [entry["Key"] for entry in objects], [entry["Key"] for entry in uploads]


@pytest.fixture
def bucket(s3_server: RunningS3) -> Bucket:
    """An empty bucket."""
    return Bucket(s3_server, s3_server.make_bucket(f"test-{uuid.uuid4().hex[:12]}"))


@pytest.fixture
def proxy(s3_server: RunningS3) -> Iterator[FaultyS3]:
    """A proxy before the S3 server, with no fault set."""
    with faulty_s3(s3_server) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that takes three parts, the last one short."""
    path = tmp_path_factory.mktemp("bundle") / "edge.tar.zst"
    path.write_bytes(random.Random(7).randbytes(2 * PART + 1234))
    return path


def digest_of(path: Path) -> Digest:
    """The sha256 digest of a file."""
    return Digest.of(path.read_bytes())


def test_a_bundle_of_many_parts_arrives_as_it_is(bucket: Bucket, bundle: Path) -> None:
    """A bundle of three parts is one object with its bytes, its digest in the metadata, and our own labels."""
    archive = bucket.archive(prefix="/site-a/", metadata={"site": "a"})

    kept = archive.store(bundle, digest=digest_of(bundle))

    assert (f"s3://{bucket.name}/site-a/edge.tar.zst", bundle.stat().st_size) == (kept.url, kept.size)
    answer = bucket.server.client().get_object(Bucket=bucket.name, Key="site-a/edge.tar.zst")
    assert bundle.read_bytes() == answer["Body"].read()
    assert {"edgelift-digest": digest_of(bundle), "site": "a"} == answer["Metadata"]
    assert bucket.state() == (["site-a/edge.tar.zst"], [])


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1], ids=["empty", "one byte", "just one part", "a byte more"])
def test_sizes_around_one_part_come_back_the_same(bucket: Bucket, tmp_path: Path, size: int) -> None:
    """Small files, such as signatures, and those at the edge of a part, are stored and restored like large ones."""
    path = tmp_path / "sent"
    path.write_bytes(b"x" * size)
    archive = bucket.archive()
    archive.store(path, digest=digest_of(path), name="kept/here.sig")

    restored = archive.restore("kept/here.sig", tmp_path / "new folder" / "back")

    assert (size, digest_of(path)) == (restored.size, restored.digest)
    assert path.read_bytes() == (tmp_path / "new folder" / "back").read_bytes()


def test_the_same_bundle_is_not_sent_twice(proxy: FaultyS3, bucket: Bucket, bundle: Path) -> None:
    """A second run asks once whether the bundle is there, and reports its size as done."""
    archive = bucket.archive(endpoint=proxy.endpoint)
    first = archive.store(bundle, digest=digest_of(bundle))
    proxy.seen.clear()
    done: list[int] = []

    again = archive.store(bundle, digest=digest_of(bundle), progress=done.append)

    assert first == again
    assert [f"HEAD /{bucket.name}/edge.tar.zst"] == proxy.seen
    assert [bundle.stat().st_size] == done


def test_other_content_of_the_same_name_is_replaced(bucket: Bucket, bundle: Path, tmp_path: Path) -> None:
    """A changed bundle of the same size takes the place of the one that is there."""
    changed = tmp_path / bundle.name
    changed.write_bytes(bundle.read_bytes()[::-1])
    archive = bucket.archive()
    archive.store(bundle, digest=digest_of(bundle))

    archive.store(changed, digest=digest_of(changed))

    assert digest_of(changed) == archive.restore(bundle.name, tmp_path / "back").digest


def test_progress_adds_up_to_the_size(bucket: Bucket, bundle: Path, tmp_path: Path) -> None:
    """What the progress callable is told amounts to the size of the bundle, on both ways."""
    archive = bucket.archive()
    sent: list[int] = []
    fetched: list[int] = []

    archive.store(bundle, digest=digest_of(bundle), progress=sent.append)
    archive.restore(bundle.name, tmp_path / "back", progress=fetched.append)

    assert [bundle.stat().st_size] * 2 == [sum(sent), sum(fetched)]


def test_a_changed_bundle_never_becomes_visible(bucket: Bucket, bundle: Path) -> None:
    """A file that is not what its digest says is sent nowhere: no object, no upload left."""
    with pytest.raises(IntegrityError, match=r"edge\.tar\.zst is not what its digest says"):
        bucket.archive().store(bundle, digest=Digest.of(b"another bundle"))

    assert bucket.state() == ([], [])


COMPLETE = "POST .*uploadId="
FAULTS_THAT_STOP = {
    "a part is damaged on the way": (Fault("damage request", "partNumber=2"), ("BadDigest", True)),
    "a part is refused": (Fault("deny", "partNumber=2"), ("AccessDenied", False)),
    "the parts may not become an object": (Fault("deny", COMPLETE), ("AccessDenied", False)),
}


@pytest.mark.parametrize(("fault", "answer"), FAULTS_THAT_STOP.values(), ids=FAULTS_THAT_STOP)
def test_an_upload_that_fails_leaves_nothing(
    proxy: FaultyS3, bucket: Bucket, bundle: Path, fault: Fault, answer: tuple[str, bool]
) -> None:
    """The error names what the server said; neither an object nor a begun upload stays."""
    code, retryable = answer
    proxy.faults.append(replace(fault))

    with pytest.raises(
        StoreError, match=f"cannot archive edge.tar.zst as s3://{bucket.name}/edge.tar.zst.*{code}"
    ) as caught:
        bucket.archive(endpoint=proxy.endpoint).store(bundle, digest=digest_of(bundle))

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
    proxy: FaultyS3, bucket: Bucket, bundle: Path, faults: list[Fault]
) -> None:
    """The bundle is whole in the end, whatever has to be asked again."""
    proxy.faults.extend(replace(fault) for fault in faults)

    bucket.archive(endpoint=proxy.endpoint).store(bundle, digest=digest_of(bundle))

    assert [fault.times for fault in proxy.faults] == [0] * len(faults)
    assert bundle.read_bytes() == bucket.content(bundle.name)


def test_an_object_that_cannot_be_seen_is_not_taken_for_kept(proxy: FaultyS3, bucket: Bucket, bundle: Path) -> None:
    """Where the server takes the bundle but does not show it, that is an error that says which right is missing."""
    proxy.faults.append(Fault("deny", "HEAD ", times=2))

    with pytest.raises(StoreError, match="allow s3:GetObject"):
        bucket.archive(endpoint=proxy.endpoint).store(bundle, digest=digest_of(bundle))


def test_a_broken_download_is_continued(proxy: FaultyS3, bucket: Bucket, bundle: Path, tmp_path: Path) -> None:
    """After a cut the rest is asked for, not the whole again."""
    archive = bucket.archive(endpoint=proxy.endpoint)
    archive.store(bundle, digest=digest_of(bundle))
    proxy.faults.append(Fault("cut answer", "GET ", times=2))
    fetched: list[int] = []

    archive.restore(bundle.name, tmp_path / "back", progress=fetched.append)

    assert digest_of(bundle) == digest_of(tmp_path / "back")
    assert (0, bundle.stat().st_size) == (proxy.faults[0].times, sum(fetched))


def test_a_damaged_download_gets_no_name(proxy: FaultyS3, bucket: Bucket, bundle: Path, tmp_path: Path) -> None:
    """Wrong bytes raise `IntegrityError`; an earlier file of that name stands, and nothing lies beside it."""
    archive = bucket.archive(endpoint=proxy.endpoint)
    archive.store(bundle, digest=digest_of(bundle))
    proxy.faults.append(Fault("damage answer", "GET "))
    (tmp_path / "back").write_bytes(b"what was here before")

    with pytest.raises(IntegrityError, match=f"s3://{bucket.name}/edge.tar.zst is not what its digest says"):
        archive.restore(bundle.name, tmp_path / "back")

    assert [(tmp_path / "back", b"what was here before")] == [(p, p.read_bytes()) for p in tmp_path.iterdir()]


def test_a_given_digest_goes_before_the_noted_one(bucket: Bucket, bundle: Path, tmp_path: Path) -> None:
    """Who knows which bundle it has to be gets that one or an error, whatever the metadata claims."""
    archive = bucket.archive()
    archive.store(bundle, digest=digest_of(bundle))

    with pytest.raises(IntegrityError):
        archive.restore(bundle.name, tmp_path / "back", digest=Digest.of(b"the bundle that was approved"))

    assert list(tmp_path.iterdir()) == []


def test_an_object_without_a_digest_needs_one_given(bucket: Bucket, bundle: Path, tmp_path: Path) -> None:
    """What another tool has put there is restored only against a digest from outside."""
    bucket.server.client().upload_file(str(bundle), bucket.name, "foreign.tar.zst")
    archive = bucket.archive()

    with pytest.raises(StoreError, match="no digest in its metadata"):
        archive.restore("foreign.tar.zst", tmp_path / "back")
    archive.restore("foreign.tar.zst", tmp_path / "back", digest=digest_of(bundle))

    assert digest_of(bundle) == digest_of(tmp_path / "back")


REFUSALS = {
    "no such bucket": ({"bucket": "nobody-made-this"}, "NoSuchBucket", "make the bucket"),
    "a wrong secret": ({"secret_key": SecretStr("not-the-secret")}, "SignatureDoesNotMatch", "check the access key"),
    "an unknown key": ({"access_key": SecretStr("stranger")}, "InvalidAccessKeyId", "check the access key"),
}


@pytest.mark.parametrize("part_size", [PART, 4 * PART], ids=["in parts", "in one request"])
@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_says_what_to_do(bucket: Bucket, bundle: Path, case: str, part_size: int) -> None:
    """What the server's refusal means is a next step, and no key is in it."""
    settings, code, hint = REFUSALS[case]

    with pytest.raises(StoreError, match=code) as caught:
        bucket.archive(part_size=part_size, **settings).store(bundle, digest=digest_of(bundle))

    assert str(caught.value.hint).startswith(hint)
    assert not caught.value.retryable
    for secret in (bucket.server.secret_key, "not-the-secret"):
        assert secret not in str(caught.value) + repr(caught.value)


def test_a_name_that_is_not_there_is_an_error(bucket: Bucket, tmp_path: Path) -> None:
    """Restoring what was never archived says where it was looked for."""
    with pytest.raises(StoreError, match=f"cannot restore s3://{bucket.name}/absent.tar.zst: .* answered 404"):
        bucket.archive().restore("absent.tar.zst", tmp_path / "back")


def test_an_endpoint_that_does_not_answer_is_worth_a_retry(bucket: Bucket, bundle: Path) -> None:
    """Nothing listens there: the error names the host, and can be retried."""
    archive = bucket.archive(endpoint="http://127.0.0.1:9")

    with pytest.raises(StoreError, match=r"no answer from 127\.0\.0\.1:9") as caught:
        archive.store(bundle, digest=digest_of(bundle))

    assert caught.value.retryable


BAD_SETTINGS = {
    "an endpoint without a scheme": {"endpoint": "seaweed:8333"},
    "an endpoint with keys in it": {"endpoint": "https://key:a-made-up-secret@s3.example"},
    "parts that S3 would refuse": {"part_size": MIB},
    "a prefix that climbs": {"prefix": "../elsewhere"},
    "an authority that is no file": {"ca_cert": Path("/nowhere/ca.pem")},
}


@pytest.mark.parametrize("settings", BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_settings_that_cannot_work_are_refused_at_once(settings: dict[str, object]) -> None:
    """What is wrong with the settings is said before anything is sent, without showing a secret."""
    with pytest.raises(ConfigurationError) as caught:
        S3Archive("bucket", **settings)

    assert "a-made-up-secret" not in str(caught.value)


def test_keys_that_are_nowhere_are_asked_for(
    bucket: Bucket, bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without keys in the settings, the environment or a file, the error says to give some."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(ConfigurationError, match="Unable to locate credentials"):
        bucket.archive(access_key=None, secret_key=None).store(bundle, digest=digest_of(bundle))


PART_SIZES = {
    "small enough for the usual parts": (16 * MIB * MAX_PARTS, 16 * MIB),
    "one byte too many": (16 * MIB * MAX_PARTS + 1, 16 * MIB + 1),
    "a terabyte": (2**40, 109_951_163),
}


@pytest.mark.parametrize(("size", "part"), PART_SIZES.values(), ids=PART_SIZES)
def test_large_bundles_get_larger_parts(size: int, part: int) -> None:
    """No bundle takes more than 10 000 parts."""
    assert part == part_size_for(size, 16 * MIB)
    assert -(-size // part) <= MAX_PARTS


def test_a_bundle_beyond_s3_is_refused() -> None:
    """What would take more than 10 000 parts of 5 GiB cannot be one object."""
    with pytest.raises(ConfigurationError, match="more than S3 keeps in one object"):
        part_size_for(MAX_PARTS * 5 * 2**30 + 1, 16 * MIB)


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


def test_a_killed_upload_shows_nothing_and_a_later_one_cleans_up(proxy: FaultyS3, bucket: Bucket, bundle: Path) -> None:
    """After SIGKILL no object is there; the next run removes the parts that stayed, and archives the bundle."""
    proxy.faults.append(Fault("hold", "partNumber=3"))
    process = store_elsewhere(bucket, proxy.endpoint, bundle)
    assert proxy.held.wait(30)
    process.kill()
    process.communicate()
    assert bucket.state() == ([], [bundle.name])

    bucket.archive(leftovers_after=NONE).store(bundle, digest=digest_of(bundle))

    assert bucket.state() == ([bundle.name], [])


def test_an_interrupted_upload_is_aborted(proxy: FaultyS3, bucket: Bucket, bundle: Path) -> None:
    """Ctrl-C ends the upload: neither an object nor parts of one stay."""
    proxy.faults.append(Fault("hold", "partNumber=3"))
    process = store_elsewhere(bucket, proxy.endpoint, bundle)
    assert proxy.held.wait(30)

    process.send_signal(signal.SIGINT)
    proxy.released.set()
    _, errors = process.communicate(timeout=30)

    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert bucket.state() == ([], [])


def test_a_young_upload_of_another_process_is_left_alone(bucket: Bucket, bundle: Path) -> None:
    """Two runs that archive under one name do not end each other."""
    bucket.server.client().create_multipart_upload(Bucket=bucket.name, Key=bundle.name)

    bucket.archive().store(bundle, digest=digest_of(bundle))

    assert bucket.state() == ([bundle.name], [bundle.name])


def test_memory_does_not_grow_with_the_bundle(bucket: Bucket, tmp_path: Path) -> None:
    """Archiving 128 MiB takes a few parts' worth of memory."""
    large = tmp_path / "large.tar.zst"
    with large.open("wb") as file:
        file.truncate(128 * MIB)
    process = store_elsewhere(bucket, bucket.server.endpoint, large)

    grown, errors = process.communicate(timeout=120)

    assert errors == ""
    assert int(grown) * 1024 < 64 * MIB


def test_errors_survive_a_process_boundary(bucket: Bucket, tmp_path: Path) -> None:
    """A task in another process reports the same error, hint and all."""
    with pytest.raises(StoreError) as caught:
        bucket.archive().restore("absent", tmp_path / "back")

    copied = pickle.loads(pickle.dumps(caught.value))

    assert (str(caught.value), caught.value.retryable) == (str(copied), copied.retryable)
