"""A reader of bundles made from docs/format.md alone, with nothing of edgelift in it: that page has to be enough.

members = read_members(path.read_bytes())     # name → content, all of it checked; ValueError for anything else
"""

import hashlib
import json
import struct
from collections.abc import Iterator
from typing import Any

import zstandard

DOCUMENTS = ("oci-layout", "index.json", "edgelift/definition.yaml", "edgelift/lock.json")
SIGNATURE, CLUSTER_DEFINITION = "edgelift/lock.json.sig", "edgelift/cluster-definition.tgz"


def read_members(file: bytes) -> dict[str, bytes]:
    """Every member by name, in the order of the file; only the places that the lock gives are looked at (§5)."""
    tar = b"".join(_contents(file))
    members, position = {}, 0
    for name in (*DOCUMENTS, SIGNATURE):
        if name != SIGNATURE or tar[position:].startswith(SIGNATURE.encode() + b"\0"):
            members[name], position = _take(tar, position, name, int(tar[position + 124 : position + 135], 8))
    for name, pinned in _pinned(json.loads(members["edgelift/lock.json"])).items():
        members[name], position = _take(tar, position, name, pinned["size"])
        algorithm, _, value = pinned["digest"].partition(":")
        _require(hashlib.new(algorithm, members[name]).hexdigest() == value, f"{name} is another")
    _require(tar[position:] == bytes(1024), "the tar goes on")
    return members


def _contents(file: bytes) -> Iterator[bytes]:
    """§4: what each frame of the seek table holds; zstd decodes frames of both kinds, and the seal holds nothing."""
    table = len(file) - 17 - 12 * int.from_bytes(file[-9:-5], "little")
    header = bytes.fromhex("5E2A4D18") + (len(file) - table - 8).to_bytes(4, "little")
    _require(file[table : table + 8] == header and file[-5:] == bytes.fromhex("80B1EA928F"), "no seek table")
    position = 0
    for stored, size, _ in struct.iter_unpack("<III", file[table + 8 : -9]):
        frame, position = file[position : position + stored], position + stored
        if size:
            _require(zstandard.frame_content_size(frame) == size <= 8 * 2**20, "a frame of another size")
            yield zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    _require(position == table, "frames that are not in the table")


def _pinned(lock: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """§1: the members that the lock gives digest and size of, by name, in the order of the file."""
    images = [(_all(image, "manifests"), _all(image, "blobs")) for image in lock["images"]]
    listed = [manifest for manifests, _ in images for manifest in manifests]
    for _, blobs in sorted(images, key=lambda image: -max((blob["size"] for blob in image[1]), default=0)):
        listed += sorted(blobs, key=lambda blob: -blob["size"])
    first = {CLUSTER_DEFINITION: lock["cluster_definition"]} if "cluster_definition" in lock else {}
    return first | {f"blobs/{blob['digest'].replace(':', '/')}": blob for blob in listed}


def _all(image: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """§11: what an image has of a kind, then what its referrers have."""
    return [each for part in (image, *image.get("referrers", ())) for each in part[kind]]


def _take(tar: bytes, position: int, name: str, size: int) -> tuple[bytes, int]:
    """§2: the content after the header of that name and size, and where the next header stands."""
    header = _header(name[:100].encode(), size, b"0")
    if len(name) > 100:
        length = next(length for length in range(1000) if length == len(record := f"{length} path={name}\n"))
        header = _header(b"././@PaxHeader", length, b"x") + record.encode() + bytes(-length % 512) + header
    start, stop = position + len(header), position + len(header) + size
    end = stop + -size % 512
    _require(tar[position:start] == header and tar[stop:end] == bytes(end - stop), f"{name} is not in its place")
    return tar[start:stop], end


def _header(name: bytes, size: int, kind: bytes) -> bytes:
    before = name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"00000000000\0"
    after = kind + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2 + bytes(167)
    return before + b"%06o\0 " % sum(before + b" " * 8 + after) + after


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)
