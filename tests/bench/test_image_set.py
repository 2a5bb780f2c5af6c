"""The image set: the same options give the same images, of the shape that is promised."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
import zstandard

from bench.image_layers import make_layer, move_tags, store_images
from bench.image_set import CHANGED, IMAGES, MIB, UNIQUE, Layer, change_images, plan_images, unique_layers

SMALL = 0.0005  # of the whole: layers of a few hundred bytes, and one or two larger than a piece


def test_the_same_seed_gives_the_same_plan() -> None:
    """A plan depends on its seed alone."""
    assert plan_images(seed=3) == plan_images(seed=3)
    assert plan_images(seed=3) != plan_images(seed=4)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_set_has_the_promised_shape(seed: int) -> None:
    """60 images, 1.2 GiB of unique layers, several above 100 MiB, all three kinds, and bases that many share."""
    images = plan_images(seed)
    layers = unique_layers(images)
    referenced = sum(layer.size for image in images for platform in image.platforms for layer in platform.layers)

    assert len(images) == len({image.repository for image in images}) == IMAGES
    assert abs(sum(layer.size for layer in layers) - UNIQUE) < 0.01 * UNIQUE
    assert sum(layer.size > 100 * MIB for layer in layers) >= 3
    assert {layer.kind for layer in layers} == {"gzip", "zstd", "tar"}
    assert referenced > 2.5 * UNIQUE


def test_the_scale_changes_sizes_and_nothing_else() -> None:
    """A smaller set has the same images and layers."""
    whole, half = unique_layers(plan_images()), unique_layers(plan_images(scale=0.5))

    assert {layer.seed for layer in whole} == {layer.seed for layer in half}
    assert sum(layer.size for layer in half) == pytest.approx(UNIQUE / 2, rel=0.01)


def test_a_change_gives_three_images_a_new_top_layer() -> None:
    """The rest stays as it is, names and tags too."""
    before = plan_images()
    after = change_images(before)
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]

    assert len(changed) == CHANGED
    assert all(old.repository == new.repository and old.tag == new.tag for old, new in changed)
    assert all(
        old.platforms[0].layers[:-1] == new.platforms[0].layers[:-1]
        and old.platforms[0].layers[-1] != new.platforms[0].layers[-1]
        for old, new in changed
    )


@pytest.mark.parametrize("kind", ["gzip", "zstd", "tar"])
@pytest.mark.parametrize("size", [600, 700_000])
def test_a_layer_is_a_tar_of_nearly_the_wanted_size(tmp_path: Path, kind: str, size: int) -> None:
    """What is in the blob unpacks to a tar with one file, whose digest is the diff ID."""
    layer = Layer("some layer", kind, size)  # type: ignore[arg-type] # one of LayerKind
    made = make_layer(layer, tmp_path)
    blob = _blob(tmp_path, made.descriptor["digest"]).read_bytes()
    unpacked = {"gzip": gzip.decompress, "zstd": _inflate, "tar": bytes}[kind](blob)

    assert made == make_layer(layer, tmp_path)
    assert made.descriptor["digest"] == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert made.diff_id == f"sha256:{hashlib.sha256(unpacked).hexdigest()}"
    assert abs(len(blob) - size) < 0.02 * size + 4096
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as tar:
        assert [member.isreg() for member in tar.getmembers()] == [True]


def test_stored_images_are_whole_and_their_tags_can_be_moved(tmp_path: Path) -> None:
    """Every blob that a manifest names lies in the storage with its size, and a tag leads to the digest it is given."""
    images = plan_images(scale=SMALL)
    first, later = store_images(images, change_images(images), tmp_path)
    moved = [name for name in first.tags if first.tags[name] != later.tags[name]]

    assert len(moved) == CHANGED
    assert _tagged(tmp_path, moved[0]) == first.tags[moved[0]]
    move_tags(tmp_path, later)
    assert _tagged(tmp_path, moved[0]) == later.tags[moved[0]]
    assert _sizes(tmp_path, list(first.tags.values())) == first.unique_bytes


def _sizes(storage: Path, digests: list[str]) -> int:
    """Bytes of all that the manifests of `digests` consist of, each once; sizes are held against the files."""
    found: dict[str, int] = {}
    while digests:
        digest = digests.pop()
        raw = _blob(storage, digest).read_bytes()
        found[digest] = len(raw)
        document = json.loads(raw)
        digests += [each["digest"] for each in document.get("manifests", [])]
        for each in [*document.get("layers", []), *([document["config"]] if "config" in document else [])]:
            assert _blob(storage, each["digest"]).stat().st_size == each["size"]
            found[each["digest"]] = each["size"]
    return sum(found.values())


def _blob(storage: Path, digest: str) -> Path:
    value = digest.removeprefix("sha256:")
    return storage / "docker/registry/v2/blobs/sha256" / value[:2] / value / "data"


def _tagged(storage: Path, name: str) -> str:
    repository, _, tag = name.rpartition(":")
    links = storage / "docker/registry/v2/repositories" / repository / "_manifests/tags" / tag
    return (links / "current/link").read_text()


def _inflate(blob: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(blob, read_across_frames=True) as reader:
        return reader.read()
