"""The sha256 of a file, or of its parts, as it passes by: worked out in a thread of its own beside other work."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from edgelift.bundle.source import ByteSource
from edgelift.oci.content import CHUNK
from edgelift.oci.digest import Digest


def digest_of(source: ByteSource, *, progress: Callable[[int], None] | None = None) -> Digest:
    """The sha256 of all of `source`; `progress` takes the bytes that have just been hashed."""
    hasher = hashlib.sha256()
    with source.passage(0, source.size) as read_at:
        for start in range(0, source.size, CHUNK):
            chunk = read_at(start, min(CHUNK, source.size - start))
            hasher.update(chunk)
            if progress is not None:
                progress(len(chunk))
    return Digest(f"sha256:{hasher.hexdigest()}")


class FileDigest:
    """Takes a file part by part. At most one part waits, so memory stays bounded by two of them."""

    def __init__(self) -> None:
        self._hasher = hashlib.sha256()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="file-digest")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def update(self, part: Sequence[bytes | memoryview]) -> None:
        """Go on with `part`, which must not change afterwards."""
        self._wait()
        self._pending = self._pool.submit(self._hash, part)

    def value(self) -> Digest:
        """The digest of all parts so far."""
        self._wait()
        return Digest(f"sha256:{self._hasher.hexdigest()}")

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()

    def _hash(self, part: Sequence[bytes | memoryview]) -> None:
        for piece in part:
            self._hasher.update(piece)


class PartDigests(FileDigest):
    """As `FileDigest`, but of each part of `part_size` bytes."""

    def __init__(self, part_size: int) -> None:
        super().__init__()
        self._part_size = part_size
        self._room = part_size  # bytes that the current part still takes
        self._values: list[Digest] = []

    def values(self) -> list[Digest]:
        """The digests of all parts, the last of which may be smaller; nothing comes after this."""
        last = [self.value()] if self._room < self._part_size else []
        return [*self._values, *last]

    def _hash(self, part: Sequence[bytes | memoryview]) -> None:
        for chunk in part:
            rest = memoryview(chunk)
            while rest:
                piece, rest = rest[: self._room], rest[self._room :]
                self._hasher.update(piece)
                self._room -= len(piece)
                if not self._room:
                    self._values.append(Digest(f"sha256:{self._hasher.hexdigest()}"))
                    self._hasher, self._room = hashlib.sha256(), self._part_size
