"""The bundle definition: what was asked for. YAML, editable; unknown keys are errors: a typo is never silent."""

from typing import Annotated, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, ValidationError

from edgelift.errors import ConfigurationError
from edgelift.explain import explain, load_yaml
from edgelift.oci.reference import ImageReference

FORMAT: Literal["edgelift.definition/v1"] = "edgelift.definition/v1"
Architecture = Literal["amd64", "arm64"]
COMPRESSION_LEVEL = 3  # of zstd: at 19 layers get 1.5 % smaller, for two hundred times the work
CompressionLevel = Annotated[int, Field(ge=1, le=19)]
BundleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class Origin(BaseModel):
    """Where a reference is asked for: profile, pack, and the path inside the pack's YAML."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str
    pack: str
    path: str

    def __str__(self) -> str:
        return " > ".join(part for part in (self.profile, self.pack, self.path) if part)


# The first wrong one is enough: errors take far more memory than what is wrong.
Origins = Annotated[tuple[Origin, ...], FailFast()]


def _canonical(text: str) -> str:
    try:
        return str(ImageReference.parse(text))
    except ConfigurationError as error:
        raise ValueError(error.message) from None


CanonicalReference = Annotated[str, AfterValidator(_canonical)]


class RequestedImage(BaseModel):
    """One image reference, canonical, and everywhere it is asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: CanonicalReference
    origins: Origins = ()


class RequestedChart(BaseModel):
    """One Helm chart that a pack declares."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: str
    name: str
    version: str
    origins: Origins = ()


class ProfileVersion(BaseModel):
    """A cluster profile as it was resolved; the API lets a version be edited, so its pack count is kept too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str = ""
    uid: str = ""
    type: str = ""
    packs: int = 0


class BundleDefinition(BaseModel):
    """What a bundle is to hold: images and charts with their origins, their profiles, one architecture or all.

    What `excluded_profiles` hold is not among them. `packs` are carried as OCI artifacts, by their references.

    With `allow_external_layers` images may lack layers that may not be distributed and that their registry lacks, too.
    `compression_level` is zstd's, for what is not compressed already.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["edgelift.definition/v1"] = FORMAT
    name: BundleName = "bundle"
    architecture: Architecture | None = None
    allow_external_layers: bool = False
    compression_level: CompressionLevel = COMPRESSION_LEVEL
    profiles: Annotated[tuple[ProfileVersion, ...], FailFast()] = ()
    excluded_profiles: Annotated[tuple[ProfileVersion, ...] | None, FailFast()] = None
    images: Annotated[tuple[RequestedImage, ...], FailFast()] = ()
    charts: Annotated[tuple[RequestedChart, ...], FailFast()] = ()
    packs: Annotated[tuple[RequestedImage, ...] | None, FailFast()] = None

    @property
    def requested(self) -> tuple[RequestedImage, ...]:
        """Everything that is asked for by reference: images, then packs."""
        return (*self.images, *(self.packs or ()))

    def to_yaml(self) -> str:
        """The definition as YAML; the same definition gives the same text."""
        document = self.model_dump(mode="json")
        for name in ("excluded_profiles", "packs"):  # as in the lock, they are there only where they say something
            if document[name] is None:
                del document[name]
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)

    @classmethod
    def from_yaml(cls, text: str, where: str = "the definition") -> Self:
        """Read a definition; raises `ConfigurationError` that names `where` and every wrong key."""
        document = load_yaml(text, where)
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise ConfigurationError(
                f"{where} is not a bundle definition: {explain(error)}",
                hint="unknown keys are refused so that a typo cannot be overlooked",
            ) from None
