"""The locks of runs in a store in S3: what `runs.py` keeps in a folder."""

from edgelift.bundle.lock import BundleLock
from edgelift.errors import ConfigurationError
from edgelift.oci.digest import Digest
from edgelift.store.s3_folder import BucketFolder

_FOLDER = "runs/"


class S3RunLocks:
    """The locks below runs/. Implements `working.KeptLocks`."""

    def __init__(self, folder: BucketFolder) -> None:
        self._folder = folder

    def recall(self, run: str) -> BundleLock | None:
        """See `KeptLocks.recall`."""
        return self._read(_name(run))

    def keep(self, run: str, lock: BundleLock) -> None:
        """See `KeptLocks.keep`."""
        self._folder.write(_name(run), lock.to_json())

    def find(self, digest: Digest) -> BundleLock | None:
        """See `KeptLocks.find`; all of them are read until it is found."""
        for name, _ in self._folder.names(_FOLDER):
            try:
                lock = self._read(name)
            except ConfigurationError:  # another one's trouble
                continue
            if lock is not None and lock.digest == digest:
                return lock
        return None

    def _read(self, name: str) -> BundleLock | None:
        found = self._folder.read(name)
        return BundleLock.from_json(found[0], self._folder.url(name)) if found is not None else None


def _name(run: str) -> str:
    return f"{_FOLDER}{run}/lock.json"
