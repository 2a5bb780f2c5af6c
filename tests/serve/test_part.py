"""A part of a blob on its way: what is given, when the last bytes are, and that nothing is kept."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import cycle

import pytest

from edgelift.errors import IntegrityError
from edgelift.oci.content import Bytes, ReadSome
from edgelift.oci.digest import Digest
from edgelift.serve.part import BlobPart, Check
from tests.bundle.content import noise

BLOB = noise(1_000_003)
SIZE = len(BLOB)


class _Digest:
    """Checks that it was shown the blob of `digest`."""

    def __init__(self, digest: Digest = Digest.of(BLOB)) -> None:  # noqa: B008 - a constant
        self._digest = digest
        self._hasher = digest.hasher()

    def update(self, piece: Bytes, /) -> None:
        """Hash `piece`."""
        self._hasher.update(piece)

    def finish(self) -> None:
        """Raise where it was another blob."""
        if self._hasher.hexdigest() != self._digest.hex:
            raise IntegrityError("the disk is bad")


class _Client:
    """Takes what it has room for: `rooms` bytes, one after the other."""

    def __init__(self, *rooms: int) -> None:
        self._rooms = cycle(rooms)
        self.got = bytearray()

    def take(self, data: Bytes) -> int:
        """Some of `data`."""
        room = min(next(self._rooms), len(data))
        self.got += data[:room]
        return room

    def drink(self, part: BlobPart) -> bytes:
        """Take all that `part` gives, in as many turns as it needs; what is left over of each comes then."""
        while not part.is_done:
            poured = part.pour(self.take)
            self.got += poured.rest
        return bytes(self.got)


def _part(blob: bytes, start: int, stop: int, check: Check | None = None, most: int = 2**30) -> BlobPart:
    return BlobPart(nullcontext(lambda offset, limit: blob[offset : offset + min(limit, most)]), start, stop, check)


@pytest.mark.parametrize("rooms", [(2**30,), (0,), (1,), (70_000, 0), (300_000, 5, 0)], ids=str)
@pytest.mark.parametrize("is_checked", [False, True], ids=["unchecked", "checked"])
@pytest.mark.parametrize("start", [0, 1, 262_144, SIZE - 1])
def test_every_byte_arrives_once(rooms: tuple[int, ...], is_checked: bool, start: int) -> None:
    """However little room there is at a time, the part arrives as it is; a client without any room gets some, too."""
    assert _Client(*rooms).drink(_part(BLOB, start, SIZE, _Digest() if is_checked else None)) == BLOB[start:]


@pytest.mark.parametrize("most", [1000, 4096, 262_144])
def test_pieces_of_any_size(most: int) -> None:
    """The content may come in smaller pieces than are asked for, also at its end."""
    assert _Client(100_000).drink(_part(BLOB, 0, SIZE, _Digest(), most)) == BLOB
    assert b"".join(_part(BLOB, 5, SIZE, _Digest(), most)) == BLOB[5:]


def test_nothing_to_give() -> None:
    """A part without a byte is done from the start, and opens nothing."""
    part = BlobPart(nullcontext(lambda _offset, _limit: pytest.fail("there is nothing to read")), 7, 7)
    assert part.is_done
    assert list(part) == []


def test_what_is_not_taken_is_read_again() -> None:
    """A piece that finds no room is dropped, and read again when there is some."""
    asked: list[int] = []

    def read(offset: int, limit: int) -> bytes:
        asked.append(offset)
        return BLOB[offset : offset + limit]

    part, client = BlobPart(nullcontext(read), 0, SIZE), _Client(10)
    left_over = [part.pour(client.take).rest for _ in range(3)]
    assert {len(rest) for rest in left_over} == {4096}
    assert asked == [0, 4106, 8212]


def test_others_get_their_turn() -> None:
    """One that takes all it is given does not keep its thread for a large blob."""
    blob = bytes(20 * 2**20)
    part, client = _part(blob, 0, len(blob)), _Client(2**30)
    turns = 0
    while not part.is_done:
        taken, rest = part.pour(client.take)
        assert (taken < 10 * 2**20, rest) == (True, b"")
        turns += 1
    assert (len(client.got), turns > 1) == (len(blob), True)


@pytest.mark.parametrize("damaged", [0, 500_000, SIZE - 4097, SIZE - 1])
@pytest.mark.parametrize("start", [0, 300_000])
def test_last_bytes_of_what_is_wrong(damaged: int, start: int) -> None:
    """A client of a damaged blob never gets its last bytes, wherever it begins, and is told why it is cut off."""
    blob = BLOB[:damaged] + bytes([BLOB[damaged] ^ 1]) + BLOB[damaged + 1 :]
    client = _Client(200_000)
    with pytest.raises(IntegrityError, match="the disk is bad"):
        client.drink(_part(blob, start, SIZE, _Digest()))
    assert len(client.got) < SIZE - start


def test_content_that_ends_early() -> None:
    """Content that became shorter is an error, and not a body without its end."""
    with pytest.raises(IntegrityError, match="ended after 1,000 of 1,000,003 bytes"):
        list(_part(BLOB[:1000], 0, SIZE))


def test_passage_is_left() -> None:
    """What the blob is read from is let go of at the end, also where a client leaves before."""
    left: list[bool] = []

    @contextmanager
    def passage() -> Iterator[ReadSome]:
        yield lambda offset, limit: BLOB[offset : offset + limit]
        left.append(True)

    whole, cut = BlobPart(passage(), 0, SIZE), BlobPart(passage(), 0, SIZE)
    assert b"".join(whole) == BLOB
    cut.pour(_Client(10).take)
    cut.close()
    assert left == [True, True]
