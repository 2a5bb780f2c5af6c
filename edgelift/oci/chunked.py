"""Bringing a blob to a registry in chunks (distribution-spec, "Pushing a blob in chunks").

Only where a registry, or a proxy in front of it, does not take the blob in one request: chunks cost requests, and many
registries lose a session that was cut. One goes on where the registry says that it stands, and never sends a chunk
again unasked: Distribution 2.8 appends it a second time and says nothing.
"""

import threading
from collections.abc import Callable, Iterator

import httpx

from edgelift.errors import DeniedError, IntegrityError, RefusedError, RegistryError
from edgelift.oci.channel import Channel
from edgelift.oci.content import ContentError, guard_content
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.session import Content, Session, is_session_lost

CHUNK_SIZE = 16 * 2**20  # bytes; Amazon ECR takes none below 5 MiB
SMALLEST_CHUNK = 2**20  # bytes; what nginx lets through when nobody has told it anything
LARGEST_DEMAND = 256 * 2**20  # bytes; more is not sent at once, whatever the registry asks for
TRIES = 5  # in one session, without a byte of progress

_CHUNK_SIZES = {"ghcr.io": 4 * 2**20 - 1}  # bytes; larger ones get 416 there
_MAY_BE_SIZE = frozenset({None, 408, 416, 502, 504})  # answers, or none at all, after which a smaller chunk may do

ReadRange = Callable[[int, int], Iterator[bytes]]


def choose_chunk(host: str) -> int:
    """How large chunks for the registry `host` are, in bytes, as long as it has not asked for others."""
    return _CHUNK_SIZES.get(host, CHUNK_SIZE)


class RequestLimit:
    """How much content one registry takes in a request, as far as that is known; shared by every thread of a run."""

    def __init__(self, host: str, largest: int | None = None) -> None:
        self.largest = largest
        self._preferred = choose_chunk(host)
        self._lock = threading.Lock()

    def allows(self, size: int) -> bool:
        """Whether a request with `size` bytes may go through."""
        return size <= SMALLEST_CHUNK or self.largest is None or size <= self.largest

    def refuse(self, size: int) -> bool:
        """Learn that `size` bytes are too many; False where there is no smaller request to try."""
        if size <= SMALLEST_CHUNK:
            return False
        self.lower(self.chunk_below(size))
        return True

    def lower(self, largest: int) -> None:
        """Send no larger requests than `largest` bytes from now on."""
        with self._lock:
            self.largest = largest if self.largest is None else min(self.largest, largest)

    def chunk_below(self, size: int) -> int:
        """A chunk of less than `size` bytes, but never less than the smallest."""
        chunk = self._preferred
        while chunk >= size and chunk > SMALLEST_CHUNK:
            chunk = max(chunk // 2, SMALLEST_CHUNK)
        return chunk

    @property
    def chunk(self) -> int:
        """How large chunks are, in bytes."""
        return self._preferred if self.largest is None else max(min(self._preferred, self.largest), SMALLEST_CHUNK)


class BlobSource:
    """The bytes of `blob` in order, wherever one begins; hashed on the way, since a part has no digest of its own.

    `read` gives them from the start, `read_range` a part of them, where the source can do that; without it, going back
    costs reading all that is before.
    """

    def __init__(self, blob: Descriptor, read: Content, read_range: ReadRange | None) -> None:
        self.blob = blob
        self.read = read
        self.position = 0
        self._read_range = read_range
        self._pieces: Iterator[bytes] | None = None
        self._rest = b""  # of a piece that reached beyond what was taken
        self._hasher = blob.digest.hasher()
        self._hashed = 0

    def take(self, start: int, stop: int) -> Iterator[bytes]:
        """Bytes `start` to `stop` (exclusive): reads on where it stands, and begins anew to go back."""
        if self._pieces is None or start != self.position:
            self._begin(start)
        while self.position < stop:
            part = self._next(stop - self.position)
            self._hasher.update(part[max(0, self._hashed - self.position) :])
            self.position += len(part)
            self._hashed = max(self._hashed, self.position)
            yield part

    def close(self) -> None:
        """Let go of what is being read, and what that holds; the next `take` begins anew."""
        self._pieces, self._rest = None, b""

    def check(self) -> None:
        """Raise `IntegrityError` where all that was given is not the blob."""
        if self._hasher.hexdigest() == self.blob.digest.hex:
            return
        for _ in guard_content(self.read()):  # a store finds the damage itself, and puts it aside
            pass
        raise IntegrityError(f"what was read for {self.blob.digest} has another digest")

    def _begin(self, start: int) -> None:
        self._rest = b""
        if self._read_range is not None and start > 0:
            self._pieces, self.position = filter(None, self._read_range(start, self.blob.size)), start
            return
        self._pieces, self.position = filter(None, self.read()), 0
        while self.position < start:
            self.position += len(self._next(start - self.position))

    def _next(self, most: int) -> bytes:
        piece = self._rest or next(self._pieces or iter(()), b"")
        if not piece:
            raise IntegrityError(f"{self.blob.digest} ends after {self.position:,} of {self.blob.size:,} bytes")
        self._rest = piece[most:]
        return piece[:most]


class ChunkedUpload:
    """One blob on its way in one session, in chunks of at most `largest` bytes; that is lowered where they are cut.

    `is_there` asks the registry for the finished blob.
    """

    def __init__(
        self,
        channel: Channel,
        session: Session,
        source: BlobSource,
        limit: RequestLimit,
        *,
        largest: int,
        is_there: Callable[[], bool],
    ) -> None:
        self.largest = largest
        self._channel = channel
        self._session = session
        self._source = source
        self._blob = source.blob
        self._limit = limit
        self._is_there = is_there
        self._offset = 0  # where the registry wants to go on
        self._best = 0
        self._sent = 0  # bytes that have gone out at least once
        self._misses = 0  # since the last progress

    def send(self) -> RegistryError | None:
        """Send all of it. Gives the error that says so where the registry takes no blob in chunks.

        Raises `RegistryError` and `ContentError`, retryable where a new session may get through, and `IntegrityError`
        where the source has other content.
        """
        while True:
            try:
                if self._offset == self._blob.size:
                    self._finish()
                    return None
                refusal = self._send_chunk()
            except (RegistryError, ContentError) as error:
                if not self._goes_on(error):
                    return None
            else:
                if refusal is not None:
                    return refusal

    def _send_chunk(self) -> RegistryError | None:
        """Send the next chunk; gives an error where the registry cannot be served that way."""
        start = self._offset
        stop = min(start + self._chunk(), self._blob.size)
        try:
            reached = self._session.patch(start, stop, lambda: self._take(start, stop))
        except RegistryError as error:
            if error.status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
                if (refusal := self._learn(error, stop - start)) is not None:
                    return refusal
            elif _is_final(error) and not isinstance(error, DeniedError):
                return self._refuse(error.message, error)
            raise
        if not start < reached <= stop:  # Amazon ECR drops all chunks but the first, and says so only here
            doing = f"upload {self._blob.digest} in chunks"
            return self._refuse(f"{self._channel.host}: cannot {doing}: it does not go on after byte {start:,}")
        self._advance(reached)
        return None

    def _take(self, start: int, stop: int) -> Iterator[bytes]:
        for piece in self._source.take(start, stop):
            self._sent = max(self._sent, self._source.position)
            yield piece

    def _finish(self) -> None:
        try:
            self._source.check()
        except (IntegrityError, ContentError):
            self._session.call_off()
            raise
        self._session.put(self._blob, b"", 0)

    def _goes_on(self, error: RegistryError | ContentError) -> bool:
        """Find out where to go on after `error`; False where the blob is there. Raises what ends this session."""
        self._misses += 1
        if self._misses == TRIES or _is_final(error):
            raise error
        self._channel.back_off(self._misses, error)
        if self._offset == self._blob.size and self._is_there():
            return False
        reached = self._session.ask(self._sent)
        may_be_size = isinstance(error, RegistryError) and error.status in _MAY_BE_SIZE
        if may_be_size and (reached or 0) <= self._offset < self._blob.size:
            self.largest = max(self._chunk() // 2, SMALLEST_CHUNK)
        if reached is None:
            raise RegistryError(f"{error.message}, and the upload cannot be continued", hint=error.hint, retryable=True)
        self._advance(reached)
        return True

    def _advance(self, reached: int) -> None:
        self._offset = reached
        if reached > self._best:
            self._best, self._misses = reached, 0

    def _chunk(self) -> int:
        demanded = min(self._session.smallest_chunk, LARGEST_DEMAND)
        return max(min(self.largest, self._limit.chunk), demanded)

    def _learn(self, error: RegistryError, length: int) -> RegistryError | None:
        """Learn from a chunk of `length` bytes that was too large; gives the error where it was the smallest."""
        demanded = self._session.smallest_chunk
        if length > demanded and self._limit.refuse(length):
            return None
        least = f", and the registry demands {demanded:,}" if length > SMALLEST_CHUNK else ""
        return self._refuse(f"{error.message}; {length:,} bytes at a time are too many{least}", error)

    def _refuse(self, message: str, error: RegistryError | None = None) -> RegistryError:
        self._session.call_off()
        return RefusedError(
            message,
            hint="it takes this blob neither whole nor in chunks: raise the limit of the proxy in front of it",
            status=error.status if error else None,
            code=error.code if error else None,
        )


def _is_final(error: RegistryError | ContentError) -> bool:
    """Whether no other chunk can help: what is too large, out of place or without a session can be sent otherwise."""
    of_size = (httpx.codes.REQUEST_ENTITY_TOO_LARGE, httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE)
    if error.retryable:
        return False
    return isinstance(error, ContentError) or not (error.status in of_size or is_session_lost(error))
