"""What a store in a folder holds, for those who look after it."""

import fcntl
import os
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from edgelift.errors import IntegrityError, StoreError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.store.contents import described, list_blobs, list_files, list_odd_blobs, list_strays
from edgelift.store.disk import disk_errors, remove
from edgelift.store.holdings import Damage, Progress, Stored, StoredBlob, StoredName
from edgelift.store.local import LocalStore
from edgelift.store.runs import RunLock, RunLocks


class LocalHoldings:
    """What is in `store`. Implements `holdings.Holdings`."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._root = store.root
        self._runs = RunLocks(store.root)

    @property
    def place(self) -> str:
        """See `Holdings.place`."""
        return str(self._root)

    def blobs(self) -> list[StoredBlob]:
        """See `Holdings.blobs`."""
        return list_blobs(self._root)

    def odd_blobs(self) -> list[Digest]:
        """See `Holdings.odd_blobs`: links, folders and the like."""
        return list_odd_blobs(self._root)

    def strays(self) -> list[str]:
        """See `Holdings.strays`."""
        return list_strays(self._root)

    def unfinished(self) -> list[Stored]:
        """See `Holdings.unfinished`."""
        return list_files(self._root, "partial")

    def quarantine(self) -> list[Stored]:
        """See `Holdings.quarantine`."""
        return list_files(self._root, "quarantine")

    def leftovers(self, oldest: float) -> list[Stored]:
        """See `Holdings.leftovers`: who writes a partial download has a lock on it."""
        old = (file for file in (*self.unfinished(), *self.quarantine()) if file.modified < oldest)
        return [file for file in old if not _is_locked(self._root / file.name)]

    def names(self) -> list[StoredName]:
        """See `Holdings.names`: a pull writes into the time (mtime) of the manifest."""
        return [self._name(reference, descriptor) for reference, descriptor in self._store.references().items()]

    def unnamed(self) -> list[Descriptor]:
        """See `Holdings.unnamed`."""
        return self._store.unnamed()

    def runs(self) -> list[RunLock]:
        """See `Holdings.runs`."""
        return self._runs.kept()

    def judge(self, blob: StoredBlob, progress: Progress) -> Damage | None:
        """See `Holdings.judge`."""
        descriptor = blob.descriptor
        try:
            for chunk in self._store.read(descriptor):
                progress(len(chunk))
        except IntegrityError:
            return "wrong"
        except StoreError:
            if self._store.exists(descriptor):  # what the disk does not give back: with its name, no pull replaces it
                self._store.set_aside(descriptor)
            elif not self._store.path(blob.digest).exists():
                return None
            return "unreadable"
        return None

    def untag(self, references: Collection[str]) -> None:
        """See `Holdings.untag`."""
        self._store.untag(references)

    def remove(self, files: Sequence[Stored]) -> None:
        """See `Holdings.remove`."""
        with disk_errors(f"clear {self._root}"):
            for file in files:
                (self._root / file.name).unlink(missing_ok=True)

    def remove_runs(self, runs: Sequence[str]) -> None:
        """See `Holdings.remove_runs`."""
        with disk_errors(f"clear {self._root}"):
            for run in runs:
                remove(self._root / "runs" / run)

    def forget_lost(self) -> None:
        """See `Holdings.forget_lost`."""
        self._store.forget_lost()

    def free_space(self) -> int:
        """See `Holdings.free_space`."""
        return self._store.free_space()

    def alone(self, wait: float) -> AbstractContextManager[None]:
        """See `Holdings.alone`."""
        return self._store.alone(wait)

    def _name(self, reference: str, descriptor: Descriptor) -> StoredName:
        manifest = described(self._store.path(descriptor.digest))
        return StoredName(reference, descriptor, manifest.modified if manifest is not None else 0)


def _is_locked(path: Path) -> bool:
    """Whether somebody, by whatever rules, holds a lock of the file at `path`."""
    with disk_errors(f"look at {path}"), suppress(FileNotFoundError):
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
    return False
