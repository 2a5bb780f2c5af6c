"""Pull: one image, registry → store. Requests are retried by the registry client; here a cut body is continued.

Blobs come before manifests, so that whatever is cut short leaves nothing that looks whole.
"""

import logging
from typing import Protocol

from edgelift.errors import IntegrityError, UnreachableError
from edgelift.oci.content import ContentStore, ImageContent, Ingest
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.registry import Registry
from edgelift.oci.transfer import Progress, Transfer, copy_in_parallel

STALLED_ATTEMPTS = 6  # in a row without one new byte; a blob that makes progress is never given up
_log = logging.getLogger(__name__)


class BlobSink(Protocol):
    """What takes the bytes of one blob, from the first to the last; an `Ingest`, or something that only hashes."""

    @property
    def offset(self) -> int:
        """How many bytes are here; the next `write` continues there."""

    def write(self, chunk: bytes) -> None:
        """Append `chunk`."""

    def restart(self) -> None:
        """Forget what is here; `offset` is 0 again."""


def pull_content(
    registry: Registry, repository: str, content: ImageContent, store: ContentStore, *, progress: Progress | None = None
) -> Transfer:
    """Bring one image into `store`: what is there already is not asked for.

    Raises the first error only after the other blobs have settled, so that a later attempt has less to do.
    """
    transfer = copy_in_parallel(
        lambda blob: pull_blob(registry, repository, blob, store, progress=progress), content.blobs
    )
    for descriptor in content.manifests:
        if not store.exists(descriptor):
            store.write(descriptor, registry.read_manifest(repository, descriptor.digest).raw)
    return transfer


def pull_blob(
    registry: Registry, repository: str, blob: Descriptor, store: ContentStore, *, progress: Progress | None = None
) -> Transfer:
    """Bring one blob into `store`, continuing what an earlier attempt left.

    Wrong bytes are fetched once more from the start; a second time they raise `IntegrityError`.
    """
    with store.ingest(blob) as partial:
        if partial is None:
            if progress is not None:
                progress(blob.size)
            return Transfer(present=1)
        try:
            received = _fetch(registry, repository, blob, partial, progress)
        except IntegrityError as error:
            _log.warning("%s from %s/%s; fetching it once more", error.message, registry.host, repository)
            partial.restart()
            received = _fetch_again(registry, repository, blob, partial)
    return Transfer(moved=1, moved_bytes=received)


def receive_blob(
    registry: Registry, repository: str, blob: Descriptor, sink: BlobSink, progress: Progress | None = None
) -> int:
    """Fill `sink` from the registry, continuing after every cut; the number of bytes that came over the wire.

    The bytes are not checked here. Raises `RegistryError` where no request or no body brings anything new, and
    `IntegrityError` where the registry has a blob of another size.
    """
    received, furthest, stalled = 0, sink.offset, 0
    if progress is not None:
        progress(sink.offset)
    while sink.offset < blob.size:
        body = registry.read_blob(repository, blob, sink.offset)
        if body.offset != sink.offset:  # the registry does not do ranges: begin anew rather than append
            sink.restart()
        begun = furthest
        try:
            for chunk in body.chunks:
                sink.write(chunk)
                received += len(chunk)
                if progress is not None and sink.offset > furthest:
                    progress(sink.offset - furthest)
                furthest = max(furthest, sink.offset)
        except UnreachableError as error:
            stalled = 0 if furthest > begun else stalled + 1
            if stalled >= STALLED_ATTEMPTS:
                raise _given_up(registry, repository, blob, furthest, error) from None
            if stalled:
                registry.channel.back_off(stalled, error)
    return received


def _fetch(registry: Registry, repository: str, blob: Descriptor, partial: Ingest, progress: Progress | None) -> int:
    received = receive_blob(registry, repository, blob, partial, progress)
    partial.commit()
    return received


def _fetch_again(registry: Registry, repository: str, blob: Descriptor, partial: Ingest) -> int:
    try:
        return _fetch(registry, repository, blob, partial, None)
    except IntegrityError as error:
        raise IntegrityError(
            f"{registry.host}/{repository} sends wrong bytes for {blob.digest}, twice: {error.message}",
            hint=error.hint or "push the image to that registry again, or look for a proxy that changes content",
        ) from None


def _given_up(
    registry: Registry, repository: str, blob: Descriptor, arrived: int, error: UnreachableError
) -> UnreachableError:
    return UnreachableError(
        f"{registry.host}/{repository} gave no more of {blob.digest} after "
        f"{arrived:,} of {blob.size:,} bytes: {error.message}",
        hint="run the same command again: it continues where it stopped",
    )
