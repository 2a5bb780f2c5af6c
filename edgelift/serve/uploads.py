"""Blobs on their way into a directory: one file a session, until its bytes are checked and it gets its name."""

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgelift.errors import IntegrityError
from edgelift.oci.content import CHUNK
from edgelift.oci.digest import Digest
from edgelift.store.disk import disk_errors, sync_folder

_SESSION = re.compile(r"[0-9a-f]{32}", re.ASCII)


class UploadFolder:
    """The sessions of one repository, in `folder`. A session that is not there answers None or False."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self) -> str:
        """Begin a session; gives its name."""
        session = secrets.token_hex(16)
        with disk_errors(f"begin an upload in {self._folder}"):
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / session).touch()
        return session

    def offset(self, session: str) -> int | None:
        """How many bytes have arrived."""
        with self._locked(session) as file:
            return None if file is None else os.fstat(file).st_size

    def append(self, session: str, offset: int, chunk: bytes) -> bool:
        """Add `chunk` at `offset`; False too where the session stands elsewhere."""
        with self._locked(session) as file:
            if file is None or os.fstat(file).st_size != offset:
                return False
            written = 0
            while written < len(chunk):
                written += os.pwrite(file, chunk[written:], offset + written)
            return True

    def commit(self, session: str, digest: Digest, destination: Path) -> bool:
        """Move the file to `destination`; raises `IntegrityError` and drops it where it does not have `digest`."""
        with self._locked(session) as file:
            if file is None:
                return False
            if _hash(file, digest) != digest.hex:
                (self._folder / session).unlink()
                raise IntegrityError(f"the bytes that arrived do not have the digest {digest}")
            os.fsync(file)
            destination.parent.mkdir(parents=True, exist_ok=True)
            (self._folder / session).replace(destination)
            sync_folder(destination.parent)
            return True

    def cancel(self, session: str) -> bool:
        """Drop a session."""
        with self._locked(session) as file:
            if file is not None:
                (self._folder / session).unlink()
            return file is not None

    @contextmanager
    def _locked(self, session: str) -> Iterator[int | None]:
        """The file of a session, locked.

        The lock keeps a late writer from changing bytes between their check and their name, or after it.
        """
        file = self._open(session)
        if file is None:
            yield None
            return
        try:
            with disk_errors(f"keep an upload in {self._folder}"):
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file if (self._folder / session).exists() else None
        finally:
            os.close(file)

    def _open(self, session: str) -> int | None:
        if not _SESSION.fullmatch(session):
            return None
        with disk_errors(f"open an upload in {self._folder}"):
            try:
                return os.open(self._folder / session, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                return None


def _hash(file: int, digest: Digest) -> str:
    hasher, offset = digest.hasher(), 0
    while chunk := os.pread(file, CHUNK, offset):
        hasher.update(chunk)
        offset += len(chunk)
    return hasher.hexdigest()
