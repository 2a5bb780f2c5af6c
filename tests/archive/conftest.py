"""What the tests of archives in S3 have in common."""

import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

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
