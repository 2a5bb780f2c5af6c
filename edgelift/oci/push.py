"""Push: one image, store or bundle → registry.

Order is the safety: blobs before manifests, children before their index, the tag last.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Literal, Protocol

from edgelift.errors import RefusedError, RegistryError
from edgelift.oci.content import ContentReader, ImageContent, RangeReader, guard_content, unwrap_content_errors
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.registry import Registry
from edgelift.oci.transfer import Progress, Transfer, copy_in_parallel

OnConflict = Literal["fail", "keep", "replace"]
_log = logging.getLogger(__name__)


class Destination(Protocol):
    """A repository and a tag at the registry that is pushed to."""

    @property
    def repository(self) -> str:
        """The repository's name."""

    @property
    def tag(self) -> str:
        """The tag that is set last."""


class KnownBlobs:
    """Where blobs are known to be at one registry, so that each travels once and is mounted into other repositories."""

    def __init__(self) -> None:
        self._homes: dict[Digest, str] = {}
        self._locks: dict[Digest, threading.Lock] = {}
        self._guard = threading.Lock()

    @contextmanager
    def alone(self, digest: Digest) -> Iterator[str | None]:
        """Hold `digest` for one upload at a time; gives a repository that has it, where one is known."""
        with self._guard:
            lock = self._locks.setdefault(digest, threading.Lock())
        with lock:
            yield self._homes.get(digest)

    def home(self, digest: Digest) -> str | None:
        """A repository that has `digest`, where one is known."""
        return self._homes.get(digest)

    def add(self, digest: Digest, repository: str) -> None:
        """Remember that `repository` has `digest`."""
        self._homes[digest] = repository


@unwrap_content_errors()
def push_content(
    source: ContentReader,
    content: ImageContent,
    registry: Registry,
    destination: Destination,
    *,
    known: KnownBlobs,
    on_conflict: OnConflict = "fail",
    force: bool = False,
    progress: Progress | None = None,
) -> Transfer:
    """Bring one image from `source` to `destination`.

    A tag that stands with the right digest is enough: a registry takes no manifest whose content it misses. `force`
    sends everything all the same, for an image that turned out to be broken there. What the registry has already is
    not sent; where it turns out to miss content that it said it had (a cached answer, a lost write), it gets all of it
    again, once. Raises `RefusedError` where the tag stands with another digest and `on_conflict` is `fail`; with `keep`
    nothing is sent then.
    """
    root, repository, tag = content.root, destination.repository, destination.tag
    standing = registry.describe(repository, tag)
    if standing is not None and standing.digest != root.digest:
        if on_conflict == "keep":
            if progress is not None:
                progress(sum(blob.size for blob in content.blobs))
            return Transfer()
        if on_conflict == "fail":
            raise tag_conflict(registry.host, repository, tag, standing.digest, root.digest)
    push = _Push(source, registry, destination, known, progress)
    if force:
        return push.all_again(content)
    if standing is not None and standing.digest == root.digest:
        push.count(sum(blob.size for blob in content.blobs))
        return Transfer(present=len(content.blobs))
    transfer = copy_in_parallel(push.blob, content.blobs)
    try:
        push.manifests_patiently(content.manifests, is_all_sent=transfer.present == 0)
    except RegistryError as error:
        if not error.says_blob_unknown:
            raise
        _log.warning("%s/%s misses content it said it had: sending all of it again", registry.host, repository)
        transfer += push.all_again(content)
    return transfer


def tag_conflict(host: str, repository: str, tag: str, standing: Digest, wanted: Digest) -> RefusedError:
    """The error for a tag that stands at the target with another digest."""
    return RefusedError(
        f"{host}/{repository}:{tag} stands with {standing[:19]}…, not {wanted[:19]}…",
        hint="--on-conflict replace moves the tag, --on-conflict keep leaves it and skips that image",
    )


class _Push:
    """One image on its way to one repository."""

    def __init__(
        self,
        source: ContentReader,
        registry: Registry,
        destination: Destination,
        known: KnownBlobs,
        progress: Progress | None,
    ) -> None:
        self._source = source
        self._registry = registry
        self._repository = destination.repository
        self._tag = destination.tag
        self._known = known
        self._progress = progress

    def blob(self, descriptor: Descriptor) -> Transfer:
        """Send one blob, or mount it from where it is known to be."""
        sent = _Sent(self.count)
        transfer = self._upload(descriptor, sent, force=False)
        sent.reach(descriptor.size)
        return transfer

    def manifests_patiently(self, manifests: Sequence[Descriptor], *, is_all_sent: bool) -> None:
        """As `manifests`; a registry that misses what it has just taken gets a moment to find it."""
        try:
            self.manifests(manifests)
        except RegistryError as error:
            if not (is_all_sent and error.says_blob_unknown):
                raise
            self._registry.channel.back_off(1, error)
            self.manifests(manifests)

    def all_again(self, content: ImageContent) -> Transfer:
        """Send every blob and manifest, whatever the registry says it has."""
        transfer = copy_in_parallel(lambda blob: self._upload(blob, _Sent(), force=True), content.blobs)
        self.manifests(content.manifests, force=True)
        return transfer

    def manifests(self, manifests: Sequence[Descriptor], *, force: bool = False) -> None:
        """Send what is missing under its digest, in the order given, and the last one under the tag.

        What is sent under a tag can be had by its digest as well, and both come at once. `force` sends all of them,
        whatever the registry says it has.
        """
        for descriptor in manifests[:-1]:
            if force or self._registry.describe(self._repository, descriptor.digest) is None:
                self._write(descriptor.digest, descriptor)
        self._write(self._tag, manifests[-1])

    def count(self, size: int) -> None:
        """Tell whoever wants to know that `size` bytes more are there."""
        if self._progress is not None:
            self._progress(size)

    def _upload(self, descriptor: Descriptor, sent: "_Sent", *, force: bool) -> Transfer:
        source = self._source
        with self._known.alone(descriptor.digest) as home:
            outcome = self._registry.upload_blob(
                self._repository,
                descriptor,
                lambda: sent.read(self._source.read(descriptor)),
                read_range=partial(source.read_range, descriptor) if isinstance(source, RangeReader) else None,
                mount_from=None if force or home == self._repository else home,
                force=force,
            )
            if home is None or outcome == "uploaded":  # a registry's "it is here" may be wrong: what is known stays
                self._known.add(descriptor.digest, self._repository)
        if outcome == "uploaded":
            return Transfer(moved=1, moved_bytes=descriptor.size)
        return Transfer(mounted=1) if outcome == "mounted" else Transfer(present=1)

    def _write(self, selector: str, descriptor: Descriptor) -> None:
        raw = b"".join(guard_content(self._source.read(descriptor)))
        self._registry.write_manifest(self._repository, selector, raw, descriptor.media_type)


class _Sent:
    """Tells `count` of the bytes of one blob as they leave, of each once, however often they are sent."""

    def __init__(self, count: Progress | None = None) -> None:
        self._count = count
        self._told = 0

    def read(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The `chunks` from the first byte of the blob on; one counts once the next is asked for."""
        position = 0
        for chunk in chunks:
            yield chunk
            position += len(chunk)
            self.reach(position)

    def reach(self, position: int) -> None:
        """All bytes before `position` are there."""
        if self._count is not None and position > self._told:
            self._count(position - self._told)
            self._told = position
