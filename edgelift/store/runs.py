"""The locks that runs replay when they are retried: one a run, under its id."""

from pathlib import Path
from typing import NamedTuple

from edgelift.bundle.lock import BundleLock
from edgelift.documents import read_document, write_document
from edgelift.errors import ConfigurationError
from edgelift.oci.digest import Digest
from edgelift.store.contents import described
from edgelift.store.disk import disk_errors


class RunLock(NamedTuple):
    """The folder of a run, and when the run was last attempted (seconds since 1970)."""

    folder: Path
    used: float

    @property
    def name(self) -> str:
        """Which run it is."""
        return self.folder.name

    @property
    def path(self) -> Path:
        """Where its lock is; a run that was killed may not have one."""
        return self.folder / "lock.json"

    def read(self) -> BundleLock | None:
        """The lock; None where there is none that can be read."""
        try:
            return BundleLock.from_json(read_document(self.path), str(self.path))
        except ConfigurationError:
            return None


class RunLocks:
    """The locks in the store at `root`. Implements `working.KeptLocks`."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "runs"

    def recall(self, run: str) -> BundleLock | None:
        """The lock of an earlier attempt at `run`, which counts as used now; None where there was none.

        Raises `ConfigurationError` where it is damaged.
        """
        saved = self._folder / run / "lock.json"
        if not saved.exists():
            return None
        lock = BundleLock.from_json(read_document(saved), str(saved))
        with disk_errors(f"note that {saved} is used"):
            saved.touch()
        return lock

    def keep(self, run: str, lock: BundleLock) -> None:
        """Keep the lock of `run`."""
        write_document(self._folder / run / "lock.json", lock.to_json())

    def find(self, digest: Digest) -> BundleLock | None:
        """The lock with this digest, of whichever run; None where none has it."""
        locks = (each.read() for each in reversed(self.kept()))
        return next((lock for lock in locks if lock is not None and lock.digest == digest), None)

    def kept(self) -> list[RunLock]:
        """All of them, the one that was used last at the end."""
        folders = [path for path in self._folder.glob("*") if path.is_dir()]
        with disk_errors(f"look into {self._folder}"):
            found = [RunLock(folder, folder.stat().st_mtime) for folder in folders]
        locks = ((each, described(each.path)) for each in found)
        return sorted(
            (each if file is None else each._replace(used=file.modified) for each, file in locks),
            key=lambda each: each.used,
        )
