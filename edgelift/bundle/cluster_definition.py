"""The cluster definition that goes with a bundle: the archive (.tgz) that Palette made of profiles, pinned by digest.

What Palette puts into it is not public: it is carried as it came, and nobody looks inside.
"""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, FailFast, Field, model_validator

from edgelift.bundle.definition import BundleName, ProfileVersion
from edgelift.oci.content import BufferReader
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest

LIMIT = 64 * 2**20  # bytes; real ones have some ten KiB
# That it ends in gzip makes its frames raw ones: nothing is won by compressing it again.
MEDIA_TYPE = "application/vnd.edgelift.cluster-definition.v1.tar+gzip"


class LockedClusterDefinition(BaseModel):
    """The cluster definition `name`, which Palette made of `profiles`: `size` bytes with this `digest`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: BundleName
    digest: Digest
    size: Annotated[int, Field(gt=0, le=LIMIT)]
    profiles: Annotated[tuple[ProfileVersion, ...], FailFast()]

    @model_validator(mode="after")
    def _can_be_signed(self) -> Self:
        if self.digest.algorithm != "sha256":
            raise ValueError("the digest of a cluster definition is a sha256")
        return self

    @classmethod
    def of(cls, name: str, content: bytes, profiles: tuple[ProfileVersion, ...]) -> Self:
        """The cluster definition that `content` is."""
        return cls(name=name, digest=Digest.of(content), size=len(content), profiles=profiles)

    @property
    def descriptor(self) -> Descriptor:
        """What stores and bundles know it by."""
        return Descriptor(media_type=MEDIA_TYPE, digest=self.digest, size=self.size)

    @property
    def file_name(self) -> str:
        """What its file is called, as Palette calls it."""
        return f"{self.name}.tgz"

    def read_from(self, source: BufferReader) -> bytes:
        """Its bytes, checked; errors are those of `source`, also where that does not have them."""
        buffer = memoryview(bytearray(self.size))
        return b"".join(bytes(chunk) for chunk in source.read_into(buffer, self.descriptor))
