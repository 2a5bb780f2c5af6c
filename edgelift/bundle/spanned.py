"""The bytes of a bundle in parts, as if they were in one file."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING

from edgelift.bundle.parts import PartsIndex
from edgelift.bundle.seek_table import ReadAt
from edgelift.errors import BundleError

if TYPE_CHECKING:
    from edgelift.bundle.source import ByteSource


class SpannedFile:
    """The parts of `index`, each a source of its own, one after the other. Implements `bundle.source.ByteSource`.

    `name` is that of the whole, which no file needs to have; `beside` reads the beginning of the file of that name and
    a suffix.
    """

    def __init__(
        self,
        name: str,
        index: PartsIndex,
        sources: "Sequence[ByteSource]",
        beside: Callable[[str, int], bytes | None],
    ) -> None:
        """Every source has the size that `index` says."""
        self.name = name
        self.index = index
        self.size = index.size
        self.is_remote = any(source.is_remote for source in sources)
        self._sources = sources
        self._starts = list(accumulate((part.size for part in index.parts), initial=0))
        self._beside = beside

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset` on; raises `EdgeliftError` where they cannot be read."""
        return self._join(offset, length, lambda number: self._sources[number].read_at)

    def state(self) -> object:
        """What every part says of itself; None where one cannot be known by it."""
        states = tuple(source.state() for source in self._sources)
        return None if None in states else states

    @contextmanager
    def passage(self, start: int, stop: int) -> Iterator[ReadAt]:
        """As `read_at`, for one thread that goes forward from `start` to `stop`: a passage through each part."""
        with ExitStack() as stack:
            opened: dict[int, ReadAt] = {}

            def within(number: int) -> ReadAt:
                if number not in opened:
                    begin, end = self._starts[number : number + 2]
                    span = max(start, begin) - begin, min(stop, end) - begin
                    opened[number] = stack.enter_context(self._sources[number].passage(*span))
                return opened[number]

            yield lambda offset, length: self._join(offset, length, within)

    def read_beside(self, suffix: str, limit: int) -> bytes | None:
        """Up to `limit` bytes of the file of the whole's name and `suffix`; None where there is none."""
        return self._beside(suffix, limit)

    def name_of(self, start: int, stop: int) -> str:
        """The parts that hold the bytes from `start` to `stop`, for messages."""
        first, last = (bisect_right(self._starts, at) for at in (start, max(start, stop - 1)))
        return " and ".join(part.name for part in self.index.parts[first - 1 : last])

    def close(self) -> None:
        """Close every part."""
        for source in self._sources:
            source.close()

    def _join(self, offset: int, length: int, reader: Callable[[int], ReadAt]) -> bytes:
        if offset < 0 or offset + length > self.size:
            raise BundleError(f"{self.name} has {self.size:,} bytes: there are no {length:,} from byte {offset} on")
        pieces = []
        while length:
            number = bisect_right(self._starts, offset) - 1
            start, stop = self._starts[number : number + 2]
            size = min(length, stop - offset)
            pieces.append(reader(number)(offset - start, size))
            offset, length = offset + size, length - size
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def name_of(source: "ByteSource", start: int, stop: int) -> str:
    """What messages call the place of the bytes from `start` to `stop`: the file, or the parts that hold them."""
    return source.name_of(start, stop) if isinstance(source, SpannedFile) else source.name
