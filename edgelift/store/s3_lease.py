"""Who fetches a blob into a store in S3: one machine at a time, as long as it makes progress.

A lease is an object, `leases/<algorithm>-<hex>`, that can be made only where there is none, and replaced only by who
knows its ETag. Its holder writes it anew while bytes arrive. One that has not been written for as long as it says is
nobody's any more: the server tells its age by its own clock, so that the clocks of the machines do not matter.

Nothing hangs on a lease but work that is done twice: what is published has been hashed by whoever publishes it.
"""

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import NamedTuple, Self

from edgelift.errors import EdgeliftError, StoreError
from edgelift.oci.digest import Digest
from edgelift.store.s3_folder import BucketFolder

HOLDS = 60.0  # seconds that a lease holds after it was last written
_RENEWALS = 4  # in that time
_log = logging.getLogger(__name__)


class Leases:
    """The leases in `folder`, which hold so many seconds each; without conditional writes there are none.

    Then each who asks gets one that keeps nobody out.
    """

    def __init__(self, folder: BucketFolder, *, holds: float = HOLDS, are_kept: bool = True) -> None:
        self._folder = folder
        self._holds = holds
        self._are_kept = are_kept

    def acquire(self, digest: Digest) -> "Lease | None":
        """The lease on `digest`; None while another holds it."""
        lease = Lease(self._folder, f"leases/{digest.algorithm}-{digest.hex}", self._holds)
        if not self._are_kept or lease.begin():
            return lease
        return None


class Lease:
    """The right to bring one blob, which ends with the block, or `seconds` after it was last renewed."""

    def __init__(self, folder: BucketFolder, name: str, seconds: float) -> None:
        self._folder = folder
        self._name = name
        self._seconds = seconds
        self._owner = uuid.uuid4().hex
        self._written = 0  # times
        self._etag: str | None = None
        self._renewed_at = 0.0

    def begin(self) -> bool:
        """Whether it is ours now: nobody has had it, or whoever had it let it run out."""
        self._note(self._folder.write_new(self._name, self._document()))
        return self._etag is not None or self._take_over()

    def renew(self) -> None:
        """Hold it for longer, where that is due; raises `StoreError` where another has taken it over meanwhile."""
        if self._etag is None or time.monotonic() - self._renewed_at < self._seconds / _RENEWALS:
            return
        self._note(self._folder.replace(self._name, self._document(), self._etag))
        if self._etag is None and not self._take_over():
            raise StoreError(
                f"another machine has taken over {self._name.removeprefix('leases/')}: nothing came for too long",
                hint="run it again: what is there by then is not fetched anew",
                retryable=True,
            )

    def __enter__(self) -> Self:
        """Hold it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of it."""
        self.release()

    def release(self) -> None:
        """Let go of it; where that fails it runs out by itself."""
        if self._etag is None:
            return
        try:
            found = self._folder.find(self._name)
            if found is not None and found.etag == self._etag:
                self._folder.remove([self._name])
        except EdgeliftError as failure:
            _log.debug("a lease runs out by itself: %s", failure.message)

    def _take_over(self) -> bool:
        found = self._folder.read(self._name)
        if found is None:
            return False  # it was given up this very moment: the next attempt may get it
        content, standing = found
        holder = _Holder.of(content, self._seconds)
        if holder.owner == self._owner:
            self._note(standing.etag)  # the answer that said so was lost, and the request sent once more
        elif standing.age > holder.seconds:
            self._note(self._folder.replace(self._name, self._document(), standing.etag))
            if self._etag is not None:
                _log.warning("%s does not go on with %s: taking over", holder.name, self._name.removeprefix("leases/"))
        return self._etag is not None

    def _note(self, etag: str | None) -> None:
        self._etag = etag
        self._renewed_at = time.monotonic()

    def _document(self) -> bytes:
        """What the lease says: another each time, so that its ETag is, too."""
        self._written += 1
        name = f"{socket.gethostname()}/{os.getpid()}"
        said = {"owner": self._owner, "name": name, "seconds": self._seconds, "written": self._written}
        return json.dumps(said, sort_keys=True).encode()


class _Holder(NamedTuple):
    """Who holds a lease, what people call it, and how long it holds after it was written."""

    owner: str
    name: str
    seconds: float

    @classmethod
    def of(cls, content: bytes, seconds: float) -> Self:
        """What a lease says; one that cannot be read holds as long as ours would."""
        try:
            said = json.loads(content)
            return cls(str(said["owner"]), str(said["name"])[:100], float(said["seconds"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            return cls("", "somebody", seconds)


class Turns:
    """One thread of this process at a time for each digest: the others need not ask the server who is at work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[Digest, tuple[threading.Lock, int]] = {}  # and how many want it

    @contextmanager
    def turn(self, digest: Digest) -> Iterator[None]:
        """Wait until no other thread is at work on `digest`, and keep the others waiting."""
        turn = self._join(digest)
        try:
            with turn:
                yield
        finally:
            self._leave(digest)

    def _join(self, digest: Digest) -> threading.Lock:
        with self._lock:
            turn, many = self._turns.get(digest, (threading.Lock(), 0))
            self._turns[digest] = (turn, many + 1)
            return turn

    def _leave(self, digest: Digest) -> None:
        with self._lock:
            turn, many = self._turns.pop(digest)
            if many > 1:
                self._turns[digest] = (turn, many - 1)
