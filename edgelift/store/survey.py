"""How much a store holds, told without opening a blob."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from edgelift.store.holdings import Stored
from edgelift.store.opening import holdings_of
from edgelift.store.working import WorkingStore


def survey_store(store: WorkingStore) -> dict[str, Any]:
    """Counts, sizes (bytes) and ages (UTC, of the oldest and the newest file) of all that is in `store`.

    The `disk_free` of a bucket is None: nobody knows.
    """
    holdings = holdings_of(store)
    return {
        "store": holdings.place,
        "images": len(holdings.names()),
        "blobs": _measure(holdings.blobs()),
        "partial": _measure(holdings.unfinished()),
        "quarantine": _measure(holdings.quarantine()),
        "runs": len(holdings.runs()),
        "disk_free": holdings.free_space(),
    }


def _measure(files: Sequence[Stored]) -> dict[str, Any]:
    times = sorted(file.modified for file in files)
    return {
        "count": len(files),
        "bytes": sum(file.size for file in files),
        "oldest": _moment(times[0]) if times else None,
        "newest": _moment(times[-1]) if times else None,
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
