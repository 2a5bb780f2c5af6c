"""The file of an artifact in a registry, read where it lies, by ranges: the one that the manifest named, or none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edgelift.bundle.seek_table import ReadAt
from edgelift.errors import StoreError
from edgelift.oci.artifact import Artifact
from edgelift.oci.pull import BlobStream
from edgelift.oci.registry import Registry

_TAIL = 64 * 2**10  # bytes; most bundles have their seek table in it
ReadBeside = Callable[[str, int], bytes | None]  # suffix and limit → see `ByteSource.read_beside`


class ArtifactFile:
    """Implements `bundle.source.ByteSource` and `landing.ResumableSource`. For any number of threads."""

    is_remote = True

    def __init__(
        self, registry: Registry, repository: str, artifact: Artifact, name: str, read_beside: ReadBeside
    ) -> None:
        """`name` is what messages call it; `read_beside` gives what is kept beside it."""
        self.name = name
        self.size = artifact.file.size
        self.etag = str(artifact.file.digest)
        self._read_beside = read_beside
        self._registry = registry
        self._repository = repository
        self._file = artifact.file
        self._tail = b""

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset` on; raises `StoreError` past the end, and `RegistryError`."""
        if offset + length > self.size:
            raise StoreError(f"{self.name} has {self.size:,} bytes: there are no {length:,} from byte {offset} on")
        begin = max(0, self.size - _TAIL)
        if offset < begin:
            with self.passage(offset, offset + length) as read_at:
                return read_at(offset, length)
        if not self._tail:
            self._tail = b"".join(self.chunks(begin))
        return self._tail[offset - begin : offset - begin + length]

    @contextmanager
    def passage(self, start: int, stop: int) -> Iterator[ReadAt]:  # noqa: ARG002 - the registry sends all that follows
        """As `read_at`, for one thread that goes forward from `start`, in one request if nothing breaks."""
        passage = _Passage(self)
        try:
            yield passage.read_at
        finally:
            passage.close()

    def chunks(self, start: int) -> Iterator[bytes]:
        """All bytes from `start` on, in order, going on after every cut; raises `RegistryError`."""
        return iter(BlobStream(self._registry, self._repository, self._file, start))

    def read_beside(self, suffix: str, limit: int) -> bytes | None:
        """Up to `limit` bytes of what is kept under this one's name and `suffix`; None where there is nothing."""
        return self._read_beside(suffix, limit)

    def state(self) -> None:
        """Nobody can tell whether what comes over a network is what came before."""

    def close(self) -> None:
        """The connections are the registry's own."""


class _Passage:
    """One way forward through `file`; keeps what was read last, which may be read once more."""

    def __init__(self, file: ArtifactFile) -> None:
        self._file = file
        self._chunks: Iterator[bytes] | None = None
        self._held, self._start = b"", 0

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset` on."""
        if self._chunks is None or not self._start <= offset <= self._start + len(self._held):
            self._chunks, self._held, self._start = self._file.chunks(offset), b"", offset
        held = bytearray(self._held[offset - self._start :])
        while len(held) < length:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise StoreError(f"{self._file.name} ends after {offset + len(held):,} of {self._file.size:,} bytes")
            held += chunk
        self._held, self._start = bytes(held), offset
        return self._held[:length]

    def close(self) -> None:
        """Let go of the answer that is being read."""
        self._chunks = None
