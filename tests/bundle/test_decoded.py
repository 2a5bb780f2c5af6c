"""Compressed frames that are decoded before they are asked for, for whoever takes them whole."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from edgelift.bundle.seek_table import ReadAt, SeekTable
from edgelift.bundle.seekable import FrameEncoder
from edgelift.bundle.seekable_file import SeekableFile
from edgelift.bundle.source import LocalFile
from edgelift.errors import IntegrityError

SIZE = 1000  # bytes of content in each of the frames
FRAMES = tuple(bytes([number]) * SIZE for number in range(5))
CONTENT = b"".join(FRAMES)


class Watched(LocalFile):
    """Knows what was read ahead: where, in the file, by others than the passage itself."""

    ahead: list[int]

    def read_at(self, offset: int, length: int) -> bytes:
        """As the file's."""
        self.ahead.append(offset)
        return super().read_at(offset, length)

    def passage(self, start: int, stop: int) -> AbstractContextManager[ReadAt]:
        """As the file's, unnoticed."""
        return nullcontext(super().read_at)


Open = Callable[..., tuple[SeekableFile, Watched]]


@pytest.fixture
def open_frames(tmp_path: Path) -> Open:
    """Makes a file with a frame each for some contents, the last `raw` of them of raw blocks."""

    def make(raw: int = 0, *, damaged: int | None = None, is_remote: bool = False) -> tuple[SeekableFile, Watched]:
        encoder, frames = FrameEncoder(), []
        for number, content in enumerate(FRAMES):
            is_raw = number >= len(FRAMES) - raw
            frames.append(bytearray().join(encoder.encode([memoryview(content)], SIZE, is_raw=is_raw)))
        if damaged is not None:
            frames[damaged][-1] ^= 1
        path = tmp_path / "frames"
        path.write_bytes(b"".join(frames) + encoder.closing())
        source = Watched(path)
        source.ahead = []
        table = SeekTable.read(source.read_at, source.size)
        assert table is not None
        source.ahead.clear()
        source.is_remote = is_remote
        return SeekableFile(source, table), source

    return make


def read_all(file: SeekableFile, limit: int, stop: int = len(CONTENT)) -> bytes:
    """The content up to `stop`, at most `limit` bytes at a time."""
    found = bytearray()
    with file.passage(0, stop) as read:
        while len(found) < stop:
            found += read(len(found), min(limit, stop - len(found)))
    return bytes(found)


def test_who_takes_whole_frames_finds_the_next_one_decoded(open_frames: Open) -> None:
    """Each is decoded while the one before it is on its way, and none beyond the end of what is read."""
    file, source = open_frames()

    assert read_all(file, SIZE, 3 * SIZE) == CONTENT[: 3 * SIZE]
    assert source.ahead == [frame.stored_start for frame in file.table][1:3]


def test_who_takes_little_has_nothing_decoded_ahead(open_frames: Open) -> None:
    """Whoever is slow waits for nothing."""
    file, source = open_frames()

    assert read_all(file, SIZE - 1) == CONTENT
    assert source.ahead == []


def test_several_readers_have_nothing_decoded_ahead(open_frames: Open) -> None:
    """They would push each other's frames out of memory before they are read."""
    file, source = open_frames()

    with file.passage(0, 1):
        assert read_all(file, SIZE) == CONTENT
    assert source.ahead == []


def test_raw_frames_need_nobody_to_decode_them(open_frames: Open) -> None:
    """They are read where they stand."""
    file, source = open_frames(raw=3)

    assert read_all(file, SIZE) == CONTENT
    assert source.ahead == [list(file.table)[1].stored_start]


def test_nothing_is_read_ahead_over_a_network(open_frames: Open) -> None:
    """A passage through an object reads ahead by itself; two at once would be two requests."""
    file, source = open_frames(is_remote=True)

    assert read_all(file, SIZE) == CONTENT
    assert source.ahead == []


def test_a_damaged_frame_is_told_when_it_is_asked_for(open_frames: Open) -> None:
    """What comes before it is given out whole."""
    file, source = open_frames(damaged=2)

    assert read_all(file, SIZE, 2 * SIZE) == CONTENT[: 2 * SIZE]
    with pytest.raises(IntegrityError, match="cannot be decoded"):
        read_all(file, SIZE)
    assert list(file.table)[2].stored_start in source.ahead
