"""One blob on its way into a store in S3: hashed as it comes, and named only when size and digest are right.

The parts of an upload to S3 cannot be read before it is completed, and what cannot be read cannot be hashed by a
machine that goes on with it. So what arrives is kept in pieces that are objects,
`partial/<algorithm>-<hex>/<offset>-<writer>`: another machine reads them back, hashes them, and goes on behind the last
one. The server joins them into the blob once the digest is right. Each writer's pieces have names of their own: nobody
can change what another has hashed.

What is smaller than a piece is kept in memory and sent in one request.
"""

import hashlib
import logging
import re
import uuid
from typing import TYPE_CHECKING

from edgelift.errors import EdgeliftError, IntegrityError, StoreError
from edgelift.oci.descriptor import Descriptor
from edgelift.store.s3_folder import BucketFolder, Piece, md5_of

if TYPE_CHECKING:
    from edgelift.store.s3_lease import Lease

PIECE = 8 * 2**20  # bytes: what is lost at most when a machine dies
SMALLEST_PIECE = 5 * 2**20  # bytes; S3 joins no smaller ones, but for the last
_MOST_PIECES = 10_000  # in one object
_NAME = re.compile(r"(\d{15})-[0-9a-f]{32}")
_log = logging.getLogger(__name__)


class S3Partial:
    """What has arrived of `descriptor`, which becomes the object `name`. Implements `oci.content.Ingest`.

    The lease is renewed as bytes arrive.
    """

    def __init__(
        self, folder: BucketFolder, descriptor: Descriptor, name: str, lease: "Lease", *, piece_size: int = PIECE
    ) -> None:
        self._folder = folder
        self._descriptor = descriptor
        self._name = name
        self._lease = lease
        self._place = f"partial/{descriptor.digest.algorithm}-{descriptor.digest.hex}/"
        self._writer = uuid.uuid4().hex
        self._piece_size = max(piece_size, -(-descriptor.size // _MOST_PIECES))
        self._hasher = descriptor.digest.hasher()
        self._offset = 0
        self._buffer = bytearray()  # what is in no piece yet
        self._pieces: list[Piece] = []
        self.is_committed = False

    @property
    def offset(self) -> int:
        """How many bytes are here."""
        return self._offset

    def resume(self) -> None:
        """Read back, and hash, what earlier attempts have left, on this machine or another."""
        if self._descriptor.size <= self._piece_size:
            return
        for name, size, *_ in self._folder.entries(self._place):
            found = _NAME.fullmatch(name.removeprefix(self._place))
            if found is None or int(found[1]) != self._offset or self._offset + size > self._descriptor.size:
                continue  # another attempt's, which is here already, or which nothing leads up to
            if size < SMALLEST_PIECE and self._offset + size < self._descriptor.size:
                continue
            self._read_back(name, size)
        if self._offset:
            _log.info("%s goes on at byte %d", self._descriptor.digest, self._offset)

    def write(self, chunk: bytes) -> None:
        """Append `chunk`; raises `IntegrityError` past the descriptor's size."""
        if self._offset + len(chunk) > self._descriptor.size:
            raise IntegrityError(
                f"what arrives for {self._descriptor.digest} is longer than its {self._descriptor.size:,} bytes",
                hint="the manifest, or what a proxy makes of the content, is wrong: compare it with another client",
            )
        self._hasher.update(chunk)
        self._offset += len(chunk)
        self._buffer += chunk
        if self._descriptor.size > self._piece_size:
            while len(self._buffer) >= self._piece_size:
                self._keep_piece(self._piece_size)
        self._lease.renew()

    def restart(self) -> None:
        """Forget what is here."""
        self._remove_pieces()
        self._hasher = self._descriptor.digest.hasher()
        self._offset = 0
        self._buffer = bytearray()
        self._pieces = []

    def commit(self) -> None:
        """Name the content; on a wrong size or digest forget it and raise `IntegrityError`."""
        found = self._hasher.hexdigest()
        if self._offset != self._descriptor.size or found != self._descriptor.digest.hex:
            problem = f"{self._offset:,} bytes with {self._descriptor.digest.algorithm}:{found[:16]}…"
            self.restart()
            raise IntegrityError(
                f"what arrived for {self._descriptor.digest} is wrong: {problem} in place of {self._descriptor.size:,}",
                hint="a proxy may change content on the way",
                retryable=True,
            )
        if self._pieces:
            self._join()
        else:
            self._folder.write(self._name, bytes(self._buffer))
        self.is_committed = True

    def _read_back(self, name: str, size: int) -> None:
        """Take the piece `name` over, unless it has gone meanwhile."""
        standing = self._folder.find(name)
        if standing is None or standing.size != size:
            return
        hasher, md5 = self._hasher.copy(), hashlib.md5(usedforsecurity=False)
        for chunk in self._folder.open(name, standing).chunks(0):
            hasher.update(chunk)
            md5.update(chunk)
        self._hasher = hasher
        self._offset += size
        self._pieces.append(Piece(name, size, md5.hexdigest()))
        self._lease.renew()

    def _keep_piece(self, size: int) -> None:
        with memoryview(self._buffer) as buffer:
            content = bytes(buffer[:size])
        begin = self._offset - len(self._buffer)
        piece = Piece(f"{self._place}{begin:015}-{self._writer}", size, md5_of(content))
        self._folder.write(piece.name, content)
        self._pieces.append(piece)
        del self._buffer[:size]

    def _join(self) -> None:
        if self._buffer:
            self._keep_piece(len(self._buffer))
        try:
            self._folder.join(self._pieces, self._name, self._lease.renew)
        except StoreError:
            standing = self._folder.find(self._name)
            if standing is None or standing.size != self._descriptor.size:
                raise
            # An earlier try of the same request has completed it, with its answer lost on the way.
        self._remove_pieces()

    def _remove_pieces(self) -> None:
        """Remove the pieces of all attempts; where that fails they stay, and cost space alone."""
        if self._descriptor.size <= self._piece_size:
            return
        try:
            self._folder.remove([each.name for each in self._folder.entries(self._place)])
        except EdgeliftError as error:
            _log.warning("pieces of %s stay: %s", self._descriptor.digest, error.message)
