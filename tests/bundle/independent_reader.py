"""A reader of bundles made from docs/format.md alone, with nothing of edgelift in it: that page has to be enough.

members = read_members(path.read_bytes())     # name → content, all of it checked; ValueError for anything else
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import zstandard

Frame = tuple[bytes, int]  # as it is stored, and the size of its content


def read_members(file: bytes) -> dict[str, bytes]:
    """Every member by name, in the order of the file; only the places that the lock gives are looked at."""
    frames = list(_frames(file))  # §4
    tar = b"".join(_content(*frame) for frame in frames)
    members, position = {}, 0
    for name in ("oci-layout", "index.json", "edgelift/definition.yaml", "edgelift/lock.json"):  # §5, 3
        members[name], position = _take(tar, position, name, int(tar[position + 124 : position + 135], 8))
    lock_signature = "edgelift/lock.json.sig"
    if tar[position:].startswith(lock_signature.encode() + b"\0"):
        size = int(tar[position + 124 : position + 135], 8)
        members[lock_signature], position = _take(tar, position, lock_signature, size)
    lock = json.loads(members["edgelift/lock.json"])
    if "cluster_definition" in lock:  # §5, 4
        pinned, name = lock["cluster_definition"], "edgelift/cluster-definition.tgz"
        members[name], position = _take(tar, position, name, pinned["size"])
        _require("sha256:" + hashlib.sha256(members[name]).hexdigest() == pinned["digest"], f"{name} is another")
    for digest, size in _blobs(lock).items():
        algorithm, _, value = digest.partition(":")
        name = f"blobs/{algorithm}/{value}"
        members[name], position = _take(tar, position, name, size)
        _require(hashlib.new(algorithm, members[name]).hexdigest() == value, f"{name} is another")
    _require(tar[position:] == bytes(1024), "the tar goes on")
    return members


def _frames(file: bytes) -> Iterator[Frame]:
    """All that hold content, up to the seal, which has to be that of the compressed ones."""
    count = int.from_bytes(file[-9:-5], "little")
    table = len(file) - 12 * count - 17
    header = bytes.fromhex("5E2A4D18") + (12 * count + 9).to_bytes(4, "little")
    _require(file[table : table + 8] == header and file[-5:] == bytes.fromhex("80B1EA928F"), "no seek table")
    position, seal = 0, hashlib.sha256()
    for entry in range(table + 8, len(file) - 9 - 12, 12):  # the last one is that of the seal
        stored, size = (int.from_bytes(file[at : at + 4], "little") for at in (entry, entry + 4))
        frame = file[position : position + stored]
        seal.update(b"" if frame.startswith(bytes.fromhex("28B52FFD8438")) else frame)
        yield frame, size
        position += stored
    expected = bytes.fromhex("5D2A4D1820000000") + seal.digest()
    _require(file[position:table] == expected, "another seal")


def _content(frame: bytes, size: int) -> bytes:
    """§3: of raw frames the bytes as they stand there, of compressed ones what zstd makes of them."""
    if not frame.startswith(bytes.fromhex("28B52FFD8438")):
        return zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    starts = (10 + 3 * (x // 131072 + 1) + x for x in range(0, size, 131072))
    return b"".join(frame[start : start + 131072] for start in starts)[:size]


def _blobs(lock: dict[str, Any]) -> dict[str, int]:
    """§1: digests and sizes in the order of the file."""
    images = lock["images"]
    listed = [manifest for image in images for manifest in _all(image, "manifests")]
    for image in sorted(images, key=lambda image: -max((blob["size"] for blob in _all(image, "blobs")), default=0)):
        listed += sorted(_all(image, "blobs"), key=lambda blob: -blob["size"])
    return {blob["digest"]: blob["size"] for blob in listed}


def _all(image: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """§11: what an image has of a kind, then what its referrers have."""
    return [each for part in (image, *image.get("referrers", ())) for each in part[kind]]


def _take(tar: bytes, position: int, name: str, size: int) -> tuple[bytes, int]:
    """§2: the content after the header of that name and size, and where the next header stands."""
    header = _header(name[:100].encode(), size, b"0")
    if len(name) > 100:
        length = next(length for length in range(1000) if length == len(record := f"{length} path={name}\n"))
        header = _header(b"././@PaxHeader", length, b"x") + record.encode() + bytes(-length % 512) + header
    start = position + len(header)
    stop = start + size
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
