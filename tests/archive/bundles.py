"""Small bundles to be archived: each with its lock, and signed where there is a key."""

from pathlib import Path
from typing import Any

from edgelift.archive.place import own_name
from edgelift.bundle.cluster_definition import LockedClusterDefinition
from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.parts import index_path
from edgelift.bundle.signature import PrivateKey
from edgelift.bundle.writer import assemble_bundle, signature_path
from tests.archive.buckets import MIB, digest_of
from tests.bundle.content import GZIP, MemoryContent, noise


def make_bundle(
    path: Path,
    *,
    name: str = "site-7",
    seed: int = 0,
    size: int = 2000,
    key: PrivateKey | None = None,
    definition_content: bytes | None = None,
    part_size: int | None = None,
) -> BundleLock:
    """Write the bundle of one image, with a layer of `size` bytes that `seed` chooses, and give its lock.

    With a `definition_content` it holds the cluster definition `harbour`; with a `part_size` it is in parts.
    """
    content = MemoryContent()
    image = content.add_image("quay.io/team/app:1", [content.add(noise(size, seed), GZIP)])
    definition = BundleDefinition(name=name, architecture="amd64", images=(RequestedImage(reference=image.reference),))
    pinned = None
    if definition_content is not None:
        pinned = LockedClusterDefinition.of("harbour", definition_content, ())
        content.add(definition_content, pinned.descriptor.media_type)
    lock = BundleLock(definition=definition, images=(image,), cluster_definition=pinned)
    assemble_bundle(lock, content, path, key=key, part_size=part_size)
    return lock


def files_of(path: Path, lock: BundleLock, key: PrivateKey | None = None) -> list[Path]:
    """The bundle at `path` with lock and signatures, written beside it."""
    lock_path = path.with_name(path.name.replace(".tar.zst", ".lock.json"))
    lock_path.write_bytes(lock.to_json())
    if key is None:
        return [path, lock_path]
    signature_path(lock_path).write_bytes(key.sign(digest_of(lock_path)))
    return [path, lock_path, signature_path(path), signature_path(lock_path)]


def make_parts(folder: Path, seed: int = 0, key: PrivateKey | None = None) -> tuple[str, list[Path]]:
    """Write `site-7` into `folder` in three parts; gives the folder that a flow archives them in, and all files."""
    path = folder / "site-7.tar.zst"
    lock = make_bundle(path, seed=seed, size=2 * MIB + MIB // 2, key=key, part_size=MIB)
    _, lock_path, *signatures = files_of(path, lock, key)
    parts = sorted(folder.glob("site-7.tar.zst.part-*"))
    return own_name("site-7", lock.digest), [lock_path, *parts, index_path(path), *signatures]


def keep_parts(archive: Any, folder: Path, key: PrivateKey | None = None, count: int = 1) -> list[str]:
    """Archive so many bundles in parts, made below `folder`, as flows do; gives the folders they lie in, oldest first.

    Of what comes within one second, names decide which is the oldest.
    """
    made = sorted(make_parts(folder / str(seed), seed, key) for seed in range(count))
    for place, files in made:
        for file in files:
            archive.store(file, digest=digest_of(file), name=f"{place}/{file.name}")
    return [place for place, _ in made]
