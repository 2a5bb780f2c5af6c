"""Content for the tests of the store, and ways to look into one from outside."""

import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

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
