"""The bundle lock: what a definition resolved to, digest by digest. The same content always gives the same bytes."""

import json
from collections.abc import Iterator, Set
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from edgelift.bundle.cluster_definition import LockedClusterDefinition
from edgelift.bundle.definition import BundleDefinition, BundleName, CanonicalReference
from edgelift.bundle.referrer import LockedReferrer, Pinned
from edgelift.errors import ConfigurationError
from edgelift.explain import explain
from edgelift.oci.content import ImageContent
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.reference import ImageReference

FORMAT: Literal["edgelift.lock/v1"] = "edgelift.lock/v1"

ArtifactKind = Literal["chart", "pack"]


class LockedImage(Pinned):
    """One image, pinned, or another artifact of the `kind` that it says, with what refers to it.

    `descriptor` is what is bundled, tagged and compared. `index` is the index that the descriptor was
    chosen from when one architecture was asked for: signatures on it will not verify against the chosen manifest.
    `archive` is the address of what a chart is made of that no registry has.
    `referrers` stand after what they refer to, and are carried to wherever the image goes.
    """

    reference: CanonicalReference
    index: Digest | None = None
    kind: ArtifactKind | None = None
    archive: Annotated[str | None, Field(max_length=8192, pattern=r"^https?://[!-~]+$")] = None
    referrers: Annotated[tuple[LockedReferrer, ...], FailFast()] = ()

    @model_validator(mode="after")
    def _is_made_of_an_archive_only_as_a_chart(self) -> Self:
        if self.archive is not None and self.kind != "chart":
            raise ValueError("it is made of an archive, and no chart")
        return self

    @model_validator(mode="after")
    def _has_referrers_of_its_own(self) -> Self:
        known = {manifest.digest for manifest in self.manifests}
        for referrer in self.referrers:
            if referrer.subject not in known:
                raise ValueError("one of its referrers refers to something else")
            known.add(referrer.descriptor.digest)
        return self

    @model_serializer(mode="wrap")
    def _without_a_word_on_no_referrers(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = serialize(self)
        if not self.referrers:  # as it was before there were any
            document.pop("referrers", None)
        return document

    @property
    def is_signed(self) -> bool:
        """Whether what is tagged is carried with a signature on itself."""
        return any(each.is_signature and each.subject == self.descriptor.digest for each in self.referrers)

    @property
    def all_manifests(self) -> tuple[Descriptor, ...]:
        """Its own manifests, then those of its referrers, each once."""
        return _unique(each for part in (self, *self.referrers) for each in part.manifests)

    @property
    def all_blobs(self) -> tuple[Descriptor, ...]:
        """Its own configs and layers, then those of its referrers, each once."""
        return _unique(each for part in (self, *self.referrers) for each in part.blobs)

    def name_of(self, referrer: LockedReferrer) -> str:
        """The full reference of one of its referrers: by tag where it has one, else by digest."""
        name = ImageReference.parse(self.reference).name
        return f"{name}:{referrer.tag}" if referrer.tag is not None else f"{name}@{referrer.descriptor.digest}"

    def content_without(self, left_out: Set[Digest] = frozenset()) -> ImageContent:
        """What a pull of this image and its referrers has to bring where blobs are `left_out`."""
        return ImageContent(self.all_manifests, tuple(blob for blob in self.all_blobs if blob.digest not in left_out))

    @property
    def size(self) -> int:
        """Bytes of everything, referrers and shared content included."""
        return sum(each.size for each in (*self.all_manifests, *self.all_blobs))


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
        """Every manifest once, in lock order, referrers included."""
        return _unique(each for image in self.images for each in image.all_manifests)

    def unique_blobs(self) -> tuple[Descriptor, ...]:
        """Every config and layer once, in lock order, referrers included."""
        return _unique(each for image in self.images for each in image.all_blobs)

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
            sorted(self.images, key=lambda image: max((blob.size for blob in image.all_blobs), default=0), reverse=True)
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
