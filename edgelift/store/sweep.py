"""Take away what a store need not hold: images by age and size, and what nothing refers to any more.

An image counts as used when it was pulled last, whether anything had to be fetched or not: `tag` notes that in the time
of its manifest (mtime), in a bucket in that of its name, to the day. What has no name counts from its arrival, the lock
of a run from the last attempt at the run. The time of access is not looked at: many disks do not keep it, and a check
would renew it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

from edgelift.bundle.lock import BundleLock
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.store.graph import ContentGraph
from edgelift.store.holdings import Holdings, KeptRun, Stored, StoredBlob
from edgelift.store.opening import holdings_of
from edgelift.store.working import WorkingStore


@dataclass(frozen=True)
class Rules:
    """What may go. `grace` and `older_than` are seconds, `max_size` bytes.

    Images go that were not used for `older_than`; then, while all blobs together exceed `max_size`, the one that was
    used longest ago. Nothing of a lock in `keep` goes, nor of a run that was attempted within `grace`. What has no
    name (content, partial downloads, quarantine, locks of runs) goes once it is older than `grace`.
    """

    grace: float
    older_than: float | None = None
    max_size: int | None = None
    keep: tuple[BundleLock, ...] = ()


@dataclass(frozen=True)
class StoredImage:
    """A name in the store; `used` is when it was pulled last (seconds since 1970), 0 where that is lost."""

    reference: str
    descriptor: Descriptor
    used: float
    contents: Set[Digest]


@dataclass(frozen=True)
class Sweep:
    """What is to go, and how many bytes of blobs remain."""

    images: tuple[StoredImage, ...]
    blobs: tuple[StoredBlob, ...]
    leftovers: tuple[Stored, ...]
    runs: tuple[KeptRun, ...]
    remaining: int

    @property
    def size(self) -> int:
        """Bytes that become free."""
        return sum(file.size for file in (*self.blobs, *self.leftovers))


def plan_sweep(store: WorkingStore, rules: Rules, now: float) -> Sweep:
    """What of `store` may go by `rules` at the moment `now` (seconds since 1970); changes nothing.

    Only `Holdings.alone` keeps it true until it is done. Raises `StoreError`.
    """
    oldest, holdings = now - rules.grace, holdings_of(store)
    blobs, runs = holdings.blobs(), holdings.runs()
    pinned, images = _pinned(store, holdings, rules, runs, oldest), _images(store, holdings)
    kept = _Kept(blobs, oldest, [pinned, *(image.contents for image in images)])
    unpinned = [image for image in images if image.descriptor.digest not in pinned]
    return Sweep(
        images=tuple(_drop(unpinned, kept, rules, now)),
        blobs=tuple(blob for blob in blobs if blob.digest not in kept),
        leftovers=tuple(holdings.leftovers(oldest)),
        runs=tuple(run for run in runs if run.used < oldest),
        remaining=kept.size,
    )


def sweep_store(store: WorkingStore, sweep: Sweep) -> None:
    """Delete what `sweep` says; call it within `Holdings.alone`, and only with what was planned there."""
    holdings = holdings_of(store)
    # Names first: whatever is cut short leaves no name behind that leads nowhere, and the next sweep finds the rest.
    holdings.untag([image.reference for image in sweep.images])
    holdings.remove((*sweep.blobs, *sweep.leftovers))
    holdings.remove_runs([run.name for run in sweep.runs])
    holdings.forget_lost()


class _Kept:
    """Those of `blobs` that one of `held` names, or that were written since `oldest`; `size` are their bytes."""

    def __init__(self, blobs: Sequence[StoredBlob], oldest: float, held: Iterable[Set[Digest]]) -> None:
        self._holders = Counter(digest for contents in held for digest in contents)
        self._sizes = {
            blob.digest: blob.size for blob in blobs if blob.digest in self._holders or blob.modified >= oldest
        }
        self.size = sum(self._sizes.values())

    def __contains__(self, digest: Digest) -> bool:
        return digest in self._sizes

    def release(self, contents: Set[Digest]) -> None:
        """One holder less of `contents`; what nobody holds any more is not kept, however young."""
        for digest in contents:
            self._holders[digest] -= 1
            if not self._holders[digest]:
                self.size -= self._sizes.pop(digest, 0)


def _drop(images: Sequence[StoredImage], kept: _Kept, rules: Rules, now: float) -> Iterator[StoredImage]:
    """The images that go, released from `kept`."""
    for image in sorted(images, key=lambda image: (image.used, image.reference)):
        is_old = rules.older_than is not None and image.used < now - rules.older_than
        is_too_much = rules.max_size is not None and kept.size > rules.max_size
        if is_old or is_too_much:
            kept.release(image.contents)
            yield image


def _images(store: WorkingStore, holdings: Holdings) -> list[StoredImage]:
    graph, images = ContentGraph(store, is_strict=True), []
    for reference, root, used in holdings.names():
        contents = set(graph.reach(root).contents)
        # The index that one architecture was chosen from: the next plan needs it to ask no more than a HEAD.
        if (planned := store.recall(reference)) is not None:
            contents.add(planned.digest)
        images.append(StoredImage(reference, root, used, contents))
    return images


def _pinned(
    store: WorkingStore, holdings: Holdings, rules: Rules, runs: Sequence[KeptRun], oldest: float
) -> set[Digest]:
    """What may not go: content of locks, and what another tool has listed in the index."""
    graph, locks = ContentGraph(store, is_strict=True), [run.read() for run in runs if run.used >= oldest]
    pinned = {digest for root in holdings.unnamed() for digest in graph.reach(root).contents}
    for lock in (*rules.keep, *filter(None, locks)):
        pinned.update(each.digest for each in (*lock.unique_manifests(), *lock.unique_blobs(), *lock.attached))
    return pinned
