"""What the tests of the store in S3 have in common."""

import uuid
from collections.abc import Iterator

import pytest

from tests.archive.buckets import Bucket
from tests.archive.faulty_s3 import FaultyS3, faulty_s3
from tests.real_parts import RunningS3


@pytest.fixture
def bucket(s3_server: RunningS3) -> Bucket:
    """An empty bucket."""
    return Bucket(s3_server, s3_server.make_bucket(f"store-{uuid.uuid4().hex[:12]}"))


@pytest.fixture
def proxy(s3_server: RunningS3) -> Iterator[FaultyS3]:
    """A proxy before the S3 server, with no fault set."""
    with faulty_s3(s3_server) as proxy:
        yield proxy
