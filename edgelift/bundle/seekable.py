"""Frames of zstd's seekable format, made and decoded; the only module that knows zstandard and xxhash.

Two kinds are made (RFC 8878): compressed frames, and frames of raw blocks for content that is compressed already.
Both carry their content's size and XXH64. Nothing here knows what the content is.
"""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, NamedTuple, cast

import xxhash
import zstandard

from edgelift.bundle.definition import COMPRESSION_LEVEL
from edgelift.bundle.seek_table import Closing, Frame
from edgelift.errors import IntegrityError

MAGIC = b"\x28\xb5\x2f\xfd"

# Four bytes of content size, a checksum, no dictionary; a window of 128 KiB, so that any decoder streams a frame in
# little memory (one segment would make it keep all 8 MiB).
_RAW_START = MAGIC + b"\x84\x38"
RAW_HEADER = len(_RAW_START) + 4
BLOCK = 128 * 1024  # bytes, the most a block may hold (RFC 8878 §3.1.1.2.4)
_BLOCK_HEADER = 3
_CHECKSUM = 4
_AHEAD = 4  # compressed frames that wait for their turn
_SMALL = 64 * 1024  # bytes; compressed sooner than handed to another thread
_WINDOW_LIMIT = 128 * 2**20  # bytes; what the zstd program takes without being told to take more


Part = bytes | memoryview


class FrameEncoder:
    """Makes frames, and in the end what closes the file of those it made. For one thread."""

    def __init__(self, level: int = COMPRESSION_LEVEL) -> None:
        """`level` is zstd's."""
        self._level = level
        self._closing = Closing()

    def encode_all(
        self, frames: Iterable[tuple[Iterable[memoryview], int, bool]], pool: ThreadPoolExecutor
    ) -> Iterator[Part]:
        """The frames of pieces, size and whether it is raw, one after the other, in parts to be written in this order.

        Content is compressed in `pool`, a few frames ahead; what comes out does not depend on that.
        """
        waiting: deque[tuple[int, Future[_Compressed]]] = deque()
        for pieces, size, is_raw in frames:
            if is_raw or size <= _SMALL:
                yield from self._take(waiting, 0)
                yield from self.encode(pieces, size, is_raw=is_raw)
            else:
                waiting.append((size, pool.submit(_compress, _joined(pieces), self._level)))
                yield from self._take(waiting, _AHEAD)
        yield from self._take(waiting, 0)

    def encode(self, pieces: Iterable[memoryview], size: int, *, is_raw: bool) -> Iterator[bytes | memoryview]:
        """The frame of the `size` bytes that `pieces` hold together, in parts to be written in this order.

        Raw parts are given as `pieces` come, so that no frame is ever in memory as a whole.
        """
        if not is_raw:
            yield self._add(size, _compress(_joined(pieces), self._level))
            return
        hasher, stored = xxhash.xxh64(), 0
        for part in _raw_frame(pieces, size, hasher):
            stored += len(part)
            yield part
        self._closing.add_raw(stored, size, hasher.intdigest())

    def closing(self) -> bytes:
        """What ends the file: the seal and the table of all frames made."""
        return self._closing.to_bytes()

    def _take(self, waiting: "deque[tuple[int, Future[_Compressed]]]", left: int) -> Iterator[bytes]:
        """The frames that have waited longest, until so many are `left`."""
        while len(waiting) > left:
            size, future = waiting.popleft()
            yield self._add(size, future.result())

    def _add(self, size: int, compressed: "_Compressed") -> bytes:
        self._closing.add_compressed(compressed.frame, size, compressed.checksum)
        return compressed.frame


def decode(stored: bytes, frame: Frame, name: str) -> bytes:
    """The content of the `stored` frame, of any kind; its XXH64 is checked where it has one. Raises `IntegrityError`.

    The size it declares must be that of the seek table: no more than this is ever allocated.
    """
    try:
        if stored[: len(MAGIC)] == MAGIC and zstandard.get_frame_parameters(stored).content_size == frame.size:
            content = _decompressors.own.decompress(stored, allow_extra_data=False)
            if len(content) == frame.size:
                return content
    except zstandard.ZstdError:
        pass
    raise IntegrityError(
        f"{name} is damaged: the frame at byte {frame.stored_start} cannot be decoded",
        hint="copy or assemble the bundle again",
    )


def decode_all(stored: Iterable[bytes], name: str) -> Iterator[bytes]:
    """The content of all frames of a file, of any kind, which comes in pieces; each frame's own checksum is checked.

    Raises `IntegrityError` where it cannot be decoded; a file that is cut short just ends.
    """
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_LIMIT)
    try:
        source = cast("IO[bytes]", _Pieces(stored))  # all that is asked of it
        with decompressor.stream_reader(source, read_across_frames=True) as reader:
            while piece := reader.read(BLOCK):
                yield piece
    except zstandard.ZstdError:
        raise IntegrityError(
            f"{name} is damaged: it cannot be decoded to its end", hint="copy or assemble the bundle again"
        ) from None


class _Pieces:
    """What a decompressor reads from; it takes any size for what was asked."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def read(self, _size: int) -> bytes:
        """The next piece; empty at the end."""
        return next(self._pieces, b"")


def raw_blocks(stored: bytes, size: int) -> list[memoryview] | None:
    """The content of a frame of raw blocks; None where the frame is not to the byte what `FrameEncoder` makes."""
    view = memoryview(stored)
    if len(view) != _raw_size(size) or view[:RAW_HEADER] != frame_header(size, is_raw=True):
        return None
    blocks, position = [], RAW_HEADER
    for length in _block_lengths(size):
        start = position + _BLOCK_HEADER
        position = start + length
        if view[start - _BLOCK_HEADER : start] != _block_header(length, is_last=position == len(view) - _CHECKSUM):
            return None
        blocks.append(view[start:position])
    return blocks if view[position:] == _checksum_field(content_checksum(blocks)) else None


def frame_header(size: int, *, is_raw: bool) -> bytes:
    """How a frame of `size` bytes of content begins (RFC 8878 §3.1.1.1).

    Compressed ones are single segments without a dictionary, with a checksum and the size in the fewest bytes.
    """
    if is_raw:
        return _RAW_START + size.to_bytes(4, "little")
    if size < 2**8:
        return MAGIC + b"\x24" + size.to_bytes(1, "little")
    if size < 2**16 + 2**8:
        return MAGIC + b"\x64" + (size - 2**8).to_bytes(2, "little")
    return MAGIC + b"\xa4" + size.to_bytes(4, "little")


def stored_checksum(stored: bytes) -> int:
    """The low half of the content's XXH64 that a frame of ours ends with (RFC 8878 §3.1.1)."""
    return int.from_bytes(stored[-_CHECKSUM:], "little")


def may_be_raw(frame: Frame) -> bool:
    """Whether it has the size of a frame of raw blocks; its header tells."""
    return frame.stored_size == _raw_size(frame.size)


def raw_position(offset: int) -> int:
    """Where in a frame of raw blocks the byte of its content at `offset` is."""
    return RAW_HEADER + _BLOCK_HEADER * (offset // BLOCK + 1) + offset


def content_checksum(pieces: Iterable[memoryview | bytes]) -> int:
    """The XXH64 of what `pieces` hold together."""
    hasher = xxhash.xxh64()
    for piece in pieces:
        hasher.update(piece)
    return int(hasher.intdigest())


def split(chunks: Iterable[bytes | memoryview], sizes: Iterable[int]) -> Iterator[Iterator[memoryview]]:
    """The bytes of `chunks`, without copying them, in pieces that together have the given sizes.

    The pieces of one size are to be taken before those of the next are asked for.
    """
    source, rest = iter(chunks), memoryview(b"")

    def take(missing: int) -> Iterator[memoryview]:
        nonlocal rest
        while missing:
            if not rest:
                rest = memoryview(next(source))
            piece, rest = rest[:missing], rest[missing:]
            missing -= len(piece)
            yield piece

    for size in sizes:
        yield take(size)


class _Compressed(NamedTuple):
    """A compressed frame, and the XXH64 of its content."""

    frame: bytes
    checksum: int


class _Compressors(threading.local):
    """One a level and thread: a compressor can do one thing at a time."""

    def __init__(self) -> None:
        self.own: dict[int, zstandard.ZstdCompressor] = {}

    def of(self, level: int) -> zstandard.ZstdCompressor:
        """That of this thread."""
        if level not in self.own:
            self.own[level] = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)
        return self.own[level]


_compressors = _Compressors()


class _Decompressors(threading.local):
    """One a thread: to make one takes as long as to decode a small frame."""

    def __init__(self) -> None:
        self.own = zstandard.ZstdDecompressor()


_decompressors = _Decompressors()


def _compress(content: bytearray, level: int) -> _Compressed:
    return _Compressed(_compressors.of(level).compress(content), content_checksum([memoryview(content)]))


def _joined(pieces: Iterable[memoryview]) -> bytearray:
    """A copy of `pieces`, each taken before the next is asked for, which may be in the same memory."""
    content = bytearray()
    for piece in pieces:
        content += piece
    return content


def _raw_frame(pieces: Iterable[memoryview], size: int, hasher: xxhash.xxh64) -> Iterator[bytes | memoryview]:
    """A frame of raw blocks, ended by the checksum that `hasher` has come to."""
    yield frame_header(size, is_raw=True)
    lengths = _block_lengths(size)
    blocks = split(_hashed(pieces, hasher), lengths)
    for number, (length, block) in enumerate(zip(lengths, blocks, strict=True), 1):
        yield _block_header(length, is_last=number == len(lengths))
        yield from block
    yield _checksum_field(hasher.intdigest())


def _hashed(pieces: Iterable[memoryview], hasher: xxhash.xxh64) -> Iterator[memoryview]:
    """`pieces` as they are, hashed before they are cut into blocks: large ones cost threads fewer turns."""
    for piece in pieces:
        hasher.update(piece)
        yield piece


def _block_lengths(size: int) -> list[int]:
    return [min(BLOCK, size - at) for at in range(0, size, BLOCK)]


def _raw_size(size: int) -> int:
    return RAW_HEADER + size + _BLOCK_HEADER * len(range(0, size, BLOCK)) + _CHECKSUM


def _block_header(length: int, *, is_last: bool) -> bytes:
    """RFC 8878 §3.1.1.2: whether it is the last, type 0 (raw), size."""
    return (length << 3 | is_last).to_bytes(_BLOCK_HEADER, "little")


def _checksum_field(checksum: int) -> bytes:
    return (checksum & 0xFFFFFFFF).to_bytes(_CHECKSUM, "little")
