"""The bundle lock: what a definition resolved to, digest by digest. The same content always gives the same bytes."""

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, FailFast, ValidationError, model_validator

from edgelift.bundle.definition import BundleDefinition, CanonicalReference
from edgelift.errors import ConfigurationError
from edgelift.explain import explain
from edgelift.oci.content import ImageContent
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import is_foreign

FORMAT: Literal["edgelift.lock/v1"] = "edgelift.lock/v1"
# The first wrong entry is enough: a bundle's lock is a stranger's, and errors take far more memory than what is wrong.
Descriptors = Annotated[tuple[Descriptor, ...], FailFast()]


class LockedImage(BaseModel):
    """One image, pinned.

    `descriptor` is what is bundled, tagged and compared. `manifests` holds it and all that it names, children before
    parents; `blobs` holds configs and layers, each once. `external` are layers that may not be distributed and that its
    registry does not have: they are left to the hosts. `index` is the index that the descriptor was
    chosen from when one architecture was asked for: signatures on it will not verify against the chosen manifest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: CanonicalReference
    descriptor: Descriptor
    manifests: Descriptors
    blobs: Descriptors
    external: Descriptors = ()
    index: Digest | None = None

    @model_validator(mode="after")
    def _ends_with_its_descriptor(self) -> Self:
        if not self.manifests or self.manifests[-1].digest != self.descriptor.digest:
            raise ValueError("the last of its manifests is not the one that its descriptor names")
        return self

    @model_validator(mode="after")
    def _leaves_out_only_what_may_not_be_distributed(self) -> Self:
        if not all(map(is_foreign, self.external)):
            raise ValueError("one of its external layers may be distributed")
        return self

    @property
    def content(self) -> ImageContent:
        """What a copy of this image has to bring."""
        return ImageContent(self.manifests, self.blobs)

    def missing(self, named: Iterable[Descriptor]) -> list[Descriptor]:
        """Which blobs, as manifests have `named` them, are neither carried nor external layers that may be left out."""
        carried = {blob.digest for blob in self.blobs}
        external = {layer.digest for layer in self.external}
        return [
            blob for blob in named if blob.digest not in carried and not (is_foreign(blob) and blob.digest in external)
        ]

    @property
    def size(self) -> int:
        """Bytes of everything, shared content included."""
        return sum(each.size for each in (*self.manifests, *self.blobs))


class BundleLock(BaseModel):
    """Every image of a definition, pinned, in the order of their references."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["edgelift.lock/v1"] = FORMAT
    definition: BundleDefinition
    images: Annotated[tuple[LockedImage, ...], FailFast()]

    def unique_manifests(self) -> tuple[Descriptor, ...]:
        """Every manifest once, in lock order."""
        return _unique(each for image in self.images for each in image.manifests)

    def unique_blobs(self) -> tuple[Descriptor, ...]:
        """Every config and layer once, in lock order."""
        return _unique(each for image in self.images for each in image.blobs)

    @property
    def unique_size(self) -> int:
        """Bytes of all manifests and blobs, each counted once."""
        return sum(each.size for each in (*self.unique_manifests(), *self.unique_blobs()))

    def largest_first(self) -> tuple[LockedImage, ...]:
        """The images in the order of their largest blobs, so that no large one is left to travel alone in the end."""
        return tuple(
            sorted(self.images, key=lambda image: max((blob.size for blob in image.blobs), default=0), reverse=True)
        )

    def to_json(self) -> bytes:
        """The canonical bytes: sorted keys, two spaces, no empty members, a newline at the end."""
        document = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @property
    def digest(self) -> Digest:
        """The digest of the canonical bytes."""
        return Digest.of(self.to_json())

    @classmethod
    def from_json(cls, content: bytes | str, where: str = "the lock") -> Self:
        """Read a lock; raises `ConfigurationError` that names `where` and every wrong key."""
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise ConfigurationError(f"{where} is not a bundle lock: {explain(error)}") from None


def _unique(descriptors: Iterator[Descriptor]) -> tuple[Descriptor, ...]:
    return tuple({each.digest: each for each in descriptors}.values())
