"""Read-only registry content: what a bundle or a store holds, each image under the host that it came from.

`quay.io/kairos/ubuntu:24.04` is served as the repository `quay.io/kairos/ubuntu`; the colon of a port becomes an
underscore, as it does at a target registry. Blobs can be read only through the repositories whose images need them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edgelift.bundle.lock import BundleLock
from edgelift.errors import BundleError, IntegrityError
from edgelift.oci.content import ContentReader, PassageReader
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import INDEX_TYPES, MANIFEST_LIMIT, MANIFEST_TYPES, is_foreign, parse_manifest
from edgelift.oci.reference import ImageReference
from edgelift.serve.content import Served, select_referrers
from edgelift.serve.part import BlobPart
from edgelift.serve.proof import Proofs
from edgelift.sizes import count


class LockedReader(PassageReader, Protocol):
    """An open bundle: its content, and the lock that says what the content is."""

    @property
    def lock(self) -> BundleLock:
        """What the bundle holds."""


class NamedReader(PassageReader, Protocol):
    """A store: its content, and the references of its images."""

    def references(self) -> Mapping[str, Descriptor]:
        """The tagged manifests by full reference."""


@dataclass
class _Repository:
    tags: dict[str, Descriptor] = field(default_factory=dict)
    manifests: dict[Digest, Descriptor] = field(default_factory=dict)
    blobs: dict[Digest, Descriptor] = field(default_factory=dict)


class PinnedContent:
    """Content that does not change while it is served. Implements `RegistryContent`."""

    def __init__(self, reader: PassageReader, *, is_signed: bool = False) -> None:
        """Where the content `is_signed`, no blob's last byte leaves before its digest is right, ranges included."""
        self._reader = reader
        self._is_signed = is_signed
        self._proofs = Proofs(reader, always_hash=is_signed)
        self._repositories: dict[str, _Repository] = {}

    def add(
        self, reference: str, root: Descriptor, manifests: Iterable[Descriptor], blobs: Iterable[Descriptor]
    ) -> None:
        """Serve one image under its reference; a tag that is taken already stays where it is."""
        parsed = ImageReference.parse(reference)
        repository = self._repositories.setdefault(repository_name(parsed), _Repository())
        repository.manifests |= {each.digest: each.plain() for each in manifests}
        repository.blobs |= {each.digest: each.plain() for each in blobs}
        if parsed.tag is not None:
            repository.tags.setdefault(parsed.tag, root.plain())

    def repositories(self) -> Sequence[str]:
        """All repositories, sorted."""
        return sorted(self._repositories)

    def tags(self, repository: str) -> Sequence[str] | None:
        """The tags, in any order."""
        found = self._repositories.get(repository)
        return None if found is None else tuple(found.tags)

    def resolve(self, repository: str, selector: str | Digest) -> Served | None:
        """The manifest of a tag or a digest."""
        found = self._repositories.get(repository, _NOTHING)
        descriptor = found.manifests.get(selector) if isinstance(selector, Digest) else found.tags.get(selector)
        return None if descriptor is None else (descriptor, _read_manifest(self._reader, descriptor))

    def referrers(self, repository: str, subject: Digest) -> Sequence[Descriptor]:
        """The manifests that name `subject`."""
        manifests = self._repositories.get(repository, _NOTHING).manifests.values()
        return select_referrers(subject, ((each, _read_manifest(self._reader, each)) for each in manifests))

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        """The size of a blob that an image of the repository needs."""
        blob = self._repositories.get(repository, _NOTHING).blobs.get(digest)
        return blob.size if blob is not None and self._reader.exists(blob) else None

    def read_blob_range(self, repository: str, digest: Digest, start: int, stop: int) -> BlobPart:
        """Bytes `start` to `stop` (exclusive); a whole blob is checked against its digest before its last byte."""
        blob = self._repositories[repository].blobs[digest]
        if stop == blob.size and (start == 0 or self._is_signed):
            return BlobPart(self._reader.passage(blob, 0, stop), start, stop, self._proofs.check(blob))
        return BlobPart(self._reader.passage(blob, start, stop), start, stop)


class BundleContent(PinnedContent):
    """The images of an open bundle."""

    def __init__(self, bundle: LockedReader, *, is_signed: bool = False) -> None:
        """Raises `BundleError` for a delta: what it leaves out could not be served."""
        super().__init__(bundle, is_signed=is_signed)
        if bundle.lock.base is not None:
            blobs = count(len(bundle.lock.left_out), "blob")
            raise BundleError(
                f"this bundle leaves out {blobs}: it is a delta of {bundle.lock.base}",
                hint="push it to a registry that has its base, or build it without --base to serve it",
            )
        for image in bundle.lock.images:
            self.add(image.reference, image.descriptor, image.manifests, image.blobs)
            for referrer in image.referrers:
                self.add(image.name_of(referrer), referrer.descriptor, referrer.manifests, referrer.blobs)


class StoreContent(PinnedContent):
    """The images that a store has when this is made; raises what `read` of the store raises for a damaged one."""

    def __init__(self, store: NamedReader) -> None:
        super().__init__(store)
        for reference, root in sorted(store.references().items()):
            self.add(reference, root, *_walk(store, root))


def repository_name(reference: ImageReference) -> str:
    """The repository that an image is served under: its host and its path, in characters a repository may have."""
    host = re.sub(r"[^a-z0-9.-]+", "_", reference.registry).strip("_")
    return f"{host}/{reference.repository}"


_NOTHING = _Repository()


def _walk(reader: ContentReader, root: Descriptor) -> tuple[list[Descriptor], list[Descriptor]]:
    """The manifests and the blobs of an image; content that registries do not distribute is left out."""
    manifests: dict[Digest, Descriptor] = {}
    blobs: dict[Digest, Descriptor] = {}
    waiting = [root]
    while waiting:
        descriptor = waiting.pop()
        if descriptor.digest in manifests:
            continue
        manifests[descriptor.digest] = descriptor
        if descriptor.media_type not in MANIFEST_TYPES | INDEX_TYPES:
            continue
        manifest = parse_manifest(_read_manifest(reader, descriptor), descriptor.media_type, descriptor.digest)
        waiting += manifest.children
        blobs |= {blob.digest: blob for blob in manifest.blobs if not is_foreign(blob)}
    return list(manifests.values()), list(blobs.values())


def _read_manifest(reader: ContentReader, descriptor: Descriptor) -> bytes:
    if descriptor.size > MANIFEST_LIMIT:
        raise IntegrityError(f"{descriptor.digest} has {descriptor.size:,} bytes: too many for a manifest")
    return b"".join(reader.read(descriptor))
