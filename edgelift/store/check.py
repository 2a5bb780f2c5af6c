"""Check a store: every blob against its digest, every name against what it leads to; mend what can be mended.

Runs may go on meanwhile. What is wrong is put into quarantine as it is when a run finds it, and comes back in the same
way: locked by the one who brings it, named when it is whole.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Protocol

from edgelift.errors import EdgeliftError, IntegrityError, StoreError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.store.contents import StoredBlob, list_blobs, list_odd_blobs, list_strays
from edgelift.store.graph import ContentGraph
from edgelift.store.local import LocalStore
from edgelift.store.runs import RunLocks

Progress = Callable[[int], None]  # bytes checked since the last call
Kind = Literal["wrong", "unreadable", "missing"]

_HASHERS = min(4, os.cpu_count() or 1)
_ANY = "application/octet-stream"


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

    def bring(self, problem: Problem, store: LocalStore) -> str | None:
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
    store: LocalStore, *, sources: Sequence[MendingSource] = (), progress: Progress | None = None
) -> StoreCheck:
    """Hash all of `store` and follow its names, mending from the first of `sources` that can.

    `progress` is called from several threads. Raises `StoreError` where the store cannot be listed.
    """
    images = len(store.references())  # a damaged index is told at once, not after an hour of hashing
    blobs = list_blobs(store.root)
    found = _hash_all(store, blobs, progress or _ignore)
    found |= dict.fromkeys(list_odd_blobs(store.root), "unreadable")
    problems = dict[Digest, Problem]()
    # A manifest that is back may name more that is missing.
    while fresh := [each for each in _find_problems(store, found) if each.digest not in problems]:
        problems |= {each.digest: _mend(each, sources, store) for each in fresh}
    size = sum(blob.size for blob in blobs)
    return StoreCheck(len(blobs), size, images, tuple(problems.values()), tuple(list_strays(store.root)))


def _hash_all(store: LocalStore, blobs: Sequence[StoredBlob], progress: Progress) -> dict[Digest, Kind]:
    """Those of `blobs` that are not right."""
    pool = ThreadPoolExecutor(_HASHERS, thread_name_prefix="check")
    try:
        kinds = pool.map(partial(_hash, store, progress), blobs)
        return {blob.digest: kind for blob, kind in zip(blobs, kinds, strict=True) if kind is not None}
    finally:
        pool.shutdown(cancel_futures=True)


def _hash(store: LocalStore, progress: Progress, blob: StoredBlob) -> Kind | None:
    """What is wrong with `blob`, which is then out of the way; None also where it went while we looked."""
    descriptor = Descriptor(media_type=_ANY, digest=blob.digest, size=blob.size)
    try:
        for chunk in store.read(descriptor):
            progress(len(chunk))
    except IntegrityError:
        return "wrong"
    except StoreError:
        if store.exists(descriptor):  # the disk does not give it back; while it has its name, no pull would replace it
            store.set_aside(descriptor)
        elif not blob.path.exists():
            return None
        return "unreadable"
    return None


def _find_problems(store: LocalStore, found: Mapping[Digest, Kind]) -> Iterator[Problem]:
    """What names lead to and is not there, then whatever else was `found`."""
    graph, lost, images = ContentGraph(store), dict[Digest, Descriptor](), defaultdict[Digest, list[str]](list)
    for reference, root in store.references().items():
        for digest, descriptor in graph.reach(root).lost.items():
            lost[digest] = descriptor
            images[digest].append(reference)
    for digest, descriptor in lost.items():
        yield Problem(digest, found.get(digest, "missing"), descriptor, tuple(images[digest]))
    others = [digest for digest in found if digest not in lost]
    planned = _planned(store) if others else {}
    for digest in others:
        yield replace(planned.get(digest, Problem(digest, "wrong")), kind=found[digest])


def _planned(store: LocalStore) -> dict[Digest, Problem]:
    """What the locks of runs say of content that has no name (yet)."""
    planned = dict[Digest, Problem]()
    for lock in filter(None, (each.read() for each in RunLocks(store.root).kept())):
        for image in lock.images:
            for each in (*image.all_manifests, *image.all_blobs):
                planned[each.digest] = Problem(each.digest, "missing", each.plain(), (image.reference,))
    return planned


def _mend(problem: Problem, sources: Sequence[MendingSource], store: LocalStore) -> Problem:
    """The problem, once every source was asked until one had it."""
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
