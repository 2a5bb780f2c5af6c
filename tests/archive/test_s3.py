"""Bundles kept in S3: a real SeaweedFS."""

import base64
import pickle
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from pydantic import SecretStr

from edgelift.archive.s3 import S3Archive
from edgelift.archive.s3_upload import MAX_PARTS, part_size_for
from edgelift.errors import ConfigurationError, IntegrityError, StoreError
from edgelift.oci.digest import Digest
from tests.archive.buckets import MIB, PART, Bucket, digest_of
from tests.archive.faulty_s3 import FaultyS3, faulty_s3
from tests.certificates import Authority


def test_a_bundle_of_many_parts_arrives_as_it_is(bucket: Bucket, three_parts: Path) -> None:
    """A bundle of three parts is one object with its bytes, its digest in the metadata, and our own labels."""
    archive = bucket.archive(prefix="/site-a/", metadata={"site": "a"})

    kept = archive.store(three_parts, digest=digest_of(three_parts))

    assert (f"s3://{bucket.name}/site-a/edge.tar.zst", three_parts.stat().st_size) == (kept.url, kept.size)
    answer = bucket.server.client().get_object(Bucket=bucket.name, Key="site-a/edge.tar.zst")
    assert three_parts.read_bytes() == answer["Body"].read()
    assert {"edgelift-digest": digest_of(three_parts), "site": "a"} == answer["Metadata"]
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


@pytest.mark.parametrize("part_size", [PART, 4 * PART], ids=["in parts", "in one request"])
def test_the_server_keeps_a_checksum_of_the_whole(bucket: Bucket, three_parts: Path, part_size: int) -> None:
    """A server that can, as SeaweedFS, notes the CRC32 of all of it, whatever it was sent in."""
    bucket.archive(part_size=part_size).store(three_parts, digest=digest_of(three_parts))

    head = bucket.server.client().head_object(Bucket=bucket.name, Key=three_parts.name, ChecksumMode="ENABLED")
    crc = zlib.crc32(three_parts.read_bytes()).to_bytes(4, "big")
    assert base64.b64encode(crc).decode() == head["ChecksumCRC32"]


def test_a_server_without_checksums_is_sent_none(bucket: Bucket, three_parts: Path) -> None:
    """Where the answer to the first request does not speak of a checksum, none goes with the parts."""
    archive, sent = bucket.archive(), list[str]()
    events = archive._client.meta.events
    events.register("before-call.s3", lambda params, **_: sent.extend(params["headers"]))

    def strip(params: dict[str, dict[str, str]], **_: object) -> None:
        for name in ("x-amz-checksum-algorithm", "x-amz-checksum-type"):
            params["headers"].pop(name, None)

    events.register("before-call.s3.CreateMultipartUpload", strip)

    archive.store(three_parts, digest=digest_of(three_parts))

    assert "x-amz-checksum-crc32" not in sent
    assert three_parts.read_bytes() == bucket.content(three_parts.name)


def test_the_same_bundle_is_not_sent_twice(proxy: FaultyS3, bucket: Bucket, three_parts: Path) -> None:
    """A second run asks once whether the bundle is there, and reports its size as done."""
    archive = bucket.archive(endpoint=proxy.endpoint)
    first = archive.store(three_parts, digest=digest_of(three_parts))
    proxy.seen.clear()
    done: list[int] = []

    again = archive.store(three_parts, digest=digest_of(three_parts), progress=done.append)

    assert first == again
    assert [f"HEAD /{bucket.name}/edge.tar.zst"] == proxy.seen
    assert [three_parts.stat().st_size] == done


def test_other_content_of_the_same_name_is_replaced(bucket: Bucket, three_parts: Path, tmp_path: Path) -> None:
    """A changed bundle of the same size takes the place of the one that is there."""
    changed = tmp_path / three_parts.name
    changed.write_bytes(three_parts.read_bytes()[::-1])
    archive = bucket.archive()
    archive.store(three_parts, digest=digest_of(three_parts))

    archive.store(changed, digest=digest_of(changed))

    assert digest_of(changed) == archive.restore(three_parts.name, tmp_path / "back").digest


def test_progress_adds_up_to_the_size(bucket: Bucket, three_parts: Path, tmp_path: Path) -> None:
    """What the progress callable is told amounts to the size of the three_parts, on both ways."""
    archive = bucket.archive()
    sent: list[int] = []
    fetched: list[int] = []

    archive.store(three_parts, digest=digest_of(three_parts), progress=sent.append)
    archive.restore(three_parts.name, tmp_path / "back", progress=fetched.append)

    assert [three_parts.stat().st_size] * 2 == [sum(sent), sum(fetched)]


def test_a_changed_bundle_never_becomes_visible(bucket: Bucket, three_parts: Path) -> None:
    """A file that is not what its digest says is sent nowhere: no object, no upload left."""
    with pytest.raises(IntegrityError, match=r"edge\.tar\.zst is not what its digest says"):
        bucket.archive().store(three_parts, digest=Digest.of(b"another bundle"))

    assert bucket.state() == ([], [])


def test_a_given_digest_goes_before_the_noted_one(bucket: Bucket, three_parts: Path, tmp_path: Path) -> None:
    """Who knows which bundle it has to be gets that one or an error, whatever the metadata claims."""
    archive = bucket.archive()
    archive.store(three_parts, digest=digest_of(three_parts))

    with pytest.raises(IntegrityError):
        archive.restore(three_parts.name, tmp_path / "back", digest=Digest.of(b"the bundle that was approved"))

    assert list(tmp_path.iterdir()) == []


def test_an_object_without_a_digest_needs_one_given(bucket: Bucket, three_parts: Path, tmp_path: Path) -> None:
    """What another tool has put there is restored only against a digest from outside."""
    bucket.server.client().upload_file(str(three_parts), bucket.name, "foreign.tar.zst")
    archive = bucket.archive()

    with pytest.raises(StoreError, match="no digest in its metadata"):
        archive.restore("foreign.tar.zst", tmp_path / "back")
    archive.restore("foreign.tar.zst", tmp_path / "back", digest=digest_of(three_parts))

    assert digest_of(three_parts) == digest_of(tmp_path / "back")


REFUSALS = {
    "no such bucket": ({"bucket": "nobody-made-this"}, "NoSuchBucket", "make the bucket"),
    "a wrong secret": ({"secret_key": SecretStr("not-the-secret")}, "SignatureDoesNotMatch", "check the access key"),
    "an unknown key": ({"access_key": SecretStr("stranger")}, "InvalidAccessKeyId", "check the access key"),
}


@pytest.mark.parametrize("part_size", [PART, 4 * PART], ids=["in parts", "in one request"])
@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_says_what_to_do(bucket: Bucket, three_parts: Path, case: str, part_size: int) -> None:
    """What the server's refusal means is a next step, and no key is in it."""
    settings, code, hint = REFUSALS[case]

    with pytest.raises(StoreError, match=code) as caught:
        bucket.archive(part_size=part_size, **settings).store(three_parts, digest=digest_of(three_parts))

    assert str(caught.value.hint).startswith(hint)
    assert not caught.value.retryable
    for secret in (bucket.server.secret_key, "not-the-secret"):
        assert secret not in str(caught.value) + repr(caught.value)


def test_a_name_that_is_not_there_is_an_error(bucket: Bucket, tmp_path: Path) -> None:
    """Restoring what was never archived says where it was looked for."""
    with pytest.raises(StoreError, match=f"cannot restore s3://{bucket.name}/absent.tar.zst: .* answered 404"):
        bucket.archive().restore("absent.tar.zst", tmp_path / "back")


def test_an_endpoint_that_does_not_answer_is_worth_a_retry(bucket: Bucket, three_parts: Path) -> None:
    """Nothing listens there: the error names the host, and can be retried."""
    archive = bucket.archive(endpoint="http://127.0.0.1:9")

    with pytest.raises(StoreError, match=r"no answer from 127\.0\.0\.1:9") as caught:
        archive.store(three_parts, digest=digest_of(three_parts))

    assert caught.value.retryable


TRUST = {
    "its authority is given": (lambda ca_cert: {"ca_cert": ca_cert}, True),
    "unchecked on request": (lambda ca_cert: {"insecure": True}, True),
    "nothing vouches for it": (lambda ca_cert: {}, False),
}


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize(("settings", "is_trusted"), TRUST.values(), ids=TRUST)
def test_a_certificate_has_to_be_trusted(
    bucket: Bucket, tmp_path: Path, settings: Callable[[Path], dict[str, object]], is_trusted: bool
) -> None:
    """A server with a certificate of one's own needs its authority, or the wish not to look."""
    authority = Authority(tmp_path)
    note = tmp_path / "edge.tar.zst.sig"
    note.write_bytes(b"signed")
    with faulty_s3(bucket.server, authority.issue("127.0.0.1")) as proxy:
        archive = bucket.archive(endpoint=proxy.endpoint, **settings(authority.ca_cert))

        with nullcontext() if is_trusted else pytest.raises(StoreError, match="give the certificate"):
            archive.store(note, digest=digest_of(note))

    assert bucket.state() == (["edge.tar.zst.sig"] if is_trusted else [], [])


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
    bucket: Bucket, three_parts: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without keys in the settings, the environment or a file, the error says to give some."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(ConfigurationError, match="Unable to locate credentials"):
        bucket.archive(access_key=None, secret_key=None).store(three_parts, digest=digest_of(three_parts))


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


def test_errors_survive_a_process_boundary(bucket: Bucket, tmp_path: Path) -> None:
    """A task in another process reports the same error, hint and all."""
    with pytest.raises(StoreError) as caught:
        bucket.archive().restore("absent", tmp_path / "back")

    copied = pickle.loads(pickle.dumps(caught.value))

    assert (str(caught.value), caught.value.retryable) == (str(copied), copied.retryable)
