"""Content for the bundle tests: small images in memory, with layers of every kind, and the lock that names them."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import zstandard

from edgelift.bundle.definition import BundleDefinition, Origin, RequestedImage
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.errors import IntegrityError, StoreError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_INDEX, OCI_MANIFEST

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
GZIP = LAYER + "+gzip"
ZSTD = LAYER + "+zstd"
DOCKER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass
class MemoryContent:
    """A `ContentReader` and `BufferReader` over a dictionary; `chunk` is how many bytes it gives at a time."""

    blobs: dict[Digest, bytes] = field(default_factory=dict)
    chunk: int = 256 * 1024

    def add(self, content: bytes, media_type: str, algorithm: str = "sha256") -> Descriptor:
        """Keep `content`."""
        digest = Digest(f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}")
        self.blobs[digest] = content
        return Descriptor(media_type=media_type, digest=digest, size=len(content))

    def exists(self, descriptor: Descriptor) -> bool:
        """Whether it is here."""
        return len(self.blobs.get(descriptor.digest, b"")) == descriptor.size and descriptor.digest in self.blobs

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """The content in chunks, verified."""
        content = self.blobs.get(descriptor.digest)
        if content is None:
            raise StoreError(f"{descriptor.digest} is not in memory")
        if not descriptor.digest.matches(content):
            raise IntegrityError(f"the memory's copy of {descriptor.digest} is damaged", hint="pull it again")
        yield from (content[at : at + self.chunk] for at in range(0, len(content), self.chunk))

    def read_into(self, buffer: memoryview, descriptor: Descriptor) -> Iterator[memoryview]:
        """The same chunks, one after the other in `buffer`."""
        for chunk in self.read(descriptor):
            buffer[: len(chunk)] = chunk
            yield buffer[: len(chunk)]

    def add_image(self, reference: str, layers: Sequence[Descriptor]) -> LockedImage:
        """An image of one platform over `layers`."""
        config = self.add(_json({"architecture": "amd64", "os": "linux", "name": reference}), CONFIG)
        manifest = self.add(_json(_manifest(config, layers)), OCI_MANIFEST)
        return LockedImage(
            reference=reference, descriptor=manifest, manifests=(manifest,), blobs=_once((config, *layers))
        )

    def add_index(self, reference: str, images: Sequence[LockedImage]) -> LockedImage:
        """An index over `images`."""
        children = _once([image.descriptor for image in images])
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [_plain(child) for child in children]}
        index = self.add(_json(document), OCI_INDEX)
        return LockedImage(
            reference=reference,
            descriptor=index,
            manifests=(*children, index),
            blobs=_once([blob for image in images for blob in image.blobs]),
        )


def lock_of(*images: LockedImage) -> BundleLock:
    """The lock of `images` under a definition that asks for them."""
    origin = Origin(profile="edge-infra-ünï", pack="nginx", path="pack.content.images[0]")
    asked = tuple(RequestedImage(reference=image.reference, origins=(origin,)) for image in images)
    return BundleLock(definition=BundleDefinition(name="site-7", images=asked), images=images)


def mixed_content() -> tuple[BundleLock, MemoryContent]:
    """Four images in 30 KiB: layers in gzip, zstd, plain tar, tiny and empty ones, one of sha512; one index."""
    content = MemoryContent()
    shared = content.add(gzip.compress(tar_of(b"shared" * 700), mtime=0), GZIP)
    plain = content.add(tar_of(b"plain " * 900), LAYER)
    tiny = [content.add(b"x", GZIP), content.add(b"", DOCKER_GZIP), content.add(b"", LAYER)]
    packed = content.add(zstandard.compress(tar_of(bytes(range(256)) * 20)), ZSTD)
    long_named = content.add(noise(700), GZIP, "sha512")
    nginx = content.add_image("docker.io/library/nginx:1.27", [shared, plain])
    pause = content.add_image("registry.k8s.io/pause:3.9", [shared, *tiny])
    agent = content.add_image("quay.io/spectro/agent:v4.1.0", [packed, long_named])
    both = content.add_index("quay.io/spectro/both:v1", [nginx, agent])
    return lock_of(nginx, pause, agent, both), content


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that do not compress; the same for the same seed."""
    return hashlib.shake_128(seed.to_bytes(8, "big")).digest(size)


def tar_of(content: bytes) -> bytes:
    """A tar with one file."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        member = tarfile.TarInfo("etc/content")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def _manifest(config: Descriptor, layers: Sequence[Descriptor]) -> dict[str, object]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _plain(config),
        "layers": [_plain(layer) for layer in layers],
    }


def _plain(descriptor: Descriptor) -> dict[str, object]:
    return descriptor.model_dump(mode="json", by_alias=True, exclude_none=True)


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


def _once(descriptors: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
    return tuple({each.digest: each for each in descriptors}.values())
