"""The port of the working store: what plan, pull, assemble and push need of it, wherever it is."""

from typing import Protocol

from edgelift.bundle.lock import BundleLock
from edgelift.oci.content import BufferReader, ContentStore, RangeReader
from edgelift.oci.digest import Digest


class KeptLocks(Protocol):
    """The locks that runs replay when they are retried: one a run, under its id."""

    def recall(self, run: str) -> BundleLock | None:
        """The lock of an earlier attempt at `run`; None where there was none.

        Raises `ConfigurationError` where it is damaged.
        """

    def keep(self, run: str, lock: BundleLock) -> None:
        """Keep the lock of `run`."""

    def find(self, digest: Digest) -> BundleLock | None:
        """The lock with this digest, of whichever run; None where none has it."""


class WorkingStore(ContentStore, RangeReader, BufferReader, Protocol):
    """Content on its way from registries to a bundle or a registry, for several processes."""

    @property
    def runs(self) -> KeptLocks:
        """The locks of the runs that use it."""
