"""Check a store: every blob against its digest, every name against what it leads to; mend what can be mended.

Runs may go on meanwhile. What is wrong is put into quarantine as it is when a run finds it, and comes back in the same
way: locked by the one who brings it, named when it is whole.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Protocol

from edgelift.errors import EdgeliftError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.store.graph import ContentGraph
from edgelift.store.holdings import Damage, Holdings, Progress, StoredBlob
from edgelift.store.opening import holdings_of
from edgelift.store.working import WorkingStore

Kind = Damage | Literal["missing"]

_HASHERS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class Problem:
    """Content that the store should have and does not.

    `descriptor` is None where nothing in the store says what it was; `images` need it. `mended_from` says where it was
    fetched from again, `failures` why that did not work, one line an attempt.
    """

    digest: Digest
    kind: Kind
    descriptor: Descriptor | None = None
    images: tuple[str, ...] = ()
    mended_from: str | None = None
    failures: tuple[str, ...] = ()

    def __str__(self) -> str:
        needed = f", needed by {', '.join(self.images)}" if self.images else ""
        mended = f": mended from {self.mended_from}" if self.mended_from else ""
        return f"{self.digest} {_SAID[self.kind]}{needed}{mended}{''.join(f'; {each}' for each in self.failures)}"


_SAID: dict[Kind, str] = {
    "wrong": "was damaged and is in quarantine",
    "unreadable": "cannot be read",
    "missing": "is not there",
}


class MendingSource(Protocol):
    """Where good content may come from."""

    def bring(self, problem: Problem, store: WorkingStore) -> str | None:
        """Bring the content into `store` and say where it is from; None where it is not to be had here.

        Raises `EdgeliftError`.
        """


@dataclass(frozen=True)
class StoreCheck:
    """What was looked at (`size` in bytes), what is not right with it, and what is none of the store's."""

    blobs: int
    size: int
    images: int
    problems: tuple[Problem, ...]
    strays: tuple[str, ...]

    @property
    def unmended(self) -> tuple[Problem, ...]:
        """The problems that remain."""
        return tuple(problem for problem in self.problems if problem.mended_from is None)


def check_store(
    store: WorkingStore, *, sources: Sequence[MendingSource] = (), progress: Progress | None = None
) -> StoreCheck:
    """Hash all of `store` and follow its names, mending from the first of `sources` that can.

    `progress` is called from several threads. Raises `StoreError` where the store cannot be listed.
    """
    holdings = holdings_of(store)
    images = len(holdings.names())  # a damaged index is told at once, not after an hour of hashing
    blobs = holdings.blobs()
    found: dict[Digest, Kind] = {**_hash_all(holdings, blobs, progress or _ignore)}
    found |= dict.fromkeys(holdings.odd_blobs(), "unreadable")
    problems = dict[Digest, Problem]()
    # A manifest that is back may name more that is missing.
    while fresh := [each for each in _find_problems(store, holdings, found) if each.digest not in problems]:
        problems |= {each.digest: _mend(each, sources, store) for each in fresh}
    size = sum(blob.size for blob in blobs)
    return StoreCheck(len(blobs), size, images, tuple(problems.values()), tuple(holdings.strays()))


def _hash_all(holdings: Holdings, blobs: Sequence[StoredBlob], progress: Progress) -> dict[Digest, Damage]:
    """Those of `blobs` that are not right, which are then out of the way."""
    pool = ThreadPoolExecutor(_HASHERS, thread_name_prefix="check")
    try:
        kinds = pool.map(partial(holdings.judge, progress=progress), blobs)
        return {blob.digest: kind for blob, kind in zip(blobs, kinds, strict=True) if kind is not None}
    finally:
        pool.shutdown(cancel_futures=True)


def _find_problems(store: WorkingStore, holdings: Holdings, found: Mapping[Digest, Kind]) -> Iterator[Problem]:
    """What names lead to and is not there, then whatever else was `found`."""
    graph, lost, images = ContentGraph(store), dict[Digest, Descriptor](), defaultdict[Digest, list[str]](list)
    for name in holdings.names():
        for digest, descriptor in graph.reach(name.descriptor).lost.items():
            lost[digest] = descriptor
            images[digest].append(name.reference)
    for digest, descriptor in lost.items():
        yield Problem(digest, found.get(digest, "missing"), descriptor, tuple(images[digest]))
    others = [digest for digest in found if digest not in lost]
    planned = _planned(holdings) if others else {}
    for digest in others:
        yield replace(planned.get(digest, Problem(digest, "wrong")), kind=found[digest])


def _planned(holdings: Holdings) -> dict[Digest, Problem]:
    """What the locks of runs say of content that has no name (yet)."""
    planned = dict[Digest, Problem]()
    for lock in filter(None, (each.read() for each in holdings.runs())):
        for image in lock.images:
            for each in (*image.all_manifests, *image.all_blobs):
                planned[each.digest] = Problem(each.digest, "missing", each.plain(), (image.reference,))
    return planned


def _mend(problem: Problem, sources: Sequence[MendingSource], store: WorkingStore) -> Problem:
    """The problem, once every source was asked until one had it."""
    if problem.kind == "unreadable" and store.root is None:  # its server may well give it back later
        return replace(problem, failures=("it was left as it is",))
    failures = []
    for source in sources:
        try:
            place = source.bring(problem, store)
        except EdgeliftError as error:
            failures.append(error.message)
        else:
            if place is not None:
                return replace(problem, mended_from=place)
    return replace(problem, failures=tuple(failures))


def _ignore(_: int) -> None:
    """No progress is wanted."""
