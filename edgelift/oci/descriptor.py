"""Descriptors and platforms (image-spec descriptor.md, image-index.md)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from edgelift.oci.digest import Digest

MAX_SIZE = 2**63 - 1


class Platform(BaseModel):
    """What an image runs on. `str()` gives `os/architecture[/variant]`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    os: str = "linux"
    architecture: str = "amd64"
    variant: str | None = None

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(BaseModel):
    """Media type, digest and size (bytes) of some content; unknown members of the JSON are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    media_type: Annotated[str, Field(alias="mediaType", min_length=1, max_length=255)]
    digest: Digest
    size: Annotated[int, Field(ge=0, le=MAX_SIZE, strict=True)]  # "12" and 12.0 are no sizes to other clients
    platform: Platform | None = None
    artifact_type: Annotated[str | None, Field(alias="artifactType")] = None
    annotations: dict[str, str] | None = None
    data: str | None = None

    def plain(self) -> "Descriptor":
        """Only what addresses the content: media type, digest and size."""
        return Descriptor(media_type=self.media_type, digest=self.digest, size=self.size)
