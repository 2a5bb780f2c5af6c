"""What the tests of archives in S3 have in common."""

import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench.wire import Forwarder
from tests.archive.buckets import PART, Bucket
from tests.archive.faulty_s3 import FaultyS3, faulty_s3
from tests.real_parts import RunningS3


@pytest.fixture
def bucket(s3_server: RunningS3) -> Bucket:
    """An empty bucket."""
    return Bucket(s3_server, s3_server.make_bucket(f"test-{uuid.uuid4().hex[:12]}"))


@pytest.fixture
def proxy(s3_server: RunningS3) -> Iterator[FaultyS3]:
    """A proxy before the S3 server, with no fault set."""
    with faulty_s3(s3_server) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def three_parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that takes three parts, the last one short."""
    path = tmp_path_factory.mktemp("bundle") / "edge.tar.zst"
    path.write_bytes(random.Random(7).randbytes(2 * PART + 1234))
    return path


@pytest.fixture
def counter(bucket: Bucket) -> Iterator[Forwarder]:
    """A forwarder before the S3 server that counts."""
    forwarder = Forwarder(urlsplit(bucket.server.endpoint).netloc)
    forwarder.start()
    yield forwarder
    forwarder.close()


@pytest.fixture
def keys(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment as boto3 reads it, with what the server asks for."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket.server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bucket.server.secret_key)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    return monkeypatch
