"""The locks of runs in a store in S3: what `runs.py` keeps in a folder."""

from collections.abc import Sequence
from typing import NamedTuple

from edgelift.bundle.lock import BundleLock
from edgelift.errors import ConfigurationError
from edgelift.oci.digest import Digest
from edgelift.store.s3_folder import BucketFolder

_FOLDER = "runs/"
_LOCK = "/lock.json"


class S3RunLock(NamedTuple):
    """The lock of the run `name`, which was last attempted at the moment `used` (seconds since 1970)."""

    locks: "S3RunLocks"
    name: str
    used: float

    def read(self) -> BundleLock | None:
        """The lock; None where there is none that can be read."""
        try:
            return self.locks.read(self.name)
        except ConfigurationError:
            return None


class S3RunLocks:
    """The locks below runs/. Implements `working.KeptLocks`."""

    def __init__(self, folder: BucketFolder) -> None:
        self._folder = folder

    def recall(self, run: str) -> BundleLock | None:
        """See `KeptLocks.recall`; it counts as used now."""
        lock = self.read(run)
        if lock is not None:
            self.keep(run, lock)
        return lock

    def keep(self, run: str, lock: BundleLock) -> None:
        """See `KeptLocks.keep`."""
        self._folder.write(_name(run), lock.to_json())

    def find(self, digest: Digest) -> BundleLock | None:
        """See `KeptLocks.find`; all of them are read until it is found."""
        locks = (each.read() for each in reversed(self.kept()))
        return next((lock for lock in locks if lock is not None and lock.digest == digest), None)

    def kept(self) -> list[S3RunLock]:
        """All of them, the one that was used last at the end."""
        found = [
            S3RunLock(self, each.name.removeprefix(_FOLDER).removesuffix(_LOCK), each.modified)
            for each in self._folder.entries(_FOLDER)
            if each.name.endswith(_LOCK)
        ]
        return sorted(found, key=lambda each: each.used)

    def read(self, run: str) -> BundleLock | None:
        """The lock of `run`; None where there is none. Raises `ConfigurationError` where it is damaged."""
        found = self._folder.read(_name(run))
        return BundleLock.from_json(found[0], self._folder.url(_name(run))) if found is not None else None

    def remove(self, runs: Sequence[str]) -> None:
        """Let go of the locks of `runs`."""
        self._folder.remove([_name(run) for run in runs])


def _name(run: str) -> str:
    return f"{_FOLDER}{run}{_LOCK}"
