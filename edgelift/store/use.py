"""Who works in a store: shared by all who have it open, exclusive for the one who takes content away.

One file, `use.lock`, is only ever locked (flock): never renamed, replaced or removed, so that all lock the same one.
"""

import fcntl
import os
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgelift.errors import StoreError

_PAUSE = 0.1  # seconds between two attempts to be alone


class Use:
    """The store in `root` is in use for as long as this object lives; its process may be killed at any time.

    Making one waits for whoever is alone there. Raises `OSError`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file = _open(root / "use.lock")
        if self._file is not None:
            weakref.finalize(self, os.close, self._file)
            fcntl.flock(self._file, fcntl.LOCK_SH)

    @contextmanager
    def alone(self, wait: float) -> Iterator[None]:
        """Nobody else has the store open until the block ends; others who open it wait.

        Waits for them `wait` seconds at most, then raises `StoreError`.
        """
        if self._file is None:
            raise StoreError(f"nothing can be changed in {self._root}", hint="look at the permissions of that folder")
        try:
            self._become_alone(self._file, wait)
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_SH)

    def _become_alone(self, file: int, wait: float) -> None:
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise StoreError(
                        f"{self._root} is in use by another process; nothing was deleted",
                        hint="run it again when no run and no `edgelift serve` uses this store, or give --wait SECONDS",
                        retryable=True,
                    ) from None
                time.sleep(_PAUSE)
            else:
                return


def _open(path: Path) -> int | None:
    """The lock file; None where there is none and none can be made: nobody deletes anything there, either."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        pass
    try:  # a store of another user, or on a medium that cannot be written to: a shared lock needs no more
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
