"""How a file in zstd's seekable format ends: with a table that says where each frame is, and before it our seal.

Both are skippable frames (RFC 8878 §3.1.2), which any decoder passes over. The table is that of zstd's
contrib/seekable_format/zstd_seekable_compression_format.md, with checksums, always. The seal is the sha256 of all
compressed frames: some of their bits can change without their content changing, and only the seal shows that. Frames
of raw blocks have no such bits.
"""

import hashlib
import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Self

from edgelift.errors import BundleError

TABLE_MAGIC = b"\x5e\x2a\x4d\x18"
FRAME_LIMIT = 8 * 2**20  # bytes of content in any frame; more is never decoded

_FRAMES_LIMIT = 2**22  # four terabytes of content, even where all of it is compressed
_OVERHEAD = 2**16  # bytes that a frame may have over its content
_SEAL_MAGIC = b"\x5d\x2a\x4d\x18"
_EMPTY = 0x51D8E999  # low half of the XXH64 of nothing
_ENTRY = struct.Struct("<III")  # stored size, content size, low half of the content's XXH64
_HEADER = struct.Struct("<4sI")  # of a skippable frame: its magic number, and the bytes that follow
_FOOTER = struct.Struct("<IB4s")
_FOOTER_MAGIC = b"\xb1\xea\x92\x8f"
_WITH_CHECKSUMS = 0x80

ReadAt = Callable[[int, int], bytes]  # offset and length → exactly so many bytes


@dataclass(frozen=True)
class Frame:
    """One frame: where it is stored, and which part of the content it holds; all in bytes."""

    stored_start: int
    stored_size: int
    start: int
    size: int

    @property
    def stop(self) -> int:
        """Where its content ends."""
        return self.start + self.size


class SeekTable:
    """Where each frame is."""

    def __init__(self, entries: bytes) -> None:
        """Raises `BundleError` for frames larger than this library writes."""
        columns = array("I", entries)
        if sys.byteorder == "big":
            columns.byteswap()
        stored_sizes, sizes = columns[0::3], columns[1::3]
        if any(
            size > FRAME_LIMIT or stored > size + _OVERHEAD for stored, size in zip(stored_sizes, sizes, strict=True)
        ):
            raise BundleError("its seek table has frames of a size that edgelift does not write")
        self._stored = array("Q", accumulate(stored_sizes, initial=0))
        self._content = array("Q", accumulate(sizes, initial=0))

    @classmethod
    def read(cls, read_at: ReadAt, file_size: int) -> Self | None:
        """The table of a file of `file_size` bytes; None where it does not end with one.

        Raises `BundleError` where the table cannot be that of this file.
        """
        if file_size < _HEADER.size + _FOOTER.size:
            return None
        count, flags, magic = _FOOTER.unpack(read_at(file_size - _FOOTER.size, _FOOTER.size))
        if magic != _FOOTER_MAGIC:
            return None
        length = _HEADER.size + count * _ENTRY.size + _FOOTER.size
        if flags != _WITH_CHECKSUMS or count > _FRAMES_LIMIT or length > file_size:
            raise BundleError("its seek table is malformed")
        stored = read_at(file_size - length, length)
        entries = stored[_HEADER.size : -_FOOTER.size]
        if stored != _seek_table(entries):
            raise BundleError("its seek table is malformed")
        table = cls(entries)
        if table.stored_size + length != file_size:
            raise BundleError("its seek table is that of another file, or bytes are missing or too many before it")
        return table

    def __len__(self) -> int:
        return len(self._stored) - 1

    def __iter__(self) -> Iterator[Frame]:
        return map(self.frame, range(len(self)))

    @property
    def stored_size(self) -> int:
        """Bytes of all frames; the table itself begins there."""
        return self._stored[-1]

    @property
    def content_size(self) -> int:
        """Bytes that all frames hold."""
        return self._content[-1]

    def frame(self, number: int) -> Frame:
        """The frame of that number, counted from 0."""
        stored_start, stored_stop = self._stored[number : number + 2]
        start, stop = self._content[number : number + 2]
        return Frame(stored_start, stored_stop - stored_start, start, stop - start)

    def find(self, offset: int) -> Frame:
        """The frame that holds the content's byte at `offset`."""
        return self.frame(bisect_right(self._content, offset) - 1)


class Closing:
    """What ends a file, put together as its frames go by. `checksum` is a content's XXH64, or its low half."""

    def __init__(self) -> None:
        self._entries = bytearray()
        self._seal = hashlib.sha256()

    def add_raw(self, stored_size: int, size: int, checksum: int) -> None:
        """The next frame is one of raw blocks, of `stored_size` bytes with `size` bytes of content."""
        self._entries += _ENTRY.pack(stored_size, size, checksum & 0xFFFFFFFF)

    def add_compressed(self, stored: bytes, size: int, checksum: int) -> None:
        """The next frame is the compressed one `stored`, with `size` bytes of content."""
        self._seal.update(stored)
        self._entries += _ENTRY.pack(len(stored), size, checksum & 0xFFFFFFFF)

    def to_bytes(self) -> bytes:
        """The seal and the table of all frames so far."""
        seal = _HEADER.pack(_SEAL_MAGIC, self._seal.digest_size) + self._seal.digest()
        return seal + _seek_table(self._entries + _ENTRY.pack(len(seal), 0, _EMPTY))


def closing_size(frames: int) -> int:
    """The bytes of what closes a file of so many frames."""
    return len(Closing().to_bytes()) + frames * _ENTRY.size


def _seek_table(entries: bytes | bytearray) -> bytes:
    header = _HEADER.pack(TABLE_MAGIC, len(entries) + _FOOTER.size)
    return header + entries + _FOOTER.pack(len(entries) // _ENTRY.size, _WITH_CHECKSUMS, _FOOTER_MAGIC)
