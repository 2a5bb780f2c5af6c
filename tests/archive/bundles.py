"""Small bundles to be archived: each with its lock, and signed where there is a key."""

from pathlib import Path

from edgelift.bundle.cluster_definition import LockedClusterDefinition
from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.signature import PrivateKey
from edgelift.bundle.writer import assemble_bundle, signature_path
from tests.archive.buckets import digest_of
from tests.bundle.content import GZIP, MemoryContent, noise


def make_bundle(
    path: Path,
    *,
    name: str = "site-7",
    seed: int = 0,
    size: int = 2000,
    key: PrivateKey | None = None,
    definition_content: bytes | None = None,
) -> BundleLock:
    """Write the bundle of one image, with a layer of `size` bytes that `seed` chooses, and give its lock.

    With a `definition_content` it holds the cluster definition `harbour`.
    """
    content = MemoryContent()
    image = content.add_image("quay.io/team/app:1", [content.add(noise(size, seed), GZIP)])
    definition = BundleDefinition(name=name, architecture="amd64", images=(RequestedImage(reference=image.reference),))
    pinned = None
    if definition_content is not None:
        pinned = LockedClusterDefinition.of("harbour", definition_content, ())
        content.add(definition_content, pinned.descriptor.media_type)
    lock = BundleLock(definition=definition, images=(image,), cluster_definition=pinned)
    assemble_bundle(lock, content, path, key=key)
    return lock


def files_of(path: Path, lock: BundleLock, key: PrivateKey | None = None) -> list[Path]:
    """The bundle at `path` with lock and signatures, written beside it."""
    lock_path = path.with_name(path.name.replace(".tar.zst", ".lock.json"))
    lock_path.write_bytes(lock.to_json())
    if key is None:
        return [path, lock_path]
    signature_path(lock_path).write_bytes(key.sign(digest_of(lock_path)))
    return [path, lock_path, signature_path(path), signature_path(lock_path)]
