"""Pull: one image, registry → store. Requests are retried by the registry client; here a cut body is continued.

Blobs come before manifests, so that whatever is cut short leaves nothing that looks whole.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress

from edgelift.errors import BundleError, IntegrityError, StoreError, UnreachableError
from edgelift.oci.content import ContentReader, ContentStore, ImageContent, Ingest
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.download import BlobBody
from edgelift.oci.slots import Slots
from edgelift.oci.source import Source
from edgelift.oci.transfer import Progress, Transfer, copy_in_parallel

STALLED_ATTEMPTS = 6  # in a row without one new byte; a blob that makes progress is never given up
_log = logging.getLogger(__name__)


def pull_content(
    registry: Source,
    repository: str,
    content: ImageContent,
    store: ContentStore,
    *,
    nearby: Sequence[ContentReader] = (),
    progress: Progress | None = None,
) -> Transfer:
    """Bring one image into `store`: what is there already is not asked for, nor are blobs that are `nearby`.

    Raises the first error only after the other blobs have settled, so that a later attempt has less to do.
    """
    present = _present(content.blobs, store)
    if present and progress is not None:
        progress(sum(blob.size for blob in present.values()))
    transfer = Transfer(present=len(present)) + copy_in_parallel(
        lambda blob: pull_blob(registry, repository, blob, store, nearby=nearby, progress=progress),
        [blob for blob in content.blobs if blob.digest not in present],
    )
    for descriptor in content.manifests:
        if not store.exists(descriptor):
            store.write(descriptor, registry.read_manifest(repository, descriptor.digest).raw)
    return transfer


def pull_blob(
    registry: Source,
    repository: str,
    blob: Descriptor,
    store: ContentStore,
    *,
    nearby: Sequence[ContentReader] = (),
    progress: Progress | None = None,
) -> Transfer:
    """Bring one blob into `store`, from the first of `nearby` that has it, else going on where an attempt ended.

    Wrong bytes are fetched once more from the start; a second time they raise `IntegrityError`.
    """
    with store.ingest(blob) as partial:
        if partial is None:
            if progress is not None:
                progress(blob.size)
            return Transfer(present=1)
        if _take(nearby, blob, partial):
            if progress is not None:
                progress(blob.size)
            return Transfer(taken=1, taken_bytes=blob.size)
        try:
            received = _fetch(registry, repository, blob, partial, progress)
        except IntegrityError as error:
            _log.warning("%s from %s/%s; fetching it once more", error.message, registry.host, repository)
            registry.recover(blob, 1, error)
            partial.restart()
            received = _fetch_again(registry, repository, blob, partial)
    return Transfer(moved=1, moved_bytes=received)


def _present(blobs: Sequence[Descriptor], store: ContentStore) -> dict[Digest, Descriptor]:
    """Those of `blobs` that a folder has: threads for them would take more than the look does. Elsewhere none."""
    found = dict[Digest, Descriptor]()
    for blob in blobs if store.root is not None else ():
        with suppress(StoreError):  # whoever pulls it meets that again, and the others settle first
            if store.exists(blob):
                found[blob.digest] = blob
    return found


class BlobStream:
    """The bytes of one blob from `offset` to its end, in chunks, going on after every cut; can be read once.

    They are not checked against the digest. Reading raises `RegistryError` where no request or no body brings anything
    new, and `IntegrityError` where the registry has a blob of another size. `received` counts what came over the wire.
    `held` are the slots of which the caller holds one: no turn is taken there.
    """

    def __init__(
        self, registry: Source, repository: str, blob: Descriptor, offset: int = 0, *, held: Slots | None = None
    ) -> None:
        self.received = 0
        self._held = held
        self._registry = registry
        self._repository = repository
        self._blob = blob
        self._offset = offset

    def __iter__(self) -> Iterator[bytes]:
        stalled = 0
        while self._offset < self._blob.size:
            begun, cut = self._offset, None
            with self._registry.open_blob(self._repository, self._blob, begun, held=self._held) as body:
                try:
                    yield from self._new_bytes(body)
                except UnreachableError as error:
                    cut = error
            if cut is None:
                continue
            stalled = 0 if self._offset > begun else stalled + 1
            if stalled >= STALLED_ATTEMPTS:
                raise _given_up(self._registry, self._repository, self._blob, self._offset, cut) from None
            if stalled or cut.is_timeout:  # a cut costs nothing, but one who stalls may do so after every few bytes
                self._registry.recover(self._blob, stalled, cut)

    def _new_bytes(self, body: BlobBody) -> Iterator[bytes]:
        """What `body` brings beyond what we have: one that begins anew is passed over so far, never appended."""
        position = body.offset
        for chunk in body.chunks:
            self.received += len(chunk)
            known = min(max(0, self._offset - position), len(chunk))
            position += len(chunk)
            if known < len(chunk):
                self._offset = position
                yield chunk[known:] if known else chunk


def _take(nearby: Sequence[ContentReader], blob: Descriptor, partial: Ingest) -> bool:
    """Fill `partial` from nearby and commit it; False where nobody there has the blob as it should be."""
    for reader in nearby:
        if not reader.exists(blob):
            continue
        partial.restart()
        try:
            for chunk in reader.read(blob):
                partial.write(chunk)
            partial.commit()
        except (BundleError, IntegrityError) as error:
            _log.warning("%s; looking elsewhere", error.message)
            partial.restart()
        else:
            return True
    return False


def _fetch(registry: Source, repository: str, blob: Descriptor, partial: Ingest, progress: Progress | None) -> int:
    """Fill `partial` and commit it; the number of bytes that came over the wire."""
    if progress is not None:
        progress(partial.offset)
    stream = BlobStream(registry, repository, blob, partial.offset)
    for chunk in stream:
        partial.write(chunk)
        if progress is not None:
            progress(len(chunk))
    partial.commit()
    return stream.received


def _fetch_again(registry: Source, repository: str, blob: Descriptor, partial: Ingest) -> int:
    try:
        return _fetch(registry, repository, blob, partial, None)
    except IntegrityError as error:
        raise IntegrityError(
            f"{registry.host}/{repository} sends wrong bytes for {blob.digest}, twice: {error.message}",
            hint=error.hint or "push the image to that registry again, or look for a proxy that changes content",
        ) from None


def _given_up(
    registry: Source, repository: str, blob: Descriptor, arrived: int, error: UnreachableError
) -> UnreachableError:
    return UnreachableError(
        f"{registry.host}/{repository} gave no more of {blob.digest} after "
        f"{arrived:,} of {blob.size:,} bytes: {error.message}",
        hint="run the same command again: it continues where it stopped",
    )
