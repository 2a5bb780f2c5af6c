"""The ports between stores: anything blobs and manifests can be read from, or kept in."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from edgelift.errors import EdgeliftError, RegistryError
from edgelift.oci.descriptor import Descriptor

LOOK = 256 * 1024  # bytes; what is read from a file at once for a client who may have no room for it
CHUNK = 2**20  # bytes; with smaller ones threads spend more time on each other, with larger ones nothing is gained
Bytes = bytes | memoryview
ReadSome = Callable[[int, int], Bytes]  # offset and limit → the bytes from there on: at least one, at most so many


@dataclass(frozen=True)
class ImageContent:
    """All that one image consists of: manifests, children before parents and the root last, and blobs."""

    manifests: tuple[Descriptor, ...]
    blobs: tuple[Descriptor, ...]

    @property
    def root(self) -> Descriptor:
        """The manifest or index that is tagged."""
        return self.manifests[-1]


class ContentError(EdgeliftError):
    """What is to be sent cannot be read, for the reason `cause`, which says nothing about who is to get it.

    It goes through whatever judges the answers of a registry, and leaves this package as its cause. It is `retryable`
    where the content may be read at once again: what a store has put aside has to be fetched first.
    """

    def __init__(self, cause: EdgeliftError) -> None:
        may_pass = isinstance(cause, RegistryError) and cause.retryable
        super().__init__(cause.message, hint=cause.hint, retryable=may_pass)
        self.cause = cause


def guard_content(content: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks of `content`; its errors are raised as `ContentError`."""
    try:
        yield from content
    except ContentError:
        raise
    except EdgeliftError as error:
        raise ContentError(error) from error


@contextmanager
def unwrap_content_errors() -> Iterator[None]:
    """Raise the cause of a `ContentError`."""
    try:
        yield
    except ContentError as error:
        raise error.cause from None


class ContentReader(Protocol):
    """Content by descriptor: a store, a bundle."""

    def exists(self, descriptor: Descriptor) -> bool:
        """Whether the content is here with the descriptor's size; its digest is checked by `read`."""

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """The content in chunks, hashed on the way.

        Raises `IntegrityError` before the last chunk is given where size or digest are wrong, so that a consumer
        that needs every byte never completes on bad ones.
        """


@runtime_checkable
class RangeReader(ContentReader, Protocol):
    """A reader that also gives parts of its content."""

    def read_range(self, descriptor: Descriptor, start: int, stop: int) -> Iterator[bytes]:
        """Bytes `start` to `stop` (exclusive) in chunks; not checked against the digest, which covers the whole."""


class PassageReader(RangeReader, Protocol):
    """A reader of which one can stop anywhere and go on later, with nothing of the content in memory meanwhile."""

    def passage(self, descriptor: Descriptor, start: int, stop: int) -> AbstractContextManager[ReadSome]:
        """Bytes `start` to `stop` (exclusive), for one that goes forward, unverified.

        What was read last may be read once more. Raises `EdgeliftError` where nothing can be read.
        """

    def state(self, descriptor: Descriptor) -> object:
        """Something that is another as soon as the content may have changed; None where that cannot be told."""


class BufferReader(Protocol):
    """Content by descriptor, brought into memory that is used again and again."""

    def exists(self, descriptor: Descriptor) -> bool:
        """As `ContentReader.exists`."""

    def read_into(self, buffer: memoryview, descriptor: Descriptor) -> Iterator[memoryview]:
        """As `ContentReader.read`, but every chunk is in `buffer`, where the next one takes its place."""


class Ingest(Protocol):
    """One blob on its way into a store, continued where an earlier attempt stopped."""

    @property
    def offset(self) -> int:
        """How many bytes are here; the next `write` continues there."""

    def write(self, chunk: bytes) -> None:
        """Append `chunk`; raises `IntegrityError` past the descriptor's size."""

    def restart(self) -> None:
        """Forget what is here; `offset` is 0 again."""

    def commit(self) -> None:
        """Check size and digest, then give the content its name; raises `IntegrityError` and keeps nothing else."""


class ContentStore(ContentReader, Protocol):
    """A reader that can be written to."""

    @property
    def root(self) -> Path | None:
        """The folder of this machine that it is in; None where it is elsewhere, and each look at it is a request."""

    def ingest(self, descriptor: Descriptor) -> AbstractContextManager[Ingest | None]:
        """Begin or continue the content of `descriptor`, alone among all tasks and processes.

        Gives None where the content is already here, also when another task or process has just brought it.
        Uncommitted bytes are kept for the next attempt.
        """

    def write(self, descriptor: Descriptor, content: bytes) -> None:
        """Keep small `content`, verified."""

    def tag(self, names: Mapping[str, Descriptor]) -> None:
        """Give manifests their `names`, all at once: a layout's one index is written anew each time."""

    def recall(self, reference: str) -> Descriptor | None:
        """What `reference` stood for when it was last planned; None where that is not known."""

    def remember(self, reference: str, descriptor: Descriptor) -> None:
        """Keep what `reference` stands for as a hint to the next plan."""
