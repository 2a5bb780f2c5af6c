"""Content for the tests of the store, and ways to look into one from outside."""

import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.demo.content import SampleImage
from edgelift.oci.content import CHUNK
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.store.local import LocalStore

Way = Callable[[LocalStore, Descriptor], Iterator[bytes]]


def _read_into(store: LocalStore, descriptor: Descriptor) -> Iterator[bytes]:
    return map(bytes, store.read_into(memoryview(bytearray(CHUNK - 1)), descriptor))


WAYS: dict[str, Way] = {"read": LocalStore.read, "read_into": _read_into}  # content leaves a store in either of them
MEDIA_TYPE = "application/octet-stream"


def make_bytes(size: int) -> bytes:
    """`size` bytes in which no two chunks are the same."""
    return random.Random(size).randbytes(size)


def describe(content: bytes, algorithm: str = "sha256") -> Descriptor:
    """The descriptor of `content`."""
    digest = Digest(f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}")
    return Descriptor(media_type=MEDIA_TYPE, digest=digest, size=len(content))


def keep(store: LocalStore, content: bytes) -> Descriptor:
    """Put `content` into the store, as a pull does, and return what it is."""
    descriptor = describe(content)
    with store.ingest(descriptor) as partial:
        assert partial is not None
        for start in range(0, len(content), CHUNK):
            partial.write(content[start : start + CHUNK])
        partial.commit()
    return descriptor


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` with its content."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)}


def name_of(image: SampleImage, host: str = "registry.example") -> str:
    """The reference of `image` at the registry `host`."""
    return f"{host}/{image.repository}:{image.tag}"


def keep_image(store: LocalStore, image: SampleImage, *, days: float = 0, host: str = "registry.example") -> str:
    """Put `image` into the store as a pull of so many `days` ago did; gives its reference."""
    for descriptor in (*image.blobs, *image.manifests):
        store.write(descriptor, image.contents[descriptor.digest])
    store.tag({name_of(image, host): image.root})
    for descriptor in (*image.blobs, *image.manifests):
        make_older(store.path(descriptor.digest), days)
    return name_of(image, host)


def make_older(path: Path, days: float) -> None:
    """Have `path` look as if it had last been written so many `days` ago."""
    moment = time.time() - days * 86_400
    os.utime(path, (moment, moment))


def lock_of(*images: SampleImage, host: str = "registry.example") -> BundleLock:
    """The lock of `images` at the registry `host`."""
    locked = tuple(
        LockedImage(reference=name_of(each, host), descriptor=each.root, manifests=each.manifests, blobs=each.blobs)
        for each in images
    )
    asked = tuple(RequestedImage(reference=each.reference) for each in locked)
    return BundleLock(definition=BundleDefinition(name="site", images=asked), images=locked)


def blobs_in(store: LocalStore) -> set[str]:
    """The digests of everything that has a name in the store."""
    return {f"{path.parent.name}:{path.name}" for path in (store.root / "blobs").glob("*/*")}


def contents_of(*images: SampleImage) -> set[str]:
    """The digests of everything that `images` consist of."""
    return {str(digest) for image in images for digest in image.contents}
