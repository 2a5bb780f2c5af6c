"""Bundles read in place in S3: a real SeaweedFS, every byte of whose answers is counted."""

import logging
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from bench.wire import Forwarder
from edgelift.bundle.file_digest import FileDigest
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.verify import verify_open
from edgelift.bundle.writer import assemble_bundle
from edgelift.errors import BundleError, ConfigurationError, EdgeliftError, IntegrityError, StoreError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.reference import ImageReference
from edgelift.s3_object import S3Object, open_object
from edgelift.serve.pinned import BundleContent, repository_name
from edgelift.serve.registry import create_registry
from edgelift.serve.server import RunningServer
from tests.archive.buckets import MIB, Bucket, digest_of
from tests.archive.faulty_s3 import Fault, FaultyS3
from tests.bundle.content import GZIP, MemoryContent, lock_of, mixed_content, noise

IMAGES, LAYERS, LAYER_SIZE = 8, 3, 4 * MIB
KEY = "sites/site-7.tar.zst"


@dataclass(frozen=True)
class Kept:
    """A bundle, and what it was made from."""

    path: Path
    lock: BundleLock
    content: MemoryContent

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size


@pytest.fixture(scope="session")
def eight_images(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Eight images of three layers that do not get smaller: 96 MiB."""
    content, image = MemoryContent(), []
    for number in range(IMAGES):
        layers = [content.add(noise(LAYER_SIZE, seed=number * LAYERS + each), GZIP) for each in range(LAYERS)]
        image.append(content.add_image(f"quay.io/team/app-{number}:1", layers))
    lock, path = lock_of(*image), tmp_path_factory.mktemp("eight") / "site-7.tar.zst"
    assemble_bundle(lock, content, path)
    return Kept(path, lock, content)


@pytest.fixture
def mixed(tmp_path: Path) -> Kept:
    """A small bundle of layers of every kind."""
    lock, content = mixed_content()
    path = tmp_path / "mixed.tar.zst"
    assemble_bundle(lock, content, path)
    return Kept(path, lock, content)


def put(bucket: Bucket, path: Path) -> None:
    """Keep the file in the bucket."""
    bucket.archive().store(path, digest=digest_of(path), name=KEY)


def open_in(bucket: Bucket, endpoint: str) -> BundleReader:
    """The bundle in the bucket, by way of `endpoint`."""
    return BundleReader.of(bucket.archive(endpoint=endpoint).open(KEY))


def layer_of(kept: Kept) -> Descriptor:
    """The largest blob."""
    return max((blob for image in kept.lock.images for blob in image.blobs), key=lambda blob: blob.size)


# How much is read


def test_little_is_read_to_open_a_bundle_and_no_more_than_an_image_for_an_image(
    bucket: Bucket, counter: Forwarder, eight_images: Kept
) -> None:
    """Opening takes three requests and under 1 % of the file; an image takes its own bytes and a request a blob."""
    put(bucket, eight_images.path)

    with open_in(bucket, f"http://{counter.host}") as bundle:
        opened = counter.meter.take()
        image = eight_images.lock.images[5]
        for descriptor in (*image.manifests, *image.blobs):
            content = b"".join(bundle.read(descriptor))
            assert eight_images.content.blobs[descriptor.digest] == content
        read = counter.meter.take()

    assert opened.down < eight_images.size / 100
    assert opened.requests.total() <= 3
    assert image.size <= read.down < 1.05 * image.size
    assert read.requests.total() <= len(image.blobs) + 1


def test_a_registry_over_a_bundle_in_s3_reads_what_is_asked_of_it(
    bucket: Bucket, counter: Forwarder, eight_images: Kept
) -> None:
    """A client of `serve` gets whole blobs and ranges; what is read from S3 for a range is that range."""
    put(bucket, eight_images.path)
    image = eight_images.lock.images[2]
    layer = image.blobs[1]
    home = f"/v2/{repository_name(ImageReference.parse(image.reference))}/blobs/{layer.digest}"

    with (
        open_in(bucket, f"http://{counter.host}") as bundle,
        RunningServer(create_registry(BundleContent(bundle))) as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
    ):
        counter.meter.take()
        part = client.get(home, headers={"Range": "bytes=3000000-3000099"})
        read = counter.meter.take().down
        whole = client.get(home)

    assert eight_images.content.blobs[layer.digest][3_000_000:3_000_100] == part.content
    assert eight_images.content.blobs[layer.digest] == whole.content
    assert read < 10_000


def test_verification_reads_the_file_once(bucket: Bucket, counter: Forwarder, eight_images: Kept) -> None:
    """All of it, once, in one request beside those of opening, and its digest is that of the file."""
    put(bucket, eight_images.path)

    with open_in(bucket, f"http://{counter.host}") as bundle, FileDigest() as digest:
        outcome = verify_open(bundle, digest=digest)
    read = counter.meter.take()

    assert (digest_of(eight_images.path), eight_images.size) == (digest.value(), outcome.file_size)
    assert read.down < 1.02 * eight_images.size
    assert read.requests.total() <= 5


def test_readers_at_the_same_time_hold_little(bucket: Bucket, eight_images: Kept) -> None:
    """Eight threads that read 96 MiB at once hold a few MiB each at most, whatever the size of a layer."""
    put(bucket, eight_images.path)
    blobs = [blob for image in eight_images.lock.images for blob in image.blobs]

    with open_in(bucket, bucket.server.endpoint) as bundle, ThreadPoolExecutor(8) as pool:
        tracemalloc.start()
        try:
            sizes = list(pool.map(lambda blob: sum(map(len, bundle.read(blob))), blobs))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert [blob.size for blob in blobs] == sizes
    assert peak < 8 * 2 * MIB


def test_everything_comes_back(bucket: Bucket, mixed: Kept) -> None:
    """Members of every kind are the same from S3 as from the disk, and so is any range of them."""
    put(bucket, mixed.path)

    with open_in(bucket, bucket.server.endpoint) as bundle:
        assert mixed.lock == bundle.lock
        assert (bundle.name, bundle.size) == (f"s3://{bucket.name}/{KEY}", mixed.size)
        for image in mixed.lock.images:
            for blob in (*image.manifests, *image.blobs):
                content = mixed.content.blobs[blob.digest]
                assert content[1:] == b"".join(bundle.read_range(blob, min(1, blob.size), blob.size))
                assert content == b"".join(bundle.read(blob))


# What goes wrong


def test_an_object_that_is_replaced_is_an_error(bucket: Bucket, eight_images: Kept, mixed: Kept) -> None:
    """Where another bundle takes the name meanwhile, nothing of it is mixed in: the next request is refused."""
    put(bucket, eight_images.path)
    with open_in(bucket, bucket.server.endpoint) as bundle:
        put(bucket, mixed.path)
        with pytest.raises(StoreError, match=f"s3://{bucket.name}/{KEY}") as caught:
            list(bundle.read(layer_of(eight_images)))

    assert "replaced" in str(caught.value)


def test_an_object_that_is_replaced_in_the_middle_of_a_blob_is_an_error(
    proxy: FaultyS3, bucket: Bucket, eight_images: Kept, mixed: Kept
) -> None:
    """A connection that breaks is not continued with another object's bytes."""
    put(bucket, eight_images.path)
    with open_in(bucket, proxy.endpoint) as bundle:
        proxy.faults.append(Fault("cut answer", "GET "))
        reading = bundle.read(layer_of(eight_images))
        next(reading)
        put(bucket, mixed.path)
        with pytest.raises(StoreError, match="replaced"):
            list(reading)


def test_a_server_that_looks_at_no_condition_is_found_out(bucket: Bucket, eight_images: Kept, mixed: Kept) -> None:
    """Its answers say themselves which object they are of."""
    put(bucket, eight_images.path)
    with open_in(bucket, bucket.server.endpoint) as bundle:
        source = bundle.tar.source
        assert isinstance(source, S3Object)
        source._client.meta.events.register(
            "before-call.s3.GetObject", lambda params, **_: params["headers"].pop("If-Match") and None
        )
        put(bucket, mixed.path)
        with pytest.raises(StoreError, match="something else than the bytes that were asked for"):
            list(bundle.read(layer_of(eight_images)))


def test_a_server_without_ranges_is_found_out(bucket: Bucket, eight_images: Kept) -> None:
    """It is told at the first answer, which is not read."""
    put(bucket, eight_images.path)
    archive = bucket.archive()
    archive._client.meta.events.register(
        "before-call.s3.GetObject", lambda params, **_: params["headers"].pop("Range") and None
    )

    with pytest.raises(StoreError, match="does not serve ranges"):
        archive.open(KEY)


def test_a_broken_connection_is_continued(
    proxy: FaultyS3, bucket: Bucket, eight_images: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    """After a cut the rest is asked for, and the blob is whole."""
    put(bucket, eight_images.path)
    layer = layer_of(eight_images)
    with open_in(bucket, proxy.endpoint) as bundle, caplog.at_level(logging.WARNING):
        proxy.faults.append(Fault("cut answer", "GET ", times=3))
        content = b"".join(bundle.read(layer))

    assert eight_images.content.blobs[layer.digest] == content
    assert proxy.faults[0].times == 0
    assert caplog.text.count(f"s3://{bucket.name}/{KEY} broke off at byte") == 3


def test_a_connection_that_breaks_while_opening_is_continued(proxy: FaultyS3, bucket: Bucket, mixed: Kept) -> None:
    """The first answer counts, even if it is lost on its way: what it would have said is asked for again."""
    put(bucket, mixed.path)
    proxy.cut_at = 1000
    proxy.faults.append(Fault("cut answer", "GET "))

    with open_in(bucket, proxy.endpoint) as bundle:
        assert mixed.lock == bundle.lock
    assert proxy.faults[0].times == 0


def test_a_server_that_asks_to_slow_down_is_asked_again(proxy: FaultyS3, bucket: Bucket, mixed: Kept) -> None:
    """Errors that pass are survived."""
    put(bucket, mixed.path)
    proxy.faults.append(Fault("slow down", "GET ", times=2))

    with open_in(bucket, proxy.endpoint) as bundle:
        assert mixed.lock == bundle.lock


def test_damage_is_found_before_the_last_byte_is_given_out(bucket: Bucket, eight_images: Kept, tmp_path: Path) -> None:
    """A blob with one wrong bit never leaves whole; the others do."""
    layer, other = eight_images.lock.images[0].blobs[1:3]
    file = bytearray(eight_images.path.read_bytes())
    file[file.index(eight_images.content.blobs[layer.digest][:64]) + 1000] ^= 1
    damaged = tmp_path / "damaged"
    damaged.write_bytes(file)
    put(bucket, damaged)

    with open_in(bucket, bucket.server.endpoint) as bundle:
        given: list[bytes] = []
        with pytest.raises(IntegrityError, match=f"s3://{bucket.name}/{KEY} is damaged"):
            given.extend(bundle.read(layer))
        assert sum(map(len, given)) < layer.size
        assert eight_images.content.blobs[other.digest] == b"".join(bundle.read(other))
        with pytest.raises(IntegrityError):
            verify_open(bundle)


CUTS = {"empty": 0, "a few bytes": 5, "cut in a frame": 1000, "without its last byte": -1}


@pytest.mark.parametrize("upto", CUTS.values(), ids=CUTS)
def test_a_bundle_that_is_not_whole_is_an_error(bucket: Bucket, mixed: Kept, tmp_path: Path, upto: int) -> None:
    """What was cut on its way into the bucket is told at once, by its URL."""
    cut = tmp_path / "cut"
    cut.write_bytes(mixed.path.read_bytes()[:upto])
    put(bucket, cut)

    with pytest.raises((BundleError, StoreError), match=f"s3://{bucket.name}/{KEY}"):
        open_in(bucket, bucket.server.endpoint)


# Who may read


def test_the_environment_says_which_server_and_which_keys(
    bucket: Bucket, mixed: Kept, keys: pytest.MonkeyPatch
) -> None:
    """A URL is enough where boto3 finds the rest."""
    put(bucket, mixed.path)

    with BundleReader.open(f"s3://{bucket.name}/{KEY}") as bundle:
        assert mixed.lock == bundle.lock


WRONG: dict[str, tuple[dict[str, str], type[EdgeliftError], str]] = {
    "a wrong secret": ({"AWS_SECRET_ACCESS_KEY": "a-made-up-and-wrong-one"}, StoreError, "check the access key"),
    "a wrong key": ({"AWS_ACCESS_KEY_ID": "nobody"}, StoreError, "check the access key"),
    "no keys": ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, ConfigurationError, "give"),
    "keys in the endpoint": ({"AWS_ENDPOINT_URL": "http://a:s3cr3t@127.0.0.1:9"}, ConfigurationError, "write it as"),
    "an endpoint that is none": ({"AWS_ENDPOINT_URL": "a:s3cr3t@127.0.0.1:9"}, ConfigurationError, "write it as"),
}


@pytest.mark.parametrize("case", WRONG)
def test_settings_that_do_not_fit_are_told(bucket: Bucket, mixed: Kept, keys: pytest.MonkeyPatch, case: str) -> None:
    """Whose fault it is can be seen, the next step is there, and no secret is."""
    settings, kind, hint = WRONG[case]
    put(bucket, mixed.path)
    for name, value in settings.items():
        keys.setenv(name, value)

    with pytest.raises(kind) as caught:
        open_object(f"s3://{bucket.name}/{KEY}")

    assert str(caught.value.hint).startswith(hint)
    assert "s3cr3t" not in str(caught.value)
    assert bucket.server.secret_key not in str(caught.value)


def test_what_is_not_there_is_told(bucket: Bucket, keys: pytest.MonkeyPatch) -> None:
    """A key or a bucket that does not exist is named, with the server that was asked."""
    server = urlsplit(bucket.server.endpoint).netloc
    for url, code in ((f"s3://{bucket.name}/none", "NoSuchKey"), ("s3://no-such-bucket/none", "NoSuchBucket")):
        with pytest.raises(StoreError, match=f"cannot read {url}: {server} answered {code}"):
            open_object(url)


@pytest.mark.parametrize("url", ["s3://", "s3://bucket", "s3://bucket/", "s3:///key", "s3://bucket/k\x1b[2J"])
def test_what_names_no_object_is_refused(url: str) -> None:
    """Nothing is asked of any server."""
    with pytest.raises(ConfigurationError, match="does not name an object"):
        open_object(url)


def test_an_archive_opens_by_name_and_by_url(bucket: Bucket, mixed: Kept) -> None:
    """The URL that `store` gave opens again, as does the name below the archive's prefix; another bucket's does not."""
    archive = bucket.archive(prefix="sites")
    kept = archive.store(mixed.path, digest=digest_of(mixed.path))

    for name in (kept.url, mixed.path.name):
        with BundleReader.of(archive.open(name)) as bundle:
            assert mixed.lock == bundle.lock
    for other in ("s3://another/sites/mixed.tar.zst", "../mixed.tar.zst"):
        with pytest.raises(ConfigurationError, match="cannot be the name"):
            archive.open(other)
