"""Results: where Prefect keeps what tasks have given, so that a retry, on whatever worker, skips what is done.

A run's lock is kept there, too: a worker with a store of its own replays it as well.
"""

from pathlib import Path

from prefect.filesystems import LocalFileSystem, WritableFileSystem
from prefect.results import get_result_store
from prefect.settings import PREFECT_HOME

from edgelift.bundle.lock import BundleLock
from edgelift.errors import ConfigurationError
from edgelift.store.working import KeptLocks

_PROBE = "edgelift-probe"


def check_results() -> None:
    """Write to where results are kept, and read it back; raises `ConfigurationError` where that fails.

    Prefect itself would tell nobody, find no result, and repeat every task of a run that is retried.
    """
    storage = _storage()
    if storage is None:
        return
    try:
        _write(storage, _PROBE, b"what is written here can be read")
        _read(storage, _PROBE)
    except Exception as error:  # noqa: BLE001 - a block of any kind raises what it likes
        raise ConfigurationError(
            f"results cannot be kept in {_name(storage)}, and a retry would repeat everything: {error}",
            hint="mend that, or have this worker keep results elsewhere: PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK",
        ) from None


class SharedLocks:
    """The locks of runs, `here` in the store and beside the results."""

    def __init__(self, here: KeptLocks) -> None:
        self._here = here

    def recall(self, run: str) -> BundleLock | None:
        """The lock of an earlier attempt at `run`, on whatever worker; None where there was none.

        Raises `ConfigurationError` where it is damaged, and where results cannot be kept.
        """
        check_results()
        return self._here.recall(run) or self._take_over(run)

    def keep(self, run: str, lock: BundleLock) -> None:
        """Keep the lock of `run`."""
        self._here.keep(run, lock)
        storage = _storage()
        if storage is not None and _is_shared(storage):
            _write(storage, _path(run), lock.to_json())

    def _take_over(self, run: str) -> BundleLock | None:
        """The lock that a worker with another store has kept."""
        storage, path = _storage(), _path(run)
        if storage is None:
            return None
        try:
            content = _read(storage, path)
        except Exception:  # noqa: BLE001 - blocks say in many ways that there is nothing; they can be reached
            return None
        lock = BundleLock.from_json(content, f"{path} in {_name(storage)}")
        self._here.keep(run, lock)
        return lock


def _storage() -> WritableFileSystem | None:
    """Where the results of this run are kept; None outside of a run."""
    return get_result_store().result_storage


def _is_shared(storage: WritableFileSystem) -> bool:
    """Whether another worker may find it: nobody else has this one's Prefect home."""
    if not isinstance(storage, LocalFileSystem):
        return True
    return not Path(str(storage.basepath)).expanduser().is_relative_to(PREFECT_HOME.value())


def _name(storage: WritableFileSystem) -> str:
    if isinstance(storage, LocalFileSystem):
        return str(storage.basepath)
    return f"the block {storage.get_block_type_slug()}/{storage._block_document_name}"


def _path(run: str) -> str:
    return f"edgelift-run-{run}.lock.json"


# As Prefect asks its blocks: without `_sync` some would give a coroutine.


def _read(storage: WritableFileSystem, path: str) -> bytes:
    content: bytes = storage.read_path(path, _sync=True)  # type: ignore[assignment, call-arg]  # see above
    return content


def _write(storage: WritableFileSystem, path: str, content: bytes) -> None:
    storage.write_path(path, content, _sync=True)  # type: ignore[call-arg, unused-coroutine]  # see above
