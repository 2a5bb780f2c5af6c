"""Made-up images as plain bytes: the same arguments give the same digests, on every machine and day.

Layers are gzip, zstd and plain tars of incompressible bytes, tiny ones and an empty one among them; images come as
single manifests and as indexes, in OCI's and in Docker's media types. Nothing here reads, writes or sends.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from edgelift.demo.images import (
    AGENT_IMAGE,
    COREDNS,
    DEMO_IMAGES,
    METRICS_AGENT,
    NGINX,
    PAUSE,
    PROVIDER_IMAGE,
    DemoImage,
)
from edgelift.oci.descriptor import Descriptor, Platform
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

LayerKind = Literal["gzip", "zstd", "tar", "empty"]
Flavour = Literal["oci", "docker"]

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
IN_TOTO = "application/vnd.in-toto+json"
_OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_MEDIA_TYPES = {
    "oci": (OCI_INDEX, OCI_MANIFEST, OCI_CONFIG),
    "docker": (DOCKER_INDEX, DOCKER_MANIFEST, "application/vnd.docker.container.image.v1+json"),
}
_LAYER_SUFFIXES: Mapping[LayerKind, tuple[str, str]] = {
    "gzip": ("+gzip", ".gzip"),
    "zstd": ("+zstd", ".zstd"),
    "tar": ("", ""),
    "empty": ("", ""),
}
_KIB = 1024
_BASE_SIZE = 512 * _KIB
_ZSTD_BLOCK = 128 * _KIB  # the largest block of a frame (RFC 8878 §3.1.1.2.4)


@dataclass(frozen=True)
class SampleLayer:
    """A layer to be made: a tar with one file of `size` incompressible bytes; `empty` is no byte at all.

    Layers of the same kind, size and `seed` are the same blob; without a seed each image and architecture has its own.
    """

    kind: LayerKind = "gzip"
    size: int = 4 * _KIB
    seed: str = ""


@dataclass(frozen=True)
class SampleImage:
    """One image as bytes: `manifests` children before parents, the last one is `root`; `blobs` each once."""

    repository: str
    tag: str
    root: Descriptor
    manifests: tuple[Descriptor, ...]
    blobs: tuple[Descriptor, ...]
    contents: Mapping[Digest, bytes] = field(repr=False)


def make_image(
    name: str,
    *,
    tag: str = "1.0",
    architectures: Sequence[str] = ("amd64",),
    layers: Sequence[SampleLayer] = (SampleLayer(), SampleLayer("tar", 16)),
    base: str = "",
    seed: str = "",
    flavour: Flavour = "oci",
    attested: bool = False,
) -> SampleImage:
    """The image `name:tag`: a manifest for one architecture, an index for several.

    Images with the same `base` begin with the same layer, architecture by architecture; `seed` tells apart what is
    otherwise the same. `attested` makes an index with a BuildKit provenance document beside the first architecture.
    """
    builder = _Builder(flavour)
    own = f"{name}:{tag} {seed}"
    children = [builder.add_platform(own, architecture, layers, base) for architecture in architectures]
    if attested:
        children.append(builder.add_attestation(children[0].digest))
    root = builder.add_index(children) if len(children) > 1 else children[0].plain()
    return SampleImage(name, tag, root, tuple(builder.manifests), tuple(builder.blobs.values()), builder.contents)


def build_demo_images() -> Sequence[SampleImage]:
    """The images of `DEMO_IMAGES`, in that order."""
    return [_demo_image(image) for image in DEMO_IMAGES]


_DEMO_LAYERS: Mapping[DemoImage, tuple[SampleLayer, ...]] = {
    PROVIDER_IMAGE: (SampleLayer("tar", 3072 * _KIB), SampleLayer("gzip", 256 * _KIB)),
    AGENT_IMAGE: (SampleLayer("zstd", 1024 * _KIB), SampleLayer("gzip", 32 * _KIB)),
    PAUSE: (SampleLayer("gzip", 2 * _KIB), SampleLayer("empty")),
}
_DEMO_DEFAULT = (SampleLayer("gzip", 96 * _KIB), SampleLayer("tar", 16))


def _demo_image(image: DemoImage) -> SampleImage:
    return make_image(
        image.repository,
        tag=image.tag,
        architectures=image.architectures,
        layers=_DEMO_LAYERS.get(image, _DEMO_DEFAULT),
        base=image.base,
        flavour="docker" if image in (COREDNS, METRICS_AGENT) else "oci",
        attested=image == NGINX,
    )


class _Builder:
    """Collects what one image consists of."""

    def __init__(self, flavour: Flavour) -> None:
        self._flavour = flavour
        self._index_type, self._manifest_type, self._config_type = _MEDIA_TYPES[flavour]
        self.manifests: list[Descriptor] = []
        self.blobs: dict[Digest, Descriptor] = {}
        self.contents: dict[Digest, bytes] = {}

    def add_platform(self, own: str, architecture: str, layers: Sequence[SampleLayer], base: str) -> Descriptor:
        """The manifest of one architecture, and its descriptor as an index names it."""
        wanted = [SampleLayer("gzip", _BASE_SIZE, f"base {base} {architecture}")] if base else []
        wanted += [_with_seed(layer, f"{own} {architecture} {number}") for number, layer in enumerate(layers)]
        made = [_make_layer(layer) for layer in wanted]
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Env": ["PATH=/usr/bin:/bin"], "Labels": {"sample": own}},
            "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in made]},
            "history": [{"created_by": f"sample layer {number}"} for number in range(len(made))],
        }
        pairs = zip(wanted, made, strict=True)
        layer_descriptors = [self._add_blob(self._layer_type(layer), content) for layer, (content, _) in pairs]
        config_descriptor = self._add_blob(self._config_type, _to_json(config))
        described = self._add_manifest(self._manifest_type, config=config_descriptor, layers=layer_descriptors)
        return described.model_copy(update={"platform": Platform(architecture=architecture)})

    def add_attestation(self, subject: Digest) -> Descriptor:
        """A provenance document as BuildKit stores it: an entry of the index for the platform unknown/unknown."""
        statement = {
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": "https://slsa.dev/provenance/v0.2",
            "subject": [{"name": "sample", "digest": {subject.algorithm: subject.hex}}],
            "predicate": {"buildType": "https://mobyproject.org/buildkit@v1"},
        }
        layer = self._add_blob(IN_TOTO, _to_json(statement), {"in-toto.io/predicate-type": statement["predicateType"]})
        diff_ids = [str(layer.digest)]
        platform = {"architecture": "unknown", "os": "unknown"}
        config = platform | {"config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        config_descriptor = self._add_blob(OCI_CONFIG, _to_json(config))
        described = self._add_manifest(self._manifest_type, config=config_descriptor, layers=[layer])
        annotations = {"vnd.docker.reference.digest": subject, "vnd.docker.reference.type": "attestation-manifest"}
        return described.model_copy(update={"platform": Platform(**platform), "annotations": annotations})

    def add_index(self, children: Sequence[Descriptor]) -> Descriptor:
        """The index of `children`."""
        return self._add_manifest(self._index_type, manifests=children)

    def _layer_type(self, layer: SampleLayer) -> str:
        oci, docker = _LAYER_SUFFIXES[layer.kind]
        return _OCI_LAYER + oci if self._flavour == "oci" else _DOCKER_LAYER + docker

    def _add_manifest(self, media_type: str, **members: Descriptor | Sequence[Descriptor]) -> Descriptor:
        document = {"schemaVersion": 2, "mediaType": media_type}
        document |= {name: _plain_json(value) for name, value in members.items()}
        descriptor = self._keep(media_type, _to_json(document))
        self.manifests.append(descriptor)
        return descriptor

    def _add_blob(self, media_type: str, content: bytes, annotations: dict[str, Any] | None = None) -> Descriptor:
        descriptor = self._keep(media_type, content)
        self.blobs[descriptor.digest] = descriptor
        return descriptor.model_copy(update={"annotations": annotations})

    def _keep(self, media_type: str, content: bytes) -> Descriptor:
        descriptor = Descriptor(media_type=media_type, digest=Digest.of(content), size=len(content))
        self.contents[descriptor.digest] = content
        return descriptor


def _with_seed(layer: SampleLayer, own: str) -> SampleLayer:
    return SampleLayer(layer.kind, layer.size, layer.seed or own)


@lru_cache(maxsize=64)
def _make_layer(layer: SampleLayer) -> tuple[bytes, str]:
    """The bytes of a layer and its diff ID, the digest of the tar in it (image-spec config.md)."""
    tar = b"" if layer.kind == "empty" else _make_tar(layer)
    content = tar
    if layer.kind == "gzip":
        content = gzip.compress(tar, mtime=0)
    elif layer.kind == "zstd":
        content = raw_zstd_frame(tar)
    return content, Digest.of(tar)


def _make_tar(layer: SampleLayer) -> bytes:
    content = hashlib.shake_256(layer.seed.encode()).digest(layer.size)
    member = tarfile.TarInfo(f"usr/share/sample/{Digest.of(layer.seed.encode()).hex[:16]}")
    member.size, member.mode = len(content), 0o644
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def raw_zstd_frame(content: bytes) -> bytes:
    """`content` in one zstd frame of raw blocks (RFC 8878 §3.1.1), so that samples need no compressor."""
    single_segment_with_size = b"\xa0"
    header = b"\x28\xb5\x2f\xfd" + single_segment_with_size + len(content).to_bytes(4, "little")
    starts = range(0, max(len(content), 1), _ZSTD_BLOCK)
    blocks = [content[start : start + _ZSTD_BLOCK] for start in starts]
    headers = [(len(block) << 3 | (number == len(blocks) - 1)) for number, block in enumerate(blocks)]
    return header + b"".join(word.to_bytes(3, "little") + block for word, block in zip(headers, blocks, strict=True))


def _plain_json(value: Descriptor | Sequence[Descriptor]) -> Any:
    if isinstance(value, Descriptor):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return [_plain_json(each) for each in value]


def _to_json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=2).encode()
