"""What is wrong with a file that does not end with a seek table: told from its frames, without decoding any.

RFC 8878 §3.1: a frame is a header and blocks, each of which says how long it is; skippable frames say it at once.
"""

from edgelift.bundle.seek_table import TABLE_MAGIC, ReadAt
from edgelift.bundle.seekable import MAGIC
from edgelift.bundle.source import ByteSource
from edgelift.errors import BundleError, UnseekableError

_REASSEMBLE = "get the original, or make it again with `edgelift reassemble`"
_COPY = "copy it again, or verify the file against the size and digest it was made with"
_RLE = 1  # a type of block
_LOOKS_FROM_AFAR = 32  # each is a request
_LOOKS = 2**20  # a second's worth, and the blocks of 128 GiB; of blocks that are empty a file may have any number


class _CutShortError(Exception):
    """A frame goes on past the end of the file."""


class _TooFarError(Exception):
    """To find out would take too many looks."""


def explain_missing_table(source: ByteSource) -> BundleError:
    """What is wrong with such a file."""
    name, file_size = source.name, source.size
    if file_size == 0:
        return BundleError(f"{name} is empty", hint=_COPY)
    start, magic = 0, b""
    read_at = _bounded(source.read_at, _LOOKS_FROM_AFAR if source.is_remote else _LOOKS)
    try:
        while start < file_size:
            found = read_at(start, min(4, file_size - start))
            if found != MAGIC and not _is_skippable(found):
                return _stray(name, start, after=magic)
            magic = found
            start = _frame_end(read_at, start, file_size, is_skippable=_is_skippable(magic))
    except _CutShortError:
        return BundleError(f"{name} is cut short: its last frame begins at byte {start} and has no end", hint=_COPY)
    except _TooFarError:
        return UnseekableError(
            f"{name} has no seek table: it was compressed again by another tool, or cut short", hint=_REASSEMBLE
        )
    if magic == TABLE_MAGIC:
        return BundleError(f"{name} ends with a seek table that is damaged", hint=_COPY)
    return UnseekableError(
        f"{name} has no seek table: it was compressed again by another tool, or cut between two frames",
        hint=_REASSEMBLE,
    )


def _bounded(read_at: ReadAt, limit: int) -> ReadAt:
    """`read_at` that raises `_TooFarError` after so many looks."""
    looks = iter(range(limit))

    def look(offset: int, length: int) -> bytes:
        if next(looks, None) is None:
            raise _TooFarError
        return read_at(offset, length)

    return look


def _stray(name: str, start: int, *, after: bytes) -> BundleError:
    if start == 0:
        return BundleError(
            f"{name} is not a bundle: it is no zstd file", hint="a bundle is the .tar.zst that build made"
        )
    if after == TABLE_MAGIC:
        return BundleError(f"{name} goes on after its end, which is at byte {start}", hint=_COPY)
    return BundleError(f"{name} is damaged: no frame begins at byte {start}, where one should", hint=_COPY)


def _is_skippable(magic: bytes) -> bool:
    """RFC 8878 §3.1.2: sixteen magic numbers."""
    return magic[1:] == TABLE_MAGIC[1:] and magic[0] >> 4 == TABLE_MAGIC[0] >> 4


def _frame_end(read_at: ReadAt, start: int, file_size: int, *, is_skippable: bool) -> int:
    def field(position: int, length: int) -> int:
        if position + length > file_size:
            raise _CutShortError
        return int.from_bytes(read_at(position, length), "little")

    if is_skippable:
        end = start + 8 + field(start + 4, 4)
        if end > file_size:
            raise _CutShortError
        return end
    flags = field(start + 4, 1)
    is_single_segment, has_checksum = flags >> 5 & 1, flags >> 2 & 1
    dictionary_field = (0, 1, 2, 4)[flags & 3]
    size_field = (is_single_segment, 2, 4, 8)[flags >> 6]
    position = start + 5 + (1 - is_single_segment) + dictionary_field + size_field
    is_last = 0
    while not is_last:
        block = field(position, 3)
        is_last, kind, size = block & 1, block >> 1 & 3, block >> 3
        position += 3 + (1 if kind == _RLE else size)
    end = position + 4 * has_checksum
    if end > file_size:
        raise _CutShortError
    return end
