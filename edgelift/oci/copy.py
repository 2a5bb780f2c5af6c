"""Copy: one image, registry → registry. Content passes through memory; no blob touches the disk."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from edgelift.errors import IntegrityError, UnreachableError
from edgelift.oci.content import ContentReader, ImageContent
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.pull import BlobStream
from edgelift.oci.push import Destination, KnownBlobs, OnConflict, push_content
from edgelift.oci.registry import Registry
from edgelift.oci.slots import Slots
from edgelift.oci.source import Source
from edgelift.oci.transfer import Progress, Transfer


@dataclass(frozen=True)
class Origin:
    """Where an image is copied from. `manifests` holds its manifests, which were read when it was pinned.

    One that it has lost since is read from the registry.
    """

    registry: Source
    repository: str
    manifests: ContentReader


def copy_content(
    origin: Origin,
    content: ImageContent,
    registry: Registry,
    destination: Destination,
    *,
    known: KnownBlobs,
    on_conflict: OnConflict = "fail",
    force: bool = False,
    progress: Progress | None = None,
) -> Transfer:
    """Bring one image from `origin` to `destination` at `registry`, as `push_content` does.

    Inside one registry blobs are mounted, where it does that.
    """
    if origin.registry is registry:
        for blob in content.blobs:
            known.add(blob.digest, origin.repository)
    source = PassingContent(origin, content, registry.channel.slots)
    return push_content(
        source, content, registry, destination, known=known, on_conflict=on_conflict, force=force, progress=progress
    )


class PassingContent:
    """The content of an image, read while it is sent on. Implements `oci.content.ContentReader`.

    Whoever reads a blob holds one of the slots `held`, which may be those of the registry that it is read from.
    """

    def __init__(self, origin: Origin, content: ImageContent, held: Slots) -> None:
        self._origin = origin
        self._manifests = frozenset(manifest.digest for manifest in content.manifests)
        self._held = held
        self._wrong: set[Digest] = set()
        self._lock = threading.Lock()

    def exists(self, descriptor: Descriptor) -> bool:
        """Whether the content is there with the descriptor's size."""
        origin, digest = self._origin, descriptor.digest
        if digest not in self._manifests:
            return origin.registry.blob_size(origin.repository, digest) == descriptor.size
        if origin.manifests.exists(descriptor):
            return True
        found = origin.registry.describe(origin.repository, digest)
        return found is not None and found.size == descriptor.size

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """The content in chunks, hashed on the way; the last one is given only where all is right.

        Wrong bytes raise a retryable `UnreachableError` the first time and `IntegrityError` the second.
        """
        if descriptor.digest in self._manifests:
            yield self._manifest(descriptor)
            return
        origin = self._origin
        hasher, held = descriptor.digest.hasher(), b""
        for chunk in BlobStream(origin.registry, origin.repository, descriptor, held=self._held):
            if held:
                yield held
            hasher.update(chunk)
            held = chunk
        if hasher.hexdigest() != descriptor.digest.hex:
            error = self._mismatch(descriptor)
            origin.registry.recover(descriptor, 1, IntegrityError(error.message))
            raise error
        if held:
            yield held

    def _manifest(self, descriptor: Descriptor) -> bytes:
        origin = self._origin
        if origin.manifests.exists(descriptor):
            with suppress(IntegrityError):  # the store has put aside what was damaged
                return b"".join(origin.manifests.read(descriptor))
        return origin.registry.read_manifest(origin.repository, descriptor.digest).raw

    def _mismatch(self, descriptor: Descriptor) -> UnreachableError | IntegrityError:
        place = f"{self._origin.registry.host}/{self._origin.repository}"
        with self._lock:
            is_first = descriptor.digest not in self._wrong
            self._wrong.add(descriptor.digest)
        if is_first:
            return UnreachableError(f"{place} sends wrong bytes for {descriptor.digest}", retryable=True)
        return IntegrityError(
            f"{place} sends wrong bytes for {descriptor.digest}, twice",
            hint="push the image to that registry again, or look for a proxy that changes content",
        )
