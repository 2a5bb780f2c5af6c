"""Pull: one image, registry → store. Requests are retried by the registry client; here a cut body is continued.

Blobs come before manifests, so that whatever is cut short leaves nothing that looks whole.
"""

import logging
import random
import time
from collections.abc import Iterator

from edgelift.errors import IntegrityError, RegistryError, UnreachableError
from edgelift.oci.content import ContentStore, ImageContent, Ingest
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.registry import Registry
from edgelift.oci.transfer import Progress, Transfer, copy_in_parallel

STALLED_ATTEMPTS = 6  # in a row without one new byte; a blob that makes progress is never given up
_log = logging.getLogger(__name__)


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
        received = _receive(registry, repository, blob, partial, progress)
        try:
            partial.commit()
        except IntegrityError as error:
            _log.warning("%s from %s/%s; fetching it once more", error.message, registry.host, repository)
            received += _receive(registry, repository, blob, partial, None)
            _commit_again(partial, registry, repository, blob)
    return Transfer(moved=1, moved_bytes=received)


def _receive(
    registry: Registry, repository: str, descriptor: Descriptor, partial: Ingest, progress: Progress | None
) -> int:
    """Fill `partial` from the registry; the number of bytes that came over the wire."""
    if progress is not None:
        progress(partial.offset)
    received, furthest, stalled = 0, partial.offset, 0
    while partial.offset < descriptor.size:
        try:
            for chunk in _body(registry, repository, descriptor, partial):
                partial.write(chunk)
                received += len(chunk)
                if progress is not None and partial.offset > furthest:
                    progress(partial.offset - max(furthest, partial.offset - len(chunk)))
        except RegistryError as error:
            if not error.retryable:
                raise
            stalled = 0 if partial.offset > furthest else stalled + 1
            if stalled >= STALLED_ATTEMPTS:
                raise _given_up(registry, repository, descriptor, partial, error) from None
            _pause(stalled)
        furthest = max(furthest, partial.offset)
    return received


def _body(registry: Registry, repository: str, descriptor: Descriptor, partial: Ingest) -> Iterator[bytes]:
    body = registry.read_blob(repository, descriptor, partial.offset)
    if body.offset != partial.offset:  # the registry does not do ranges: begin anew rather than append
        partial.restart()
    yield from body.chunks
    if partial.offset < descriptor.size:
        raise UnreachableError(f"{registry.host}/{repository} ended {descriptor.digest} early")


def _pause(stalled: int) -> None:
    if stalled:
        time.sleep(random.uniform(0.5, 1.0) * min(30.0, 0.25 * 2**stalled))  # noqa: S311 - jitter, no secret


def _given_up(
    registry: Registry, repository: str, descriptor: Descriptor, partial: Ingest, error: RegistryError
) -> RegistryError:
    return UnreachableError(
        f"{registry.host}/{repository} gave no more of {descriptor.digest} after "
        f"{partial.offset:,} of {descriptor.size:,} bytes: {error.message}",
        hint="run the same command again: it continues where it stopped",
    )


def _commit_again(partial: Ingest, registry: Registry, repository: str, descriptor: Descriptor) -> None:
    try:
        partial.commit()
    except IntegrityError as error:
        raise IntegrityError(
            f"{registry.host}/{repository} sends wrong bytes for {descriptor.digest}, twice: {error.message}",
            hint=error.hint,
        ) from None
