"""Who works in a store in S3: marked by all who have it open, alone for the one who takes content away.

A mark is an object, `use/<id>`, that a thread writes anew several times a minute; who is alone has the lease `alone`.
Who opens the store makes his mark, then looks for that lease; who wants to be alone takes the lease, then looks for
marks: of two who meet, one sees the other. What was not written for as long as it holds counts no more, by the server's
clock: a machine that has died is waited for no longer than that.
"""

import atexit
import json
import logging
import os
import socket
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from edgelift.errors import EdgeliftError, StoreError
from edgelift.stopping import sleep
from edgelift.store.s3_folder import BucketFolder, Entry
from edgelift.store.s3_lease import HOLDS, Lease

MARKS = "use/"
ALONE = "alone"
_RENEWALS = 4  # while a mark holds
_PAUSE = 0.5  # seconds between two looks at who else is there
_PATIENCE = 5.0  # seconds that the end of a process takes at most for its marks
_log = logging.getLogger(__name__)


class S3Use:
    """The store in `folder` is in use for as long as this object lives; where its machine dies, `holds` seconds longer.

    Making one waits for whoever is alone there. Raises `StoreError`.
    """

    def __init__(self, folder: BucketFolder, *, holds: float = HOLDS, are_kept: bool = True) -> None:
        self.holds = holds
        self._folder = folder
        self._are_kept = are_kept  # the conditions of a write, on which being alone depends
        self._mark = f"{MARKS}{uuid.uuid4().hex}"
        said = json.dumps({"name": f"{socket.gethostname()}/{os.getpid()}"}).encode()
        folder.write(self._mark, said)
        upkeep = _Upkeep(holds, partial(folder.write, self._mark, said), partial(folder.remove, [self._mark]))
        weakref.finalize(self, upkeep.end)
        while self._is_held():
            sleep(_PAUSE)

    @contextmanager
    def alone(self, wait: float) -> Iterator[None]:
        """Nobody else has the store open until the block ends; others who open it wait.

        Waits for them `wait` seconds at most, then raises `StoreError`.
        """
        if not self._are_kept:
            raise StoreError(
                f"{self._folder.server} does not heed conditions, so nobody can be alone in {self._folder.url()}; "
                "nothing was deleted",
                hint="have rules of the bucket let go of what is old, or use a server with conditional writes",
            )
        lease = self._become_alone(wait)
        upkeep = _Upkeep(self.holds, lease.renew, lease.release)
        try:
            yield
        finally:
            upkeep.end()
            upkeep.wait(_PATIENCE)

    def _become_alone(self, wait: float) -> Lease:
        deadline = time.monotonic() + wait
        while (lease := self._try_alone()) is None:
            if time.monotonic() >= deadline:
                raise StoreError(
                    f"{self._folder.url()} is in use by {self._whoever_it_is()}; nothing was deleted",
                    hint="run it again when no run uses this store, or give --wait SECONDS; a machine that has died "
                    f"counts for {self.holds:.0f} seconds more",
                    retryable=True,
                )
            sleep(_PAUSE)
        return lease

    def _try_alone(self) -> Lease | None:
        """The lease, where there is nobody else; None where there is."""
        lease = Lease(self._folder, ALONE, self.holds)
        if any(self._others()) or not lease.begin():
            return None
        if any(self._others()):  # who came in between, and may not have seen the lease
            lease.release()
            return None
        return lease

    def _others(self) -> Iterator[Entry]:
        """The marks of others, and what those fetch who have an older release, which makes none."""
        entries = (entry for place in (MARKS, "leases/") for entry in self._folder.entries(place))
        return (entry for entry in entries if entry.age <= self.holds and entry.name != self._mark)

    def _is_held(self) -> bool:
        found = self._folder.find(ALONE)
        return found is not None and found.age <= self.holds

    def _whoever_it_is(self) -> str:
        """What one of them is called."""
        with suppress(EdgeliftError, ValueError, KeyError, TypeError):
            for entry in self._others():
                found = self._folder.read(entry.name)
                if found is not None:
                    return str(json.loads(found[0])["name"])[:100]
        return "another machine"


class _Upkeep:
    """A thread that calls `renew` several times in `holds` seconds, and once it is to end, `release`."""

    def __init__(self, holds: float, renew: Callable[[], object], release: Callable[[], object]) -> None:
        self._pause = holds / _RENEWALS
        self._renew, self._release = renew, release
        self._is_ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="s3-use", daemon=True)
        _running.add(self)
        self._thread.start()

    def end(self) -> None:
        """Have it end soon."""
        self._is_ended.set()

    def wait(self, seconds: float) -> None:
        """Return once it has ended, or after so many seconds: what stays runs out by itself."""
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._is_ended.wait(self._pause):
            self._attempt(self._renew)
        self._attempt(self._release)

    def _attempt(self, act: Callable[[], object]) -> None:
        try:
            act()
        except EdgeliftError as error:
            _log.debug("a mark in a store runs out by itself: %s", error.message)


_running = weakref.WeakSet[_Upkeep]()


@atexit.register
def _end_all() -> None:
    """Take the marks of this process away, so that nobody waits for it."""
    ending = list(_running)
    for each in ending:
        each.end()
    deadline = time.monotonic() + _PATIENCE
    for each in ending:
        each.wait(max(deadline - time.monotonic(), 0))
