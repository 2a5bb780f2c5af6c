"""Assemble: a lock and the content it names become one bundle. The same lock gives the same bytes, always.

Content streams through in pieces: one buffer of 8 MiB that it is read into, three of 4 MiB that are written from, and a
few MiB that are to be compressed.
"""

import errno
import fcntl
import glob
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgelift.bundle.container import END_OF_TAR, RAW_LIMIT, Blob, Container, documents_of
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.output import OutputFile
from edgelift.bundle.seekable import FrameEncoder, Part, split
from edgelift.documents import remove_document, write_document
from edgelift.errors import EdgeliftError, IntegrityError, StoreError
from edgelift.oci.content import BufferReader
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest

if TYPE_CHECKING:
    from edgelift.bundle.signature import PrivateKey

Progress = Callable[[int], None]  # bytes of content done since the last call

_COMPRESSORS = min(4, os.cpu_count() or 1)
_YOUNG = 60.0  # seconds; a file may be so young that its writer has not locked it yet
SIGNATURE_SUFFIX = ".sig"
_NAMED = 5  # things listed in a message before "and … more"


@dataclass(frozen=True)
class BundleSummary:
    """A finished bundle: `size` is that of the file, `content_size` the sum of its `blobs`, both in bytes.

    `digest` is that of a file that was verified and hashed in one go, where that was asked for.
    """

    path: Path
    size: int
    images: int
    blobs: int
    content_size: int
    digest: Digest | None = None


def assemble_bundle(
    lock: BundleLock,
    source: BufferReader,
    path: Path,
    *,
    progress: Progress | None = None,
    confirm: Callable[[], None] | None = None,
    key: "PrivateKey | None" = None,
    lock_signature: bytes | None = None,
) -> BundleSummary:
    """Write the bundle of `lock` to `path`, with content from `source`; an existing file is replaced once all is well.

    With a `key` the lock in it is signed, and so is the file, beside it; a signature of what stood there before goes.
    `lock_signature` is one of the lock that was made before.

    `source` checks the digests of what it gives. Raises `StoreError` where content is missing and `IntegrityError`
    where it is wrong, naming the images that need it; `StoreError` where the disk does not take the file; `BundleError`
    where the lock is at odds with itself. Nothing is left behind then, nor where `confirm` raises, which is called when
    all is written but has no name yet.
    """
    signature = key.sign(lock.digest) if key is not None else lock_signature
    container, parts = lay_out_bundle(lock, source, lock_signature=signature, progress=progress)
    hasher = hashlib.sha256() if key is not None else None
    with _file_at(path, container.size) as file, OutputFile(file, hasher) as output:
        output.write(parts)
        output.finish()
        if confirm is not None:
            confirm()
        size = os.fstat(file).st_size
    if key is not None and hasher is not None:
        write_document(signature_path(path), key.sign(Digest(f"sha256:{hasher.hexdigest()}")))
    return BundleSummary(path, size, len(lock.images), len(container.blobs), container.content_size)


def lay_out_bundle(
    lock: BundleLock,
    source: BufferReader,
    *,
    lock_signature: bytes | None = None,
    progress: Progress | None = None,
) -> tuple[Container, Iterator[Part]]:
    """What the bundle of `lock` consists of, and its bytes in parts, each to be used before the next is asked for.

    Raises what `assemble_bundle` does: for missing content at once, for wrong content as the parts are taken.
    """
    documents = documents_of(lock, lock_signature)
    container = Container.of(lock, {name: len(content) for name, content in documents.items()})
    _require_content(container, lock, source)
    buffer = memoryview(bytearray(RAW_LIMIT))  # as large as a frame of raw blocks, so that most frames are one chunk
    contents = _Contents(lock, source, buffer, progress or _ignore)
    return container, _frames(container, _tar(container, documents, contents), lock.definition.compression_level)


def signature_path(path: Path) -> Path:
    """Where the signature of the file at `path` stands."""
    return path.with_name(f"{path.name}{SIGNATURE_SUFFIX}")


@dataclass(frozen=True)
class _Contents:
    """The content of a lock, with errors that name the images that need it."""

    lock: BundleLock
    source: BufferReader
    buffer: memoryview
    progress: Progress

    def read(self, descriptor: Descriptor) -> Iterator[memoryview]:
        """The content, of exactly the size that `descriptor` says."""
        missing = descriptor.size
        try:
            for chunk in self.source.read_into(self.buffer, descriptor):
                missing -= len(chunk)
                if missing < 0:
                    break
                yield chunk
                self.progress(len(chunk))
        except EdgeliftError as error:
            kind = IntegrityError if isinstance(error, IntegrityError) else StoreError
            message = f"{error.message}; {_needed_by(self.lock, descriptor)}"
            raise kind(message, hint=error.hint, retryable=error.retryable) from error
        if missing:
            raise IntegrityError(
                f"{descriptor.digest} does not have {descriptor.size:,} bytes; {_needed_by(self.lock, descriptor)}",
                hint="pull these images again",
            )


def _require_content(container: Container, lock: BundleLock, source: BufferReader) -> None:
    """See before any work that everything is there: what is missing is told at once, not one blob a run."""
    missing = [blob.descriptor.digest for blob in container.blobs if not source.exists(blob.descriptor)]
    if missing:
        raise StoreError(
            f"not here: {_listed(missing)}, needed by {_listed(_references(lock, set(missing)))}",
            hint="pull these images again",
        )


def _tar(container: Container, documents: Mapping[str, bytes], contents: _Contents) -> Iterator[Part]:
    for member in container.members:
        yield member.header
        if isinstance(member, Blob):
            yield from contents.read(member.descriptor)
        else:
            yield documents[member.name]
        yield member.padding
    yield END_OF_TAR


def _frames(container: Container, tar: Iterator[Part], level: int) -> Iterator[Part]:
    """The file: frame by frame, then what closes it."""
    encoder = FrameEncoder(level)
    spans = list(container.frames())
    pieces = split(tar, (span.stop - span.start for span in spans))
    frames = ((each, span.stop - span.start, span.is_raw) for span, each in zip(spans, pieces, strict=True))
    with ThreadPoolExecutor(_COMPRESSORS, thread_name_prefix="compress") as pool:
        yield from encoder.encode_all(frames, pool)
    yield encoder.closing()


@contextmanager
def _file_at(path: Path, need: int) -> Iterator[int]:
    """A file that gets the name `path` when the block is done, and is gone when it fails."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            _lock(file)
            yield file
            remove_document(signature_path(path))  # that of what is replaced now
            temporary.replace(path)
        finally:
            os.close(file)
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise _write_error(path, need, error) from None


def _remove_leftovers(path: Path) -> None:
    """Remove what killed runs left of the file for `path`: as large as a bundle, and hidden."""
    for each in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 8}"):
        with suppress(OSError):  # not ours, or locked: another run is writing it
            file = os.open(each, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(file).st_mtime > _YOUNG:
                    each.unlink()
            finally:
                os.close(file)


def _lock(file: int) -> None:
    """Say that `file` is being written; without locks on that disk nothing is ever removed there."""
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sync_folder(folder: Path) -> None:
    """Make the new name durable; some network file systems refuse that, and the bundle is none the worse for it."""
    with suppress(OSError):
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def _write_error(path: Path, need: int, error: OSError) -> StoreError:
    if error.errno == errno.EFBIG:
        return StoreError(
            f"cannot write {path}: it needs up to {need:,} bytes, more than this disk or a limit allows for one file",
            hint="FAT32 takes 4 GiB a file: format the disk as exFAT or write elsewhere; `ulimit -f` shows a limit",
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        folder = next(each for each in (path.absolute(), *path.absolute().parents) if each.is_dir())
        free = shutil.disk_usage(folder).free
        return StoreError(
            f"cannot write {path}: the disk is full; up to {need:,} bytes are needed, {free:,} are free",
            hint="free some space or choose another folder, then run the same command again",
        )
    return StoreError(
        f"cannot write {path}: {error.strerror}", hint="check that the folder can be written to, or choose another"
    )


def _needed_by(lock: BundleLock, descriptor: Descriptor) -> str:
    return "needed by " + _listed(_references(lock, {descriptor.digest}))


def _references(lock: BundleLock, digests: Set[Digest]) -> list[str]:
    return [
        image.reference
        for image in lock.images
        if any(each.digest in digests for each in (*image.manifests, *image.blobs))
    ]


def _listed(things: Sequence[str]) -> str:
    return ", ".join(things[:_NAMED]) + (f" and {len(things) - _NAMED} more" if len(things) > _NAMED else "")


def _ignore(_: int) -> None:
    """No progress is wanted."""
