"""Buckets of the real S3 server, for one test each."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from edgelift.archive.s3 import S3Archive
from edgelift.oci.digest import Digest
from tests.real_parts import RunningS3

MIB = 2**20
PART = 5 * MIB  # the smallest part that S3 takes


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


def digest_of(path: Path) -> Digest:
    """The sha256 digest of a file."""
    return Digest.of(path.read_bytes())
