"""What content is read from: a registry, or several places that hold the same."""

from contextlib import AbstractContextManager
from typing import Protocol

from edgelift.errors import IntegrityError, UnreachableError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.download import BlobBody
from edgelift.oci.manifest import Manifest
from edgelift.oci.slots import Slots


class Source(Protocol):
    """Reads manifests and blobs of the registry `host`. Errors are those of `Registry`, which is one."""

    @property
    def host(self) -> str:
        """The registry that references name, wherever the content comes from."""

    def log_in(self) -> None:
        """Prove that the registry is there and lets us in."""

    def read_manifest(self, repository: str, selector: str) -> Manifest:
        """The manifest or index of a tag or digest."""

    def peek(self, repository: str, selector: str) -> Descriptor | None:
        """What a tag or digest stands for, as a hint; None where that is not told."""

    def describe(self, repository: str, selector: str, *, certain: bool = False) -> Descriptor | None:
        """What a tag or digest stands for; None where it stands for nothing."""

    def list_referrers(self, repository: str, subject: Digest) -> tuple[Descriptor, ...] | None:
        """What refers to the manifest `subject`; None where nothing does."""

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        """The size of a blob in bytes; None where it is not there."""

    def open_blob(
        self, repository: str, descriptor: Descriptor, offset: int = 0, *, held: Slots | None = None
    ) -> AbstractContextManager[BlobBody]:
        """The bytes of a blob from `offset`, or from 0: see `BlobBody.offset`.

        Waits for its turn where it is read from, and holds it; but not in `held`, of which the caller has one.
        """

    def served_by(self, repository: str) -> tuple[str, ...]:
        """Where the content of `repository` has come from so far; nothing where there is no choice."""

    def recover(self, blob: Descriptor, attempt: int, error: UnreachableError | IntegrityError) -> None:
        """Before `blob` is asked for once more, because its bytes stopped coming or are wrong.

        `attempt` counts those in a row that brought nothing new; it is 0 after a time-out that came after new bytes.
        Waits, or turns to another place. Raises `RegistryError` where waiting is no use.
        """
