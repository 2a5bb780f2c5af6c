"""Which blobs have been found right: hashed once, checked by a quick checksum as long as their file does not change."""

from collections import deque
from typing import NamedTuple

from edgelift.errors import IntegrityError
from edgelift.oci.content import Bytes, PassageReader
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.store.partial import new_checksum


class Proof(NamedTuple):
    """That a blob had its digest: the state of its file then, and the checksum of the blob."""

    state: object
    checksum: str


class Proofs:
    """What has been found out about the blobs of `reader`, for several threads."""

    def __init__(self, reader: PassageReader, *, always_hash: bool = False) -> None:
        """Checksums are no guard against intent: with `always_hash` none of them counts."""
        self._reader = reader
        self._always_hash = always_hash
        self._known: dict[Digest, Proof] = {}

    def check(self, blob: Descriptor) -> "BlobCheck":
        """What `blob` has to be put through on its way out."""
        return BlobCheck(self._reader, blob, {} if self._always_hash else self._known)


class BlobCheck:
    """Takes a blob's digest, or the checksum that it had when its digest was right. Implements `part.Check`."""

    def __init__(self, reader: PassageReader, blob: Descriptor, known: dict[Digest, Proof]) -> None:
        self._reader = reader
        self._blob = blob
        self._known = known
        self._state = reader.state(blob)
        proof = known.get(blob.digest)
        self._proof = proof if proof is not None and proof.state == self._state else None
        self._checksum = new_checksum()
        self._hasher = blob.digest.hasher()

    @property
    def is_known(self) -> bool:
        """Whether the blob has been found right before, so that its checksum will do."""
        return self._proof is not None

    def update(self, piece: Bytes, /) -> None:
        """Go on with `piece`."""
        self._checksum.update(piece)
        if self._proof is None:
            self._hasher.update(piece)

    def finish(self) -> None:
        """Raise `IntegrityError` where the blob was not right, with what its reader says, which may put it aside."""
        is_unchanged = self._state is not None and self._reader.state(self._blob) == self._state
        is_right = self._is_right()
        if is_right and self._proof is None and is_unchanged:
            self._known[self._blob.digest] = Proof(self._state, self._checksum.hexdigest())
        if not is_right or (self._proof is not None and not is_unchanged):
            self._known.pop(self._blob.digest, None)
            deque(self._reader.read(self._blob), maxlen=0)
        if not is_right:
            raise IntegrityError(f"the content of {self._blob.digest} changed while it was read")

    def _is_right(self) -> bool:
        if self._proof is not None:
            return self._checksum.hexdigest() == self._proof.checksum
        return self._hasher.hexdigest() == self._blob.digest.hex
