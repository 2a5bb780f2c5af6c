"""Pushing a delta: what it leaves out is mounted at the target, or read there where a registry does not mount."""

from collections.abc import Iterator

from edgelift.bundle.reader import BundleReader
from edgelift.errors import BundleError, NotFoundError
from edgelift.oci.content import ContentReader, ImageContent
from edgelift.oci.copy import Origin, PassingContent
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.push import KnownBlobs
from edgelift.oci.registry import Registry


def complete_content(content: ContentReader, registry: Registry, known: KnownBlobs) -> ContentReader:
    """`content`; where it is a delta, with what that leaves out, from where it is `known` to be at `registry`."""
    if isinstance(content, BundleReader) and content.lock.base is not None:
        return _CompletedDelta(content, registry, known)
    return content


class _CompletedDelta:
    """A delta and what it goes on top of, as one. Implements `oci.content.RangeReader`."""

    def __init__(self, delta: BundleReader, registry: Registry, known: KnownBlobs) -> None:
        self._delta = delta
        self._registry = registry
        self._known = known

    def exists(self, descriptor: Descriptor) -> bool:
        """Whether the delta has the content, or the registry is known to."""
        return self._delta.exists(descriptor) or self._known.home(descriptor.digest) is not None

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """The content in chunks, hashed on the way; errors are those of the bundle, and of the registry."""
        home = self._known.home(descriptor.digest)
        if self._delta.exists(descriptor) or home is None:
            yield from self._delta.read(descriptor)
            return
        origin = Origin(self._registry, home, self._delta)
        passing = PassingContent(origin, ImageContent((), (descriptor,)), self._registry.channel.slots)
        try:
            yield from passing.read(descriptor)
        except NotFoundError as error:
            raise BundleError(
                f"{self._delta.name} leaves out {descriptor.digest}, and {self._registry.host} has lost it: "
                f"{error.message}",
                hint=f"push what it is a delta of again: {self._delta.lock.base}",
            ) from None

    def read_range(self, descriptor: Descriptor, start: int, stop: int) -> Iterator[bytes]:
        """Bytes `start` to `stop` (exclusive); what the delta leaves out is read from its first byte."""
        if self._delta.exists(descriptor):
            yield from self._delta.read_range(descriptor, start, stop)
            return
        position = 0
        for chunk in self.read(descriptor):
            part = chunk[max(0, start - position) : max(0, stop - position)]
            position += len(chunk)
            if part:
                yield part
