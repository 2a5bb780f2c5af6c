"""A part of a blob on its way to a client: read piece by piece, checked where it has to be, and never kept."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import NamedTuple, Protocol

from edgelift.errors import IntegrityError
from edgelift.oci.content import Bytes, ReadSome

Take = Callable[[Bytes], int]  # takes as much of some bytes as it has room for; gives how many these were

_PIECE = 2**20  # bytes; as many as a compressed frame holds
_TURN = 8 * 2**20  # bytes after which others get the thread
_REST = 4096  # bytes that are kept for one who has no room, and the last ones, which leave once all is seen to be right


class Check(Protocol):
    """What a blob has to be put through, from its first byte to its last."""

    def update(self, piece: Bytes, /) -> None:
        """Go on with `piece`."""

    def finish(self) -> None:
        """See that all of it was right; raises `EdgeliftError` where it was not."""


class Poured(NamedTuple):
    """How many bytes were taken, and a few more (or none) for which there was no room; they count as given."""

    taken: int
    rest: bytes


class BlobPart:
    """Bytes `start` to `stop` of what `passage` gives, for one thread at a time.

    With a `check` the passage begins at the blob's first byte and `stop` is its end: it sees what was given, and the
    last bytes are given only if all is right. What a client has no room for is dropped and read again, so
    that those who wait cost next to no memory.
    """

    def __init__(
        self, passage: AbstractContextManager[ReadSome], start: int, stop: int, check: Check | None = None
    ) -> None:
        self._passage = passage
        self._start = start
        self._stop = stop
        self._check = check
        self._position = 0 if check else start
        self._opened = ExitStack()
        self._read: ReadSome | None = None

    def __iter__(self) -> Iterator[Bytes]:
        """All of it, in pieces."""
        with self._opened:
            while piece := self._peek():
                yield piece
                self._advance(piece)

    def pour(self, take: Take) -> Poured:
        """Give pieces to `take`, until it has no room for more, or for as many bytes as one turn has.

        Raises what `take` and the check raise, and `IntegrityError` where the content ends early.
        """
        poured = 0
        while poured < _TURN and (piece := self._peek()):
            taken = take(piece)
            rest = bytes(piece[taken : taken + _REST])
            self._advance(memoryview(piece)[: taken + len(rest)])
            poured += taken
            if rest:
                return Poured(poured, rest)
        return Poured(poured, b"")

    @property
    def is_done(self) -> bool:
        """Whether all has been given."""
        return self._position == self._stop

    def close(self) -> None:
        """Let go of what it is read from."""
        self._opened.close()

    def _peek(self) -> Bytes:
        """The next bytes; empty at the end."""
        while self._position < self._start:
            self._advance(self._look(min(_PIECE, self._start - self._position)))
        left = self._stop - self._position
        if not left:
            return b""
        if self._check is None:
            return self._look(min(_PIECE, left))
        piece = self._look(min(_PIECE, left - _REST) if left > _REST else left)
        if len(piece) == left:
            self._check.update(piece)
            self._check.finish()
            self._check = None
        return piece

    def _look(self, limit: int) -> Bytes:
        if self._read is None:
            self._read = self._opened.enter_context(self._passage)
        piece = self._read(self._position, limit)
        if not piece:
            raise IntegrityError(f"a blob ended after {self._position:,} of {self._stop:,} bytes")
        return piece

    def _advance(self, piece: Bytes) -> None:
        self._position += len(piece)
        if self._check is not None:
            self._check.update(piece)
