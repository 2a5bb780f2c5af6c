"""Frames and the seek table, by themselves and as any zstd decoder sees them."""

import io
import struct
from collections.abc import Callable
from functools import cache

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelift.bundle.seek_table import Frame, SeekTable
from edgelift.bundle.seekable import FrameEncoder, decode, frame_header, raw_blocks, split
from edgelift.bundle.seekable_file import SeekableFile
from edgelift.errors import BundleError, IntegrityError
from tests.bundle.content import noise
from tests.bundle.crafting import DistantBytes

KIB = 1024
SIZES = (1, 2, 255, 256, 257, 128 * KIB - 1, 128 * KIB, 128 * KIB + 1, 65_791, 65_792, 256 * KIB, 1024 * KIB)


def _frame(content: bytes, *, is_raw: bool) -> bytes:
    return b"".join(FrameEncoder().encode([memoryview(content)], len(content), is_raw=is_raw))


def _file(*contents: bytes) -> bytes:
    """A file with these frames, raw and compressed by turns."""
    encoder = FrameEncoder()
    frames = b"".join(
        b"".join(encoder.encode([memoryview(content)], len(content), is_raw=bool(number % 2)))
        for number, content in enumerate(contents)
    )
    return frames + encoder.closing()


def _reading(file: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, length: file[offset : offset + length]


def _open(file: bytes) -> SeekableFile:
    table = SeekTable.read(_reading(file), len(file))
    assert table is not None
    return SeekableFile(DistantBytes(file), table)


@pytest.mark.parametrize("is_raw", [True, False], ids=["raw", "compressed"])
@pytest.mark.parametrize("size", SIZES)
def test_frame_is_read_by_zstandard(size: int, is_raw: bool) -> None:
    """A decoder that checks checksums gets the content back; the frame declares its size and has a small window."""
    content = noise(size)
    stored = _frame(content, is_raw=is_raw)

    parameters = zstandard.get_frame_parameters(stored)

    assert content == zstandard.ZstdDecompressor().decompress(stored)
    assert (parameters.content_size, parameters.has_checksum, parameters.dict_id) == (size, True, 0)
    assert parameters.window_size <= 1024 * KIB
    assert stored.startswith(frame_header(size, is_raw=is_raw))


@pytest.mark.parametrize("size", SIZES)
def test_raw_frame_holds_its_content_as_it_is(size: int) -> None:
    """A raw frame grows by 14 bytes and 3 for each 128 KiB, and gives its blocks back without decoding."""
    content = noise(size)
    stored = _frame(content, is_raw=True)

    blocks = raw_blocks(stored, size)

    assert blocks is not None
    assert content == b"".join(blocks)
    assert len(stored) == size + 14 + 3 * -(-size // (128 * KIB))


def test_any_changed_bit_of_a_raw_frame_shows() -> None:
    """No frame with one bit changed is taken for a raw frame in the writer's form."""
    stored = _frame(noise(40), is_raw=True)

    for position in range(8 * len(stored)):
        changed = bytearray(stored)
        changed[position // 8] ^= 1 << position % 8
        assert raw_blocks(bytes(changed), 40) is None


@given(chunks=st.lists(st.binary(max_size=40)), cuts=st.lists(st.integers(0, 50)))
def test_split_gives_the_same_bytes_in_the_sizes_asked_for(chunks: list[bytes], cuts: list[int]) -> None:
    """However the chunks come, the pieces have the given sizes and hold the same bytes."""
    content = b"".join(chunks)
    ends = sorted(min(cut, len(content)) for cut in (*cuts, len(content)))
    sizes = [stop - start for start, stop in zip([0, *ends], ends, strict=False)]

    pieces = [b"".join(each) for each in split(chunks, sizes)]

    assert sizes == [len(piece) for piece in pieces]
    assert content == b"".join(pieces)


@settings(max_examples=60)
@given(data=st.data(), sizes=st.lists(st.integers(1, 300 * KIB), min_size=1, max_size=4))
def test_any_range_reads_as_the_slice(data: st.DataObject, sizes: list[int]) -> None:
    """Any range is what slicing the whole content gives, across frames of both kinds."""
    contents = [noise(size, seed=number) for number, size in enumerate(sizes)]
    whole = b"".join(contents)
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole)))

    read = b"".join(_open(_file(*contents)).read(start, stop))

    assert whole[start:stop] == read


def test_reading_past_the_end_is_refused() -> None:
    """There is nothing after the last frame."""
    with pytest.raises(BundleError, match="ends before"):
        list(_open(_file(b"abc")).read(0, 4))


def test_frames_decode_as_one_stream() -> None:
    """A decoder that knows no seek table passes over it and over the seal."""
    file = _file(b"first", b"second", b"third")

    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(file), read_across_frames=True)

    assert reader.read() == b"firstsecondthird"


def test_seek_table_is_that_of_the_seekable_format() -> None:
    """The last frame is skippable; its entries add up to the file, the seal being an empty one."""
    file = _file(b"first", b"second")

    count, flags, magic = struct.unpack("<IBI", file[-9:])
    table = file[-(8 + 12 * count + 9) :]
    entries = list(struct.iter_unpack("<III", table[8:-9]))

    assert (count, flags, magic) == (3, 0x80, 0x8F92EAB1)
    assert struct.unpack("<II", table[:8]) == (0x184D2A5E, 12 * count + 9)
    assert len(file) - len(table) == sum(stored for stored, _, _ in entries)
    assert [size for _, size, _ in entries] == [5, 6, 0]


def _with_table(file: bytes, table: bytes) -> bytes:
    (count,) = struct.unpack("<I", file[-9:-5])
    return file[: -(8 + 12 * count + 9)] + table


def _table(entries: bytes, *, count: int | None = None, flags: int = 0x80, length: int | None = None) -> bytes:
    footer = struct.pack("<IBI", len(entries) // 12 if count is None else count, flags, 0x8F92EAB1)
    return struct.pack("<II", 0x184D2A5E, len(entries) + 9 if length is None else length) + entries + footer


def _entry(stored_size: int, size: int) -> bytes:
    return struct.pack("<III", stored_size, size, 0)


GOOD = _file(b"first", b"second")
ENTRIES = GOOD[-(12 * 3 + 9) : -9]
BAD_TABLES = {
    "more frames than there is file": _table(ENTRIES, count=2**31),
    "four billion frames": _table(ENTRIES, count=2**32 - 1),
    "fewer frames than entries": _table(ENTRIES, count=2),
    "no checksums": _table(ENTRIES, flags=0),
    "reserved bits": _table(ENTRIES, flags=0x84),
    "another frame size": _table(ENTRIES, length=len(ENTRIES)),
    "an entry missing": _table(ENTRIES[12:]),
    "an entry too many": _table(ENTRIES + _entry(1, 1)),
    "stored sizes that do not add up": _table(_entry(1, 5) + ENTRIES[12:]),
    "a frame of more than 8 MiB": _table(ENTRIES[:4] + struct.pack("<I", 2**23 + 1) + ENTRIES[8:]),
    "a stored frame larger than its content can need": _table(_entry(2**31, 5) + ENTRIES[12:]),
}


@pytest.mark.parametrize("table", BAD_TABLES.values(), ids=BAD_TABLES)
def test_bad_seek_table_is_refused(table: bytes) -> None:
    """A table that cannot be that of the file is refused before anything is read by it."""
    with pytest.raises(BundleError, match="seek table"):
        _open(_with_table(GOOD, table))


@pytest.mark.parametrize("file", [b"", b"x" * 16, GOOD[:-1], b"x" * 100], ids=["empty", "short", "cut", "other"])
def test_file_without_a_table_has_none(file: bytes) -> None:
    """Where the magic number is not at the end there is no table."""
    assert SeekTable.read(_reading(file), len(file)) is None


@cache
def _gigabyte() -> bytes:
    """A gigabyte of zeros in a few kilobytes, not declared."""
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    zeros = bytes(2**20)
    return b"".join(compressor.compress(zeros) for _ in range(1024)) + compressor.flush()


def _bomb(declared: int | None) -> bytes:
    """`_gigabyte`, declared as `declared` bytes or not at all."""
    stored = _gigabyte()
    if declared is None:
        return stored
    # Flags that say: four bytes of size after the window descriptor.
    return stored[:4] + bytes([stored[4] | 0x80]) + stored[5:6] + struct.pack("<I", declared) + stored[6:]


BAD_FRAMES = {
    "a bomb that declares nothing": _bomb(None),
    "a bomb that declares a gigabyte": _bomb(2**30),
    "a bomb that declares what the table says": _bomb(100),
    "cut short": _frame(noise(100), is_raw=False)[:-1],
    "bytes after its end": _frame(noise(100), is_raw=False) + b"x",
    "two frames": _frame(noise(50), is_raw=False) * 2,
    "larger content": _frame(noise(101), is_raw=False),
    "a skippable frame": struct.pack("<II", 0x184D2A50, 100) + bytes(100),
    "no frame": bytes(100),
    "nothing": b"",
    "a dictionary asked for": b"\x28\xb5\x2f\xfd\x25\x01\x64" + bytes(100),
}


@pytest.mark.parametrize("stored", BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_bad_frame_is_refused(stored: bytes) -> None:
    """A frame that is not exactly 100 bytes of content is an error of ours, and never decoded further."""
    with pytest.raises(IntegrityError, match="frame at byte 7"):
        decode(stored, Frame(stored_start=7, stored_size=len(stored), start=0, size=100), "the file")
