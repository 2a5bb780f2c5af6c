"""Stores in a bucket of the real S3 server, and ways to look into one from outside."""

from pydantic import SecretStr

from edgelift.demo.content import SampleImage
from edgelift.oci.content import CHUNK
from edgelift.oci.descriptor import Descriptor
from edgelift.store.s3 import S3Store
from edgelift.store.s3_partial import SMALLEST_PIECE
from tests.archive.buckets import Bucket
from tests.store.content import describe, name_of

PIECE = SMALLEST_PIECE
MARK = "edgelift-store"


def store_in(bucket: Bucket, **settings: object) -> S3Store:
    """A store in `bucket`, as another machine would open it, with pieces as small as S3 joins them."""
    defaults = {
        "bucket": bucket.name,
        "endpoint": bucket.server.endpoint,
        "access_key": SecretStr(bucket.server.access_key),
        "secret_key": SecretStr(bucket.server.secret_key),
        "piece_size": PIECE,
    }
    return S3Store(**{**defaults, **settings})


def bring(store: S3Store, content: bytes, *, fetched: list[int] | None = None) -> Descriptor:
    """Put `content` into the store as a pull does, going on where an attempt has ended; notes the bytes it took."""
    descriptor = describe(content)
    with store.ingest(descriptor) as partial:
        if partial is not None:
            rest = content[partial.offset :]
            for start in range(0, len(rest), CHUNK):
                partial.write(rest[start : start + CHUNK])
            partial.commit()
            if fetched is not None:
                fetched.append(len(rest))
    return descriptor


def keep_in_bucket(store: S3Store, *images: SampleImage) -> None:
    """Put `images` into the store as pulls do."""
    for image in images:
        for descriptor in (*image.blobs, *image.manifests):
            store.write(descriptor, image.contents[descriptor.digest])
        store.tag({name_of(image): image.root})


def keys_in(bucket: Bucket, beginning: str = "") -> list[str]:
    """What anybody sees in the bucket, but for the mark of the store, and those of who has it open."""
    found = (key for key in bucket.state()[0] if key.startswith(beginning))
    return [key for key in found if key != MARK and (beginning or not key.startswith("use/"))]


def uploads_in(bucket: Bucket) -> list[str]:
    """The uploads that are neither completed nor aborted."""
    return bucket.state()[1]
