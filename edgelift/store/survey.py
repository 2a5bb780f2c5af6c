"""How much a store holds, told without opening a blob."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from edgelift.store.contents import StoredFile, list_blobs, list_files
from edgelift.store.local import LocalStore
from edgelift.store.runs import RunLocks


def survey_store(store: LocalStore) -> dict[str, Any]:
    """Counts, sizes (bytes) and ages (UTC, of the oldest and the newest file) of all that is in `store`."""
    root = store.root
    folders = {name: list_files(root / name) for name in ("partial", "quarantine")}
    return {
        "store": str(root),
        "images": len(store.references()),
        "blobs": _measure(list_blobs(root)),
        **{name: _measure(files) for name, files in folders.items()},
        "runs": len(RunLocks(root).kept()),
        "disk_free": store.free_space(),
    }


def _measure(files: Sequence[StoredFile]) -> dict[str, Any]:
    times = sorted(file.modified for file in files)
    return {
        "count": len(files),
        "bytes": sum(file.size for file in files),
        "oldest": _moment(times[0]) if times else None,
        "newest": _moment(times[-1]) if times else None,
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
