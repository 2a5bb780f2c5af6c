"""Sweep: what the working store need not hold any more, told or deleted; safe beside runs, which it waits for."""

import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict

from blocks.store import load_store
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.signed import read_signed
from edgelift.keys import find_public_key
from edgelift.sizes import count, format_size
from edgelift.store.opening import holdings_of
from edgelift.store.sweep import Rules, Sweep, plan_sweep, sweep_store
from edgelift.store.working import WorkingStore
from tasks.connect import path_of, store_place
from tasks.narrate import narrate

_SHOWN = 100  # images in the artifact


class StoreSweep(BaseModel):
    """What went, or would go, of a store: how many of each, and `size` and what `remaining` in bytes."""

    model_config = ConfigDict(frozen=True)

    is_deleted: bool
    images: int
    blobs: int
    leftovers: int
    runs: int
    size: int
    remaining: int

    def __str__(self) -> str:
        verb = "deleted" if self.is_deleted else "would delete"
        gone = ((self.images, "image"), (self.blobs, "blob"), (self.leftovers, "leftover"))
        counts = ", ".join(count(number, noun) for number, noun in gone) + f", locks of {count(self.runs, 'run')}"
        return f"{verb} {counts}: {format_size(self.size)}; {format_size(self.remaining)} of blobs remain"


@task(name="sweep store", cache_policy=NO_CACHE, persist_result=False)
def sweep_content(
    store: str | None,
    *,
    older_than_days: float | None = None,
    max_size: int | None = None,
    grace_days: float = 7,
    keep_locks: tuple[str, ...] = (),
    delete: bool = False,
    wait: float = 0,
) -> StoreSweep:
    """Find what may go, as `edgelift store gc` does, and with `delete` take it away.

    The artifact `store-sweep` says what. Deleting wants the store for itself: it waits `wait` seconds for runs to end,
    then raises `StoreError`.
    """
    content = standing_store(store)
    holdings = holdings_of(content)
    rules = Rules(
        grace=_seconds(grace_days),
        older_than=_seconds(older_than_days) if older_than_days is not None else None,
        max_size=max_size,
        keep=tuple(map(_read_lock, keep_locks)),
    )
    with holdings.alone(wait) if delete else nullcontext():
        sweep = plan_sweep(content, rules, time.time())
        if delete:
            sweep_store(content, sweep)
    outcome = StoreSweep(
        is_deleted=delete,
        images=len(sweep.images),
        blobs=len(sweep.blobs),
        leftovers=len(sweep.leftovers),
        runs=len(sweep.runs),
        size=sweep.size,
        remaining=sweep.remaining,
    )
    create_markdown_artifact(key="store-sweep", markdown=_markdown(holdings.place, sweep, outcome))
    narrate(f"{holdings.place}: {outcome}")
    if max_size is not None and sweep.remaining > max_size:
        excess = format_size(sweep.remaining - max_size)
        narrate(f"{excess} more than max_size remain: locks need them, or they are younger than the grace", warn=True)
    return outcome


def standing_store(store: str | None) -> WorkingStore:
    """The store, which is not made by looking after it; raises `ConfigurationError` where there is none.

    It is opened for this task alone: who keeps it open could not be alone in it.
    """
    return load_store(store_place(store), is_made=False)


def _read_lock(path: str) -> BundleLock:
    return BundleLock.from_json(read_signed(path_of(path), find_public_key(None)), path)


def _seconds(days: float) -> float:
    return timedelta(days=days).total_seconds()


def _markdown(store: str, sweep: Sweep, outcome: StoreSweep) -> str:
    rows = [f"| `{image.reference}` | {_moment(image.used)} |" for image in sweep.images[:_SHOWN]]
    more = [f"and {len(sweep.images) - _SHOWN:,} more"] if len(sweep.images) > _SHOWN else []
    table = ["\n".join(["| image | last pulled |", "|---|---|", *rows])] if rows else []
    return "\n\n".join([f"# {store}", f"{outcome}.", *table, *more])


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M") if seconds else "-"
