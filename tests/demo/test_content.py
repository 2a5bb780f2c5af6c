"""The sample images: always the same, and what real images are."""

import gzip
import io
import json
import subprocess
import sys
import tarfile

import pytest
import zstandard

from edgelift.demo.content import SampleImage, SampleLayer, build_demo_images, make_image, raw_zstd_frame
from edgelift.demo.images import DEMO_IMAGES, NGINX
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import DOCKER_INDEX, INDEX_TYPES, ImageIndex, ImageManifest, Manifest, parse_manifest
from tests.images import make_artifact, make_image_set

LAYERS = (SampleLayer("gzip", 5000), SampleLayer("zstd", 300_000), SampleLayer("tar", 0), SampleLayer("empty"))
EVERYTHING = make_image("a/b", architectures=("amd64", "arm64"), layers=LAYERS, base="alpine", attested=True)
MADE = {
    "everything": EVERYTHING,
    "Docker's media types": make_image("a/b", architectures=("amd64", "arm64"), layers=LAYERS, flavour="docker"),
    "one architecture": make_image("a/b"),
    "artifact": make_artifact("a/b", "sig", subject=EVERYTHING.root),
    **{image.repository: image for image in build_demo_images()},
}


def _parsed(image: SampleImage) -> dict[Digest, Manifest]:
    pairs = ((each, image.contents[each.digest]) for each in image.manifests)
    return {each.digest: parse_manifest(raw, each.media_type, each.digest) for each, raw in pairs}


@pytest.mark.parametrize("image", MADE.values(), ids=MADE)
def test_images_are_whole(image: SampleImage) -> None:
    """Every descriptor is true, manifests come before what names them, and nothing is missing or left over."""
    descriptors = (*image.manifests, *image.blobs)
    truths = [(Digest.of(image.contents[each.digest]), len(image.contents[each.digest])) for each in descriptors]
    assert [(each.digest, each.size) for each in descriptors] == truths
    assert {each.digest for each in descriptors} == set(image.contents)
    assert image.root == image.manifests[-1]
    parsed = _parsed(image)
    seen: set[Digest] = set()
    named: set[Digest] = set()
    for digest, manifest in parsed.items():
        assert {child.digest for child in manifest.children} <= seen
        seen.add(digest)
        named |= {each.digest for each in (*manifest.blobs, *manifest.children)}
    assert set(image.contents) - {image.root.digest} == named


@pytest.mark.parametrize("image", MADE.values(), ids=MADE)
def test_layers_are_what_they_say(image: SampleImage) -> None:
    """Each layer opens as its media type says, to a tar with the digest that the config names."""
    for manifest in _parsed(image).values():
        if not isinstance(manifest.parsed, ImageManifest) or "rootfs" not in str(
            image.contents[manifest.blobs[0].digest]
        ):
            continue
        config = json.loads(image.contents[manifest.parsed.config.digest])
        tars = [_open(layer, image.contents[layer.digest]) for layer in manifest.parsed.layers]
        assert config["rootfs"]["diff_ids"] == [Digest.of(tar) for tar in tars]
        if config["architecture"] != "unknown":
            assert [1 if tar else 0 for tar in tars] == [_count_files(tar) for tar in tars]


def _count_files(tar: bytes) -> int:
    if not tar:
        return 0
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        return len(opened.getmembers())


def _open(layer: Descriptor, content: bytes) -> bytes:
    if layer.media_type.endswith("gzip"):
        return gzip.decompress(content)
    return zstandard.ZstdDecompressor().decompress(content) if layer.media_type.endswith("zstd") else content


def test_another_process_makes_the_same() -> None:
    """Another process, with another hash seed, makes the same digests."""
    script = "from edgelift.demo.content import build_demo_images as b\nprint(*(i.root.digest for i in b()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert [image.root.digest for image in build_demo_images()] == done.stdout.split()


def test_demo_images() -> None:
    """There is one sample for each image of the demo, of its architectures and a few MiB in all."""
    images = build_demo_images()
    assert [(each.repository, each.tag) for each in DEMO_IMAGES] == [(each.repository, each.tag) for each in images]
    for wanted, image in zip(DEMO_IMAGES, images, strict=True):
        root = _parsed(image)[image.root.digest].parsed
        several = [each.architecture for each in root.platforms] if isinstance(root, ImageIndex) else []
        assert list(wanted.architectures) == (several or [_built_for(image)])
    unique = {digest: len(content) for image in images for digest, content in image.contents.items()}
    assert 4 << 20 < sum(unique.values()) < 16 << 20
    assert max(unique.values()) > 1 << 20
    assert {0} < set(unique.values())


def _built_for(image: SampleImage) -> str:
    manifest = _parsed(image)[image.root.digest].parsed
    assert isinstance(manifest, ImageManifest)
    return str(json.loads(image.contents[manifest.config.digest])["architecture"])


def test_demo_images_share_their_bases() -> None:
    """Images of one base share a layer for each architecture, images of none share nothing with it."""
    images = dict(zip(DEMO_IMAGES, build_demo_images(), strict=True))
    for one in DEMO_IMAGES:
        for other in DEMO_IMAGES:
            is_related = one.base == other.base != ""
            architectures = set(one.architectures) & set(other.architectures) if is_related else set()
            layers = [{blob.digest for blob in images[each].blobs if blob.size > 0} for each in (one, other)]
            if one != other:
                assert len(architectures) == len(layers[0] & layers[1])


def test_one_demo_image_is_attested() -> None:
    """One index of the demo carries BuildKit's attestation, an entry for no platform."""
    (image,) = (each for each in build_demo_images() if each.repository == NGINX.repository)
    index = json.loads(image.contents[image.root.digest])
    entry = index["manifests"][-1]
    assert entry["platform"] == {"architecture": "unknown", "os": "unknown"}
    assert index["manifests"][0]["digest"] == entry["annotations"]["vnd.docker.reference.digest"]


def test_seeds() -> None:
    """Another name, tag or seed gives another image; a layer with a seed of its own is the same in all of them."""
    shared = SampleLayer("gzip", 1000, seed="shared")
    layers = (SampleLayer("gzip", 1000), shared)
    images = [
        make_image("a", layers=layers),
        make_image("b", layers=layers),
        make_image("a", tag="2", layers=layers),
        make_image("a", seed="x", layers=layers),
    ]
    assert len({image.root.digest for image in images}) == 4
    assert len(set.intersection(*({blob.digest for blob in image.blobs} for image in images))) == 1


def test_flavours() -> None:
    """An image in Docker's media types has no OCI type in it."""
    image = MADE["Docker's media types"]
    assert image.root.media_type == DOCKER_INDEX
    assert [each.media_type for each in (*image.manifests, *image.blobs) if "oci" in each.media_type] == []


def test_image_sets() -> None:
    """A set has as many images and indexes as asked for, under names of their own, with layers in common."""
    images = make_image_set(20, multi_arch=5)
    assert (
        len({each.repository for each in images}),
        sum(each.root.media_type in INDEX_TYPES for each in images),
    ) == (20, 5)
    blobs = [blob.digest for each in images for blob in each.blobs]
    assert len(blobs) > len(set(blobs)) + len(images)


@pytest.mark.parametrize("size", [0, 1, 131_071, 131_072, 131_073, 393_216])
def test_zstd_frames(size: int) -> None:
    """What is put into raw blocks comes out of a real decoder, block boundaries included."""
    content = bytes(range(256)) * (size // 256 + 1)
    frame = raw_zstd_frame(content[:size])
    assert content[:size] == zstandard.ZstdDecompressor().decompress(frame)
