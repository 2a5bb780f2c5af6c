"""What content is read from: a registry, or several places that hold the same."""

from contextlib import AbstractContextManager
from typing import Protocol

from edgelift.errors import IntegrityError, UnreachableError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.download import BlobBody
from edgelift.oci.manifest import Manifest


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

    def describe(self, repository: str, selector: str) -> Descriptor | None:
        """What a tag or digest stands for; None where it stands for nothing."""

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        """The size of a blob in bytes; None where it is not there."""

    def read_blob(self, repository: str, descriptor: Descriptor, offset: int = 0) -> BlobBody:
        """The bytes of a blob from `offset`, or from 0: see `BlobBody.offset`."""

    def served_by(self, repository: str) -> tuple[str, ...]:
        """Where the content of `repository` has come from so far; nothing where there is no choice."""

    def body_slot(self, size: int) -> AbstractContextManager[None]:
        """Wait for the turn of a body of `size` bytes that is to be read, and hold it."""

    def recover(self, blob: Descriptor, attempt: int, error: UnreachableError | IntegrityError) -> None:
        """Before `blob` is asked for once more, because its bytes stopped coming or are wrong.

        Waits, or turns to another place. Raises `RegistryError` where waiting is no use.
        """
