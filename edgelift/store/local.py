"""The working store in a directory: an OCI image layout, plus the partial downloads that will become its blobs.

oci-layout, index.json        image-spec image-layout.md; each tagged manifest with its full reference
blobs/<algorithm>/<hex>       complete and verified: nothing unverified gets a name here
partial/<algorithm>-<hex>     what has arrived so far; locked (flock) by the one task or process that writes it
quarantine/<algorithm>-<hex>  bytes that turned out wrong, kept for a look
resolved/<hex>.json           what a reference stood for when it was last planned: a hint, see `resolved.py`
budgets/<hex>.json            what a registry said last of the pulls that remain: a hint, see `budgets.py`
runs/<run>/lock.json          what a retry of that run replays, see `runs.py`
use.lock                      locked (flock) by all who have the store open, see `use.py`
"""

import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TypeVar

from edgelift.documents import state_of
from edgelift.errors import IntegrityError, StoreError
from edgelift.oci.content import CHUNK, LOOK, ReadSome
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.sizes import count
from edgelift.store.disk import disk_errors, remove
from edgelift.store.layout import LayoutIndex
from edgelift.store.partial import Checked, Hasher, Partial, new_checksum
from edgelift.store.resolved import ResolvedNames
from edgelift.store.runs import RunLocks
from edgelift.store.use import Use

_Chunk = TypeVar("_Chunk", bytes, memoryview)


class LocalStore:
    """Content in the directory `root`, for several threads and processes. While it is open, nothing that is right goes.

    Implements `store.working.WorkingStore`.
    """

    def __init__(self, root: Path) -> None:
        """Open the store at `root`, made where it is missing; raises `StoreError` where that fails."""
        self.root = root
        self.runs = RunLocks(root)
        with disk_errors(f"open the store {root}"):
            for folder in ("blobs/sha256", "blobs/sha512", "partial", "quarantine"):
                (root / folder).mkdir(parents=True, exist_ok=True)
            self._use = Use(root)
            self._index = LayoutIndex(root)
        self._checked: dict[Digest, Checked] = {}
        self._resolved = ResolvedNames(root / "resolved")

    def path(self, digest: Digest) -> Path:
        """Where the blob of `digest` is, or would be."""
        return self.root / "blobs" / digest.algorithm / digest.hex

    def exists(self, descriptor: Descriptor) -> bool:
        """Whether the content is here with the right size, and can be read; what cannot is fetched anew."""
        path = self.path(descriptor.digest)
        try:
            found = path.lstat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StoreError(f"cannot look at {path}: {error.strerror}") from None
        return stat.S_ISREG(found.st_mode) and found.st_size == descriptor.size and os.access(path, os.R_OK)

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """The content in chunks, checked on the way; wrong content is put into quarantine before `IntegrityError`.

        It is hashed, except where this object has done so when the content came and the file has not been touched
        since: a checksum tells then, for a tenth of the work, whether the disk gives back what it got.
        """
        return self._checked_chunks(descriptor, _read_chunk)

    def read_into(self, buffer: memoryview, descriptor: Descriptor) -> Iterator[memoryview]:
        """As `read`, but every chunk is in `buffer`, where the next one takes its place."""

        def read_chunk(file: int, start: int, stop: int) -> memoryview:
            return buffer[: os.readv(file, [buffer[: stop - start]])]  # the file stands at `start`

        return self._checked_chunks(descriptor, read_chunk)

    def read_range(self, descriptor: Descriptor, start: int, stop: int) -> Iterator[bytes]:
        """Bytes `start` to `stop` (exclusive), unverified."""
        with self._opened(descriptor) as file:
            while start < stop and (chunk := _read_chunk(file, start, stop)):
                start += len(chunk)
                yield chunk

    def passage(self, descriptor: Descriptor, start: int, stop: int) -> AbstractContextManager[ReadSome]:  # noqa: ARG002 - the system reads ahead
        """Any bytes, unverified; no file stays open between two looks."""

        def read(offset: int, limit: int) -> bytes:
            with self._opened(descriptor) as file:
                return os.pread(file, min(limit, LOOK), offset)

        return nullcontext(read)

    def state(self, descriptor: Descriptor) -> object:
        """Which file the content is in, and when that changed last."""
        with self._opened(descriptor) as file:
            return state_of(file)

    @contextmanager
    def ingest(self, descriptor: Descriptor) -> Iterator[Partial | None]:
        """The partial content of `descriptor`, locked until the block ends; None where the content is complete."""
        if self.exists(descriptor):
            yield None
            return
        with disk_errors(f"write {descriptor.digest} into {self.root}", need=descriptor.size, place=self.root):
            digest, path = descriptor.digest, self._partial_path(descriptor.digest)
            file = self._lock(path, descriptor)
            if file is None:
                yield None
                return
            with Partial(file, path, descriptor, self.path(digest), self._quarantine_path(digest)) as partial:
                if self.path(digest).is_dir():  # all else is replaced by the commit
                    self._set_aside(digest)
                yield partial
            if partial.committed is not None:
                self._checked[digest] = partial.committed

    def write(self, descriptor: Descriptor, content: bytes) -> None:
        """Keep small `content`; raises `IntegrityError` where it is not what `descriptor` says."""
        with self.ingest(descriptor) as partial:
            if partial is not None:
                partial.restart()
                partial.write(content)
                partial.commit()

    def tag(self, names: Mapping[str, Descriptor]) -> None:
        """Name manifests in the layout's index, and note in the times of their files that they were used now."""
        named = next(iter(names)) if len(names) == 1 else count(len(names), "name")
        with disk_errors(f"tag {named} in {self.root}"):
            self._index.put(names)
        for descriptor in names.values():
            with suppress(OSError):  # a store of another user: the time of arrival has to do
                os.utime(self.path(descriptor.digest))

    def untag(self, references: Collection[str]) -> None:
        """Take names away; what they stood for stays."""
        with disk_errors(f"untag {count(len(references), 'image')} in {self.root}"):
            self._index.remove(references)

    def references(self) -> dict[str, Descriptor]:
        """The tagged manifests by full reference."""
        with disk_errors(f"read the index of {self.root}"):
            return self._index.read()

    def unnamed(self) -> list[Descriptor]:
        """What the index lists without a name of ours: another tool has put it there."""
        with disk_errors(f"read the index of {self.root}"):
            return self._index.unnamed()

    def recall(self, reference: str) -> Descriptor | None:
        """What `reference` stood for when it was last planned; None where that is not known."""
        return self._resolved.recall(reference)

    def remember(self, reference: str, descriptor: Descriptor) -> None:
        """Keep what `reference` stands for as a hint to the next plan."""
        with disk_errors(f"write into {self.root / 'resolved'}"):
            self._resolved.remember(reference, descriptor)

    def forget_lost(self) -> None:
        """Forget what references stood for where that is not here: the hint would cost a request more."""
        with disk_errors(f"clear {self.root / 'resolved'}"):
            self._resolved.forget(lambda descriptor: not self.exists(descriptor))

    def set_aside(self, descriptor: Descriptor) -> None:
        """Put content into quarantine that the disk does not give back."""
        with self._opened(descriptor) as file:
            self._quarantine(descriptor.digest, file)

    def alone(self, wait: float) -> AbstractContextManager[None]:
        """A block in which nobody else has the store open: see `Use.alone`."""
        return self._use.alone(wait)

    def free_space(self) -> int:
        """Bytes free on the store's disk."""
        with disk_errors(f"measure the disk of {self.root}"):
            return shutil.disk_usage(self.root).free

    def _checked_chunks(
        self, descriptor: Descriptor, read_chunk: Callable[[int, int, int], _Chunk]
    ) -> Iterator[_Chunk]:
        """What `read_chunk` gives of the file from one place on, up to another; the last chunk only if all is right."""
        seen = 0
        with self._opened(descriptor) as file:
            hasher, expected = self._expectation(descriptor.digest, file)
            while True:
                chunk = read_chunk(file, seen, descriptor.size)
                hasher.update(chunk)
                seen += len(chunk)
                if not chunk or seen == descriptor.size:
                    break
                yield chunk
            if os.fstat(file).st_size != descriptor.size or hasher.hexdigest() != expected:
                self._quarantine(descriptor.digest, file)
                raise IntegrityError(
                    f"the store's copy of {descriptor.digest} is damaged; it was moved to {self.root / 'quarantine'}",
                    hint="run the same command again: what is missing is fetched anew",
                    retryable=True,
                )
            if chunk:
                yield chunk

    def _lock(self, path: Path, descriptor: Descriptor) -> int | None:
        """The partial file, open and locked; None where another writer has completed the content meanwhile."""
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            is_ours = False
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                if self.exists(descriptor):
                    if _is_same_file(file, path):
                        path.unlink()
                    return None
                is_ours = _is_same_file(file, path)  # else it was renamed or removed while we waited for its lock
                if is_ours:
                    return file
            finally:
                if not is_ours:
                    os.close(file)  # kept open it would keep the lock, and the next attempt would wait for ever

    def _expectation(self, digest: Digest, file: int) -> tuple[Hasher, str]:
        """What the open `file` is to be put through, and the outcome if it is right."""
        checked = self._checked.get(digest)
        if checked is not None and checked == Checked.of(file, checked.checksum):
            return new_checksum(), checked.checksum
        return digest.hasher(), digest.hex

    @contextmanager
    def _opened(self, descriptor: Descriptor) -> Iterator[int]:
        path = self.path(descriptor.digest)
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise _absent(descriptor, self.root, error.strerror) from None
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise _absent(descriptor, self.root, "what stands there is no plain file")
            yield file
        except OSError as error:
            raise StoreError(
                f"cannot read {path}: {error.strerror}", hint="look at the state of that disk, or use another store"
            ) from None
        finally:
            os.close(file)

    def _partial_path(self, digest: Digest) -> Path:
        return self.root / "partial" / f"{digest.algorithm}-{digest.hex}"

    def _quarantine_path(self, digest: Digest) -> Path:
        return self.root / "quarantine" / f"{digest.algorithm}-{digest.hex}"

    def _quarantine(self, digest: Digest, file: int) -> None:
        """Move the open `file` out of the way, unless another reader has, or a writer has brought a good one since."""
        with disk_errors(f"move the damaged {digest} out of {self.root}"), suppress(FileNotFoundError):
            if _is_same_file(file, self.path(digest)):
                self._set_aside(digest)

    def _set_aside(self, digest: Digest) -> None:
        remove(self._quarantine_path(digest))
        self.path(digest).replace(self._quarantine_path(digest))


def _read_chunk(file: int, start: int, stop: int) -> bytes:
    return os.pread(file, min(CHUNK, stop - start), start)


def _absent(descriptor: Descriptor, root: Path, reason: str | None) -> StoreError:
    return StoreError(
        f"{descriptor.digest} is not in the store {root}: {reason}",
        hint="run the same command again: what is missing is fetched anew",
        retryable=True,
    )


def _is_same_file(file: int, path: Path) -> bool:
    try:
        named = path.lstat()
    except FileNotFoundError:
        return False
    held = os.fstat(file)
    return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)
