"""The bundle lock: what a definition resolved to, digest by digest. The same content always gives the same bytes."""

import json
from collections.abc import Iterable, Iterator, Set
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, ValidationError, model_validator

from edgelift.bundle.cluster_definition import LockedClusterDefinition
from edgelift.bundle.definition import BundleDefinition, BundleName, CanonicalReference
from edgelift.errors import ConfigurationError
from edgelift.explain import explain
from edgelift.oci.content import ImageContent
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import is_foreign
from edgelift.oci.reference import ImageReference

FORMAT: Literal["edgelift.lock/v1"] = "edgelift.lock/v1"
# The first wrong entry is enough: a bundle's lock is a stranger's, and errors take far more memory than what is wrong.
Descriptors = Annotated[tuple[Descriptor, ...], FailFast()]


ArtifactKind = Literal["chart", "pack"]


class LockedImage(BaseModel):
    """One image, pinned, or another artifact of the `kind` that it says.

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
    kind: ArtifactKind | None = None

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

    def content_without(self, left_out: Set[Digest]) -> ImageContent:
        """What a copy of this image has to bring where blobs are `left_out`."""
        return ImageContent(self.manifests, tuple(blob for blob in self.blobs if blob.digest not in left_out))

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


def _repository_name(text: str) -> str:
    try:
        name = ImageReference.parse(text).name
    except ConfigurationError as error:
        raise ValueError(error.message) from None
    if name != text:
        raise ValueError("it is not registry and repository, and nothing else")
    return text


RepositoryName = Annotated[str, AfterValidator(_repository_name)]


class LeftOut(BaseModel):
    """Blobs, by rising digests, that the base has brought under `name` (registry and repository)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: RepositoryName
    blobs: Annotated[tuple[Digest, ...], FailFast()]

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if not self.blobs or list(self.blobs) != sorted(set(self.blobs)):
            raise ValueError("its blobs are not in their order, each once")
        return self


class LockBase(BaseModel):
    """What a delta goes on top of: a bundle of this `name`, with the digest of its `lock`.

    `left_out` is what the site has from there and the delta does not carry, by rising names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: BundleName
    lock: Digest
    left_out: Annotated[tuple[LeftOut, ...], FailFast()]

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        names = [each.name for each in self.left_out]
        digests = [digest for each in self.left_out for digest in each.blobs]
        if not names or names != sorted(set(names)) or len(digests) != len(set(digests)):
            raise ValueError("what it leaves out is not in its order, each once")
        return self

    def __str__(self) -> str:
        return f"{self.name} (lock {self.lock})"


class BundleLock(BaseModel):
    """Every image of a definition, pinned, in the order of their references.

    That of a delta has a `base`: its images are named as a whole, but not all of their blobs are carried.
    A `cluster_definition` travels beside the images, also with a delta.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["edgelift.lock/v1"] = FORMAT
    definition: BundleDefinition
    images: Annotated[tuple[LockedImage, ...], FailFast()]
    base: LockBase | None = None
    cluster_definition: LockedClusterDefinition | None = None

    @model_validator(mode="after")
    def _leaves_out_blobs_of_its_images(self) -> Self:
        if self.base is not None:
            manifests, blobs = ({each.digest for each in of()} for of in (self.unique_manifests, self.unique_blobs))
            if not self.left_out <= blobs - manifests:
                raise ValueError("it leaves out what is no blob of its images")
        return self

    @property
    def left_out(self) -> frozenset[Digest]:
        """The blobs that the base has brought, and that are not carried."""
        return frozenset(digest for each in (self.base.left_out if self.base else ()) for digest in each.blobs)

    def unique_manifests(self) -> tuple[Descriptor, ...]:
        """Every manifest once, in lock order."""
        return _unique(each for image in self.images for each in image.manifests)

    def unique_blobs(self) -> tuple[Descriptor, ...]:
        """Every config and layer once, in lock order."""
        return _unique(each for image in self.images for each in image.blobs)

    @property
    def attached(self) -> tuple[Descriptor, ...]:
        """What is carried beside the images: the cluster definition, where there is one."""
        return (self.cluster_definition.descriptor,) if self.cluster_definition is not None else ()

    @property
    def unique_size(self) -> int:
        """Bytes of all manifests and blobs, each counted once."""
        return sum(each.size for each in (*self.unique_manifests(), *self.unique_blobs()))

    @property
    def left_out_size(self) -> int:
        """Bytes of the blobs that are not carried."""
        left_out = self.left_out
        return sum(blob.size for blob in self.unique_blobs() if blob.digest in left_out)

    @property
    def carried_size(self) -> int:
        """Bytes of all that is carried, each counted once."""
        return self.unique_size - self.left_out_size + sum(each.size for each in self.attached)

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
