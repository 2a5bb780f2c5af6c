"""The port of what a store holds, for those who look after it: how much there is, is it right, what may go."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from edgelift.bundle.lock import BundleLock
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest

Progress = Callable[[int], None]  # bytes checked since the last call
Damage = Literal["wrong", "unreadable"]
ANY = "application/octet-stream"  # what is said of content of which only the digest is known


@dataclass(frozen=True)
class Stored:
    """Something that lies in a store: its name there, its size, and when it was last written (seconds since 1970)."""

    name: str
    size: int
    modified: float


@dataclass(frozen=True)
class StoredBlob(Stored):
    """Something under the name of its content."""

    digest: Digest

    @property
    def descriptor(self) -> Descriptor:
        """What it is, as far as the store says."""
        return Descriptor(media_type=ANY, digest=self.digest, size=self.size)


class StoredName(NamedTuple):
    """A reference, what it stands for, and when it was pulled last (seconds since 1970); 0 where that is lost."""

    reference: str
    descriptor: Descriptor
    used: float


class KeptRun(Protocol):
    """The lock of a run that may be retried."""

    @property
    def name(self) -> str:
        """Which run it is."""

    @property
    def used(self) -> float:
        """When it was last attempted (seconds since 1970)."""

    def read(self) -> BundleLock | None:
        """The lock; None where there is none that can be read."""


class Holdings(Protocol):
    """What a store holds. Errors are `StoreError`."""

    @property
    def place(self) -> str:
        """What people call the store."""

    def blobs(self) -> list[StoredBlob]:
        """Everything that has a digest as its name, by digest."""

    def odd_blobs(self) -> list[Digest]:
        """The digests in whose place something stands that can be no content."""

    def strays(self) -> list[str]:
        """What no edgelift has put there, by its name in the store."""

    def unfinished(self) -> list[Stored]:
        """What has arrived of content that is not complete."""

    def quarantine(self) -> list[Stored]:
        """What turned out wrong, kept for a look."""

    def leftovers(self, oldest: float) -> list[Stored]:
        """Unfinished work that nobody is at, and quarantine, written before the moment `oldest`."""

    def names(self) -> list[StoredName]:
        """What was pulled, by reference."""

    def unnamed(self) -> list[Descriptor]:
        """Manifests that another tool has put there, and that are not ours to drop."""

    def runs(self) -> Sequence[KeptRun]:
        """The locks of runs, the one that was used last at the end."""

    def judge(self, blob: StoredBlob, progress: Progress) -> Damage | None:
        """Hash `blob` and say what is wrong with it, once that is out of the way; None also where it has gone."""

    def untag(self, references: Collection[str]) -> None:
        """Take names away; what they stood for stays."""

    def remove(self, files: Sequence[Stored]) -> None:
        """Take away what was listed."""

    def remove_runs(self, runs: Sequence[str]) -> None:
        """Take away the locks of `runs`."""

    def forget_lost(self) -> None:
        """Forget what references stood for where that is not here: the hint would cost a request more."""

    def free_space(self) -> int | None:
        """Bytes that the store still takes; None where nobody knows."""

    def alone(self, wait: float) -> AbstractContextManager[None]:
        """A block in which nobody else has the store open, after `wait` seconds at most; raises `StoreError`."""
