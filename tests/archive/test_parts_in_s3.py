"""Bundles in parts that lie in S3: a real SeaweedFS, every byte of whose answers is counted."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench.wire import Forwarder
from edgelift.bundle.file_digest import FileDigest
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.signed import check_bundle
from edgelift.bundle.verify import verify_open
from edgelift.errors import BundleError, IntegrityError, StoreError
from tests.archive.buckets import Bucket, digest_of
from tests.bundle.parted import Parted, flip, make_parted
from tests.keys import signing_key


@dataclass(frozen=True)
class Kept:
    """A signed bundle in parts in a bucket, and a forwarder before that."""

    parted: Parted
    bucket: Bucket
    counter: Forwarder

    def open(self, name: str = "site.tar.zst.parts.json") -> BundleReader:
        """What is in the bucket under that name."""
        archive = self.bucket.archive(endpoint=f"http://{self.counter.host}")
        return BundleReader.of(archive.open(f"sites/{name}"))

    def put(self, path: Path) -> None:
        """Keep a file there."""
        self.bucket.archive().store(path, digest=digest_of(path), name=f"sites/{path.name}")

    def remove(self, path: Path) -> None:
        """Lose it again."""
        self.bucket.server.client().delete_object(Bucket=self.bucket.name, Key=f"sites/{path.name}")


@pytest.fixture
def kept(bucket: Bucket, tmp_path: Path) -> Iterator[Kept]:
    """All files of a bundle in four parts."""
    forwarder = Forwarder(urlsplit(bucket.server.endpoint).netloc)
    forwarder.start()
    kept = Kept(make_parted(tmp_path, signing_key()), bucket, forwarder)
    for path in sorted(kept.parted.path.parent.iterdir()):
        kept.put(path)
    yield kept
    forwarder.close()


@pytest.mark.parametrize("name", ["site.tar.zst.parts.json", "site.tar.zst.part-0001"])
def test_it_is_read_and_verified_in_place(kept: Kept, name: str) -> None:
    """By its index or a part: every byte and the signature over all of them."""
    with kept.open(name) as bundle, FileDigest() as digest:
        verify_open(bundle, digest=digest)
        check_bundle(bundle, signing_key().public_key)

    assert bundle.name == f"s3://{kept.bucket.name}/sites/site.tar.zst"
    assert digest.value() == kept.parted.index.digest


def test_no_more_is_read_than_what_is_asked_for(kept: Kept) -> None:
    """Opening takes a look at each part; an image takes its own bytes, whatever border they cross."""
    with kept.open() as bundle:
        opened = kept.counter.meter.take()
        image = kept.parted.lock.images[0]
        for descriptor in (*image.manifests, *image.blobs):
            assert b"".join(bundle.read(descriptor)) == kept.parted.content.blobs[descriptor.digest]
        read = kept.counter.meter.take()

    assert opened.down < 150_000
    assert opened.requests.total() <= 1 + 4 + 3
    assert image.size <= read.down < 1.05 * image.size


def test_a_part_that_is_missing_or_cut_is_named(kept: Kept) -> None:
    """When it is opened, with what it has to be."""
    part = kept.parted.part(2)
    part.write_bytes(b"short")
    kept.put(part)
    with pytest.raises(BundleError, match="part-0002 is damaged: it has 5 bytes; it has to have 1,048,576 and sha256"):
        kept.open()

    kept.remove(part)
    with pytest.raises(StoreError, match="part-0002"):
        kept.open()


def test_a_part_that_is_damaged_is_named(kept: Kept) -> None:
    """Where its bytes are read."""
    flip(kept.parted.part(2))
    kept.put(kept.parted.part(2))
    large = max((blob for image in kept.parted.lock.images for blob in image.blobs), key=lambda blob: blob.size)

    with kept.open() as bundle, pytest.raises(IntegrityError, match="part-0002"):
        list(bundle.read(large))


def test_an_index_under_another_name_is_refused(kept: Kept) -> None:
    """Its parts are not looked for."""
    other = kept.parted.path.with_name("other.tar.zst.parts.json")
    other.write_bytes(kept.parted.index_file.read_bytes())
    kept.put(other)

    with pytest.raises(BundleError, match="is the index of a bundle with another name"):
        kept.open(other.name)
