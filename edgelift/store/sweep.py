"""Take away what a store need not hold: images by age and size, and what nothing refers to any more.

An image counts as used when it was pulled last, whether anything had to be fetched or not: `LocalStore.tag` writes that
into the time (mtime) of its manifest. Content without a name counts from when it arrived, the lock of a run from the
last attempt at the run. The time of access is not looked at: many disks do not keep it, and a check would renew it.
"""

import fcntl
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgelift.bundle.lock import BundleLock
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.store.contents import StoredBlob, StoredFile, described, list_blobs, list_files
from edgelift.store.disk import disk_errors, remove
from edgelift.store.graph import ContentGraph
from edgelift.store.local import LocalStore
from edgelift.store.runs import RunLock, RunLocks


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
    """A name in the store's index; `used` is when it was pulled last (seconds since 1970), 0 where that is lost."""

    reference: str
    descriptor: Descriptor
    used: float
    contents: Set[Digest]


@dataclass(frozen=True)
class Sweep:
    """What is to go, and how many bytes of blobs remain."""

    images: tuple[StoredImage, ...]
    blobs: tuple[StoredBlob, ...]
    leftovers: tuple[StoredFile, ...]
    runs: tuple[RunLock, ...]
    remaining: int

    @property
    def size(self) -> int:
        """Bytes that become free."""
        return sum(file.size for file in (*self.blobs, *self.leftovers))


def plan_sweep(store: LocalStore, rules: Rules, now: float) -> Sweep:
    """What of `store` may go by `rules` at the moment `now` (seconds since 1970); changes nothing.

    Only `LocalStore.alone` keeps it true until it is done. Raises `StoreError`.
    """
    oldest = now - rules.grace
    blobs, runs = list_blobs(store.root), RunLocks(store.root).kept()
    pinned, images = _pinned(store, rules, runs, oldest), _images(store)
    kept = _Kept(blobs, oldest, [pinned, *(image.contents for image in images)])
    unpinned = [image for image in images if image.descriptor.digest not in pinned]
    return Sweep(
        images=tuple(_drop(unpinned, kept, rules, now)),
        blobs=tuple(blob for blob in blobs if blob.digest not in kept),
        leftovers=tuple(_leftovers(store.root, oldest)),
        runs=tuple(run for run in runs if run.used < oldest),
        remaining=kept.size,
    )


def sweep_store(store: LocalStore, sweep: Sweep) -> None:
    """Delete what `sweep` says; call it within `LocalStore.alone`, and only with what was planned there."""
    # Names first: whatever is cut short leaves no name behind that leads nowhere, and the next sweep finds the rest.
    store.untag([image.reference for image in sweep.images])
    with disk_errors(f"clear {store.root}"):
        for file in (*sweep.blobs, *sweep.leftovers):
            file.path.unlink(missing_ok=True)
        for run in sweep.runs:
            remove(run.folder)
    store.forget_lost()


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


def _images(store: LocalStore) -> list[StoredImage]:
    graph, images = ContentGraph(store), []
    for reference, root in store.references().items():
        contents = set(graph.reach(root).contents)
        # The index that one architecture was chosen from: the next plan needs it to ask no more than a HEAD.
        if (planned := store.recall(reference)) is not None:
            contents.add(planned.digest)
        manifest = described(store.path(root.digest))
        images.append(StoredImage(reference, root, manifest.modified if manifest is not None else 0, contents))
    return images


def _pinned(store: LocalStore, rules: Rules, runs: Sequence[RunLock], oldest: float) -> set[Digest]:
    """What may not go: content of locks, and what another tool has listed in the index."""
    graph, locks = ContentGraph(store), [run.read() for run in runs if run.used >= oldest]
    pinned = {digest for root in store.unnamed() for digest in graph.reach(root).contents}
    for lock in (*rules.keep, *filter(None, locks)):
        pinned.update(each.digest for each in (*lock.unique_manifests(), *lock.unique_blobs(), *lock.attached))
    return pinned


def _leftovers(root: Path, oldest: float) -> Iterator[StoredFile]:
    """Partial downloads that nobody is at, and what is in quarantine, written before `oldest`."""
    for file in (*list_files(root / "partial"), *list_files(root / "quarantine")):
        if file.modified < oldest and not _is_locked(file.path):
            yield file


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
