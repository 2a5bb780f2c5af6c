"""Verifying what the lock says of its images: that their manifests bear it out, and that they can be delivered."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelift.bundle.lock import LockedImage
from edgelift.bundle.verify import verify_bundle
from edgelift.bundle.writer import assemble_bundle
from edgelift.errors import BundleError
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_INDEX, OCI_MANIFEST
from tests.bundle.content import GZIP, ZSTD, MemoryContent, lock_of, mixed_content
from tests.bundle.crafting import container_of, craft, parts_of, tar_of_parts


def _image(manifest: bytes, media_type: str = OCI_MANIFEST) -> tuple[LockedImage, MemoryContent]:
    content = MemoryContent()
    image = content.add_image("docker.io/library/a:1", [content.add(b"layer", GZIP)])
    descriptor = content.add(manifest, media_type)
    return image.model_copy(update={"descriptor": descriptor, "manifests": (descriptor,)}), content


FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
LAYER_DIGEST = Digest.of(b"another layer")
ENTRY = f'{{"mediaType":"x","digest":"{LAYER_DIGEST}","size":13}}'
BAD_MANIFESTS = {
    "not JSON": (b"hello", OCI_MANIFEST, "no manifest"),
    "a layer that the lock leaves out": (
        f'{{"schemaVersion":2,"config":{ENTRY},"layers":[]}}'.encode(),
        OCI_MANIFEST,
        f"docker.io/library/a:1 lacks {LAYER_DIGEST}, which it needs",
    ),
    "a child that the lock leaves out": (
        f'{{"schemaVersion":2,"manifests":[{ENTRY}]}}'.encode(),
        OCI_INDEX,
        f"docker.io/library/a:1 lacks {LAYER_DIGEST} before",
    ),
    "both kinds at once": (
        f'{{"schemaVersion":2,"config":{ENTRY},"layers":[],"manifests":[]}}'.encode(),
        OCI_MANIFEST,
        "no manifest",
    ),
    "a media type that is no text": (b'{"mediaType":["a"],"layers":[]}', OCI_MANIFEST, "no manifest"),
    "Docker's schema 1": (b'{"schemaVersion":1}', OCI_MANIFEST, "no manifest"),
    "a digest with a path": (
        b'{"schemaVersion":2,"config":{"mediaType":"x","digest":"sha256:../x","size":1},"layers":[]}',
        OCI_MANIFEST,
        "no manifest",
    ),
    "larger than any manifest": (b"{" + b" " * 2**23, OCI_MANIFEST, "absurd"),
}


@pytest.mark.parametrize(("manifest", "media_type", "named"), BAD_MANIFESTS.values(), ids=BAD_MANIFESTS)
def test_manifest_that_cannot_be_delivered_is_refused(
    tmp_path: Path, manifest: bytes, media_type: str, named: str
) -> None:
    """A lock whose manifests are none, or name what it does not hold, makes no right bundle."""
    image, content = _image(manifest, media_type)
    lock = lock_of(image)
    path = craft(tmp_path, tar_of_parts(parts_of(lock, content)), container_of(lock).frames())

    with pytest.raises(BundleError, match=named):
        verify_bundle(path)


def test_layer_that_may_not_be_distributed_can_be_left_out(tmp_path: Path) -> None:
    """The lock names it, the manifest bears that out, and nobody misses it in the bundle."""
    content = MemoryContent()
    own, foreign = content.add(b"own", GZIP), content.add(b"windows", FOREIGN)
    image = content.add_image("docker.io/library/windows:1", [own, foreign])
    del content.blobs[foreign.digest]
    image = image.model_copy(update={"blobs": image.blobs[:-1], "external": (foreign,)})
    assemble_bundle(lock_of(image), content, tmp_path / "b")

    assert verify_bundle(tmp_path / "b").members == 4 + 3


def _child_left_out(image: LockedImage) -> LockedImage:
    return image.model_copy(update={"manifests": image.manifests[1:]})


def _one_blob_too_many(image: LockedImage) -> LockedImage:
    return image.model_copy(update={"blobs": (*image.blobs, mixed_content()[0].images[1].blobs[2])})


def _another_media_type(image: LockedImage) -> LockedImage:
    last = image.blobs[-1].model_copy(update={"media_type": ZSTD})
    return image.model_copy(update={"blobs": (*image.blobs[:-1], last)})


def _manifest_of_another_type(image: LockedImage) -> LockedImage:
    first = image.manifests[0].model_copy(update={"media_type": "application/octet-stream"})
    return image.model_copy(update={"manifests": (first, *image.manifests[1:])})


def _layer_left_out(image: LockedImage) -> LockedImage:
    """As if it might not be distributed, which no manifest says."""
    layer = image.blobs[-1].model_copy(update={"media_type": FOREIGN})
    return image.model_copy(update={"blobs": image.blobs[:-1], "external": (layer,)})


BAD_LOCKS: dict[str, tuple[Callable[[LockedImage], LockedImage], str]] = {
    "an index without one of its manifests": (_child_left_out, "lacks sha256:[0-9a-f]+ before sha256:"),
    "a manifest of another type": (_manifest_of_another_type, "as application/octet-stream, which it is not"),
    "a blob that no manifest names": (_one_blob_too_many, "of 1 bytes, which none of its manifests names so"),
    "a layer left out that may be distributed": (_layer_left_out, "lacks sha512:[0-9a-f]+, which it needs"),
    "a media type that no manifest gives": (_another_media_type, rf"as {re.escape(ZSTD)} .* none of its manifests"),
}


@pytest.mark.parametrize(("change", "named"), BAD_LOCKS.values(), ids=BAD_LOCKS)
def test_lock_that_its_manifests_do_not_bear_out_is_refused(
    tmp_path: Path, change: Callable[[LockedImage], LockedImage], named: str
) -> None:
    """What the lock says of an image is what its manifests say, in an order in which it can be pushed."""
    lock, content = mixed_content()
    lock = lock_of(*lock.images[:3], change(lock.images[3]))
    path = tmp_path / "b"
    assemble_bundle(lock, content, path)

    with pytest.raises(BundleError, match=f"quay.io/spectro/both:v1 .*{named}"):
        verify_bundle(path)
