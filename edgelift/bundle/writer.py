"""Assemble: a lock and the content it names become one bundle. The same lock gives the same bytes, always.

Content streams through in pieces: one buffer of 8 MiB that it is read into, three of 4 MiB that are written from, and a
few MiB that are to be compressed.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgelift.bundle.container import END_OF_TAR, RAW_LIMIT, Blob, Container, documents_of
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.output import OutputFile
from edgelift.bundle.parts import index_path
from edgelift.bundle.parts_output import remove_parts, write_in_parts
from edgelift.bundle.placing import HiddenFile, signature_path, sync_names, writing
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
_NAMED = 5  # things listed in a message before "and … more"


@dataclass(frozen=True)
class BundleSummary:
    """A finished bundle: `size` is that of the file, `content_size` the sum of its `blobs`, both in bytes.

    `digest` is that of a file that was verified and hashed in one go, where that was asked for. Where it is in `parts`,
    `path` is their index, and `size` and `digest` are those of all of them together.
    """

    path: Path
    size: int
    images: int
    blobs: int
    content_size: int
    digest: Digest | None = None
    parts: tuple[Path, ...] = ()


def assemble_bundle(
    lock: BundleLock,
    source: BufferReader,
    path: Path,
    *,
    progress: Progress | None = None,
    confirm: Callable[[], None] | None = None,
    key: "PrivateKey | None" = None,
    lock_signature: bytes | None = None,
    part_size: int | None = None,
) -> BundleSummary:
    """Write the bundle of `lock` to `path`, with content from `source`; an existing file is replaced once all is well.

    With a `key` the lock in it is signed, and so is the file, beside it; a signature of what stood there before goes.
    `lock_signature` is one of the lock that was made before. With a `part_size` (bytes) it is written in parts; what
    stood under that name goes in either case, in parts or not.

    `source` checks the digests of what it gives. Raises `StoreError` where content is missing and `IntegrityError`
    where it is wrong, naming the images that need it; `StoreError` where the disk does not take the file; `BundleError`
    where the lock is at odds with itself. Nothing is left behind then, nor where `confirm` raises, which is called when
    all is written but has no name yet.
    """
    signature = key.sign(lock.digest) if key is not None else lock_signature
    container, parts = lay_out_bundle(lock, source, lock_signature=signature, progress=progress)
    counts = len(lock.images), len(container.blobs), container.content_size
    if part_size is not None:
        index = write_in_parts(path, part_size, parts, container.size, confirm=confirm, key=key)
        files = tuple(path.with_name(part.name) for part in index.parts)
        return BundleSummary(index_path(path), index.size, *counts, parts=files)
    hasher = hashlib.sha256()
    with writing(path, container.size), HiddenFile(path) as file:
        with OutputFile(file.number, (hasher,) if key is not None else ()) as output:
            output.write(parts)
            output.finish()
        if confirm is not None:
            confirm()
        size = os.fstat(file.number).st_size
        remove_document(signature_path(path))  # that of what is replaced now
        file.reveal()
        remove_parts(path)
        sync_names(path.parent)
    if key is not None:
        write_document(signature_path(path), key.sign(Digest(f"sha256:{hasher.hexdigest()}")))
    return BundleSummary(path, size, *counts)


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


def _needed_by(lock: BundleLock, descriptor: Descriptor) -> str:
    return "needed by " + _listed(_references(lock, {descriptor.digest}))


def _references(lock: BundleLock, digests: Set[Digest]) -> list[str]:
    images = [
        image.reference
        for image in lock.images
        if any(each.digest in digests for each in (*image.all_manifests, *image.all_blobs))
    ]
    definition = lock.cluster_definition
    if definition is not None and definition.digest in digests:
        return [f"the cluster definition {definition.name}", *images]
    return images


def _listed(things: Sequence[str]) -> str:
    return ", ".join(things[:_NAMED]) + (f" and {len(things) - _NAMED} more" if len(things) > _NAMED else "")


def _ignore(_: int) -> None:
    """No progress is wanted."""
