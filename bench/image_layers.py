"""The bytes of the image set, written as the storage of a Distribution registry, which is quicker than to push them.

A layer is a tar with one file. What fills it comes from a pool of pieces that are made and compressed once: gzip takes
them as deflate blocks that begin anew (RFC 1951 §3.2), zstd as frames one after the other (RFC 8878 §3.1). Within a
layer a piece comes again only after all others, far beyond the window of any compressor at work here.
"""

import hashlib
import json
import os
import random
import struct
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import zstandard

from bench.image_set import Image, Layer, LayerKind, Platform, unique_layers

_PIECE = 256 * 2**10  # bytes, before compression
_PIECES = 128
_TEXT = 160 * 2**10  # bytes of a piece that are text-like; the rest is incompressible
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # RFC 1952 §2.3: deflate, no name, no time
_LAST_BLOCK = b"\x03\x00"  # an empty final block
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_SUFFIXES: dict[LayerKind, str] = {"gzip": "+gzip", "zstd": "+zstd", "tar": ""}


@dataclass(frozen=True)
class MadeLayer:
    """A layer as its manifest names it, and the digest of the tar in it."""

    descriptor: dict[str, Any]
    diff_id: str


@dataclass(frozen=True)
class StoredSet:
    """Images in the storage: the digest that each tag (REPOSITORY:TAG) stands for, and the bytes of all, each once."""

    tags: dict[str, str]
    unique_bytes: int


def store_images(images: Sequence[Image], later: Sequence[Image], storage: Path) -> tuple[StoredSet, StoredSet]:
    """Write `images`, and `later` ones of the same names, below `storage`; the tags stand for `images`."""
    layers = unique_layers([*images, *later])
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        made = dict(zip(layers, pool.map(make_layer, layers, [storage] * len(layers)), strict=True))
    stored = [_store(release, storage, made) for release in (images, later)]
    move_tags(storage, stored[0])
    return stored[0], stored[1]


def move_tags(storage: Path, images: StoredSet) -> None:
    """Let the tags stand for `images`; a running registry notices, since it reads these links at every request."""
    for name, digest in images.tags.items():
        repository, _, tag = name.rpartition(":")
        home = _repository(storage, repository) / "_manifests" / "tags" / tag
        _write_link(home / "current", digest)
        _write_link(home / "index" / "sha256" / digest.removeprefix("sha256:"), digest)


def _store(images: Sequence[Image], storage: Path, made: Mapping[Layer, MadeLayer]) -> StoredSet:
    tags: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for image in images:
        writer = _ImageWriter(storage, image, made)
        tags[f"{image.repository}:{image.tag}"] = writer.write()
        sizes |= writer.sizes
    return StoredSet(tags, sum(sizes.values()))


def make_layer(layer: Layer, storage: Path) -> MadeLayer:
    """Write the blob of `layer` below `storage`."""
    whole, inner = hashlib.sha256(), hashlib.sha256()
    scratch = storage / f"{hashlib.sha256(layer.seed.encode()).hexdigest()}.part"
    storage.mkdir(parents=True, exist_ok=True)
    with scratch.open("wb") as file:
        for part in _encoded(layer, inner):
            whole.update(part)
            file.write(part)
        size = file.tell()
    digest = f"sha256:{whole.hexdigest()}"
    path = _blob(storage, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch.replace(path)
    descriptor = {"mediaType": _LAYER + _SUFFIXES[layer.kind], "digest": digest, "size": size}
    return MadeLayer(descriptor, f"sha256:{inner.hexdigest()}")


class _ImageWriter:
    """Writes one image's documents and links."""

    def __init__(self, storage: Path, image: Image, made: Mapping[Layer, MadeLayer]) -> None:
        self._storage = storage
        self._image = image
        self._made = made
        self.sizes: dict[str, int] = {}  # of all that the image consists of, by digest

    def write(self) -> str:
        """The digest of what the tag stands for."""
        children = [self._platform(platform) for platform in self._image.platforms]
        digest = children[0]["digest"]
        if len(children) > 1:
            entries = [
                child | {"platform": {"os": "linux", "architecture": platform.architecture}}
                for child, platform in zip(children, self._image.platforms, strict=True)
            ]
            digest = self._manifest(_INDEX, {"manifests": entries})["digest"]
        return str(digest)

    def _platform(self, platform: Platform) -> dict[str, Any]:
        made = [self._made[layer] for layer in platform.layers]
        config = {
            "architecture": platform.architecture,
            "os": "linux",
            "config": {"Env": ["PATH=/usr/bin:/bin"], "Labels": {"image": self._image.repository}},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in made]},
            "history": [{"created_by": layer.seed} for layer in platform.layers],
        }
        described = self._document(_CONFIG, json.dumps(config).encode())
        layers = [layer.descriptor for layer in made]
        for each in (described, *layers):
            self._link("_layers", each["digest"])
            self.sizes[each["digest"]] = each["size"]
        return self._manifest(_MANIFEST, {"config": described, "layers": layers})

    def _manifest(self, media_type: str, members: dict[str, Any]) -> dict[str, Any]:
        raw = json.dumps({"schemaVersion": 2, "mediaType": media_type} | members).encode()
        described = self._document(media_type, raw)
        self._link("_manifests/revisions", described["digest"])
        return described

    def _document(self, media_type: str, raw: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        path = _blob(self._storage, digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        self.sizes[digest] = len(raw)
        return {"mediaType": media_type, "digest": digest, "size": len(raw)}

    def _link(self, kind: str, digest: str) -> None:
        home = _repository(self._storage, self._image.repository) / kind / "sha256"
        _write_link(home / digest.removeprefix("sha256:"), digest)


def _encoded(layer: Layer, inner: "hashlib._Hash") -> Iterator[bytes]:
    """The blob of `layer` in parts; `inner` sees the tar."""
    pool, chance = _pool(), random.Random(layer.seed)  # noqa: S311 - a made-up image set, no secret
    pieces, length = _choose(layer, chance)
    header = tarfile.TarInfo(f"usr/share/{hashlib.sha256(layer.seed.encode()).hexdigest()[:16]}")
    header.size, header.mode = length, 0o644
    encoder = _Encoder(layer.kind, inner)
    yield encoder.begin()
    yield encoder.add(header.tobuf(tarfile.USTAR_FORMAT))
    for number in pieces:
        yield encoder.add(pool.raw[number], pool.encoded(layer.kind, number))
    rest = length - len(pieces) * _PIECE
    yield encoder.add(pool.raw[chance.randrange(_PIECES)][:rest])
    yield encoder.add(bytes(-length % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE))
    yield encoder.end()


def _choose(layer: Layer, chance: random.Random) -> tuple[list[int], int]:
    """The pieces of `layer`, and the bytes of its file, so that the blob gets its size."""
    pool, order = _pool(), chance.sample(range(_PIECES), _PIECES)
    pieces: list[int] = []
    rest = layer.size
    while (size := len(pool.encoded(layer.kind, number := order[len(pieces) % _PIECES]))) <= rest:
        pieces.append(number)
        rest -= size
    last = rest * _PIECE // size
    return pieces, len(pieces) * _PIECE + last


class _Encoder:
    """Puts a blob together from pieces, compressed before or now."""

    def __init__(self, kind: LayerKind, inner: "hashlib._Hash") -> None:
        self._kind = kind
        self._inner = inner
        self._check = 0
        self._length = 0

    def begin(self) -> bytes:
        return _GZIP_HEADER if self._kind == "gzip" else b""

    def add(self, raw: bytes, encoded: bytes | None = None) -> bytes:
        self._inner.update(raw)
        if self._kind == "gzip":
            self._check = zlib.crc32(raw, self._check)
            self._length += len(raw)
        return encoded if encoded is not None else _encode(self._kind, raw)

    def end(self) -> bytes:
        trailer = struct.pack("<II", self._check, self._length & 0xFFFFFFFF)
        return _LAST_BLOCK + trailer if self._kind == "gzip" else b""


class _Pool:
    """The pieces that layers are made of, plain and compressed."""

    def __init__(self) -> None:
        chance = random.Random("pieces")  # noqa: S311 - a made-up image set, no secret
        letters = b"abcdefghijklmnopqrstuvwxyz0123456789_./:"
        words = [bytes(chance.choices(letters, k=chance.randint(2, 12))) + b" " for _ in range(256)]
        self.raw = [_piece(chance, words) for _ in range(_PIECES)]
        self._encoded: dict[LayerKind, list[bytes]] = {
            "gzip": [_encode("gzip", raw) for raw in self.raw],
            "zstd": [_encode("zstd", raw) for raw in self.raw],
            "tar": self.raw,
        }

    def encoded(self, kind: LayerKind, number: int) -> bytes:
        """Piece `number` as it stands in a layer of `kind`."""
        return self._encoded[kind][number]


@lru_cache(maxsize=1)
def _pool() -> _Pool:
    return _Pool()


def _piece(chance: random.Random, words: Sequence[bytes]) -> bytes:
    """Text and noise by turns, as files of both kinds lie in a layer."""
    text = b"".join(map(words.__getitem__, chance.randbytes(_TEXT // 5)))[:_TEXT]
    parts: list[bytes] = []
    while sum(len(part) for part in parts) < _PIECE:
        start = chance.randrange(_TEXT - 16384)
        parts += [text[start : start + 16384], chance.randbytes(9830)]
    return b"".join(parts)[:_PIECE]


def _encode(kind: LayerKind, raw: bytes) -> bytes:
    if kind == "zstd":
        return zstandard.ZstdCompressor(level=3).compress(raw)
    if kind == "gzip":
        deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        return deflate.compress(raw) + deflate.flush(zlib.Z_FULL_FLUSH)
    return raw


def _blob(storage: Path, digest: str) -> Path:
    value = digest.removeprefix("sha256:")
    return storage / "docker/registry/v2/blobs/sha256" / value[:2] / value / "data"


def _repository(storage: Path, repository: str) -> Path:
    return storage / "docker/registry/v2/repositories" / repository


def _write_link(folder: Path, digest: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "link").write_text(digest)
