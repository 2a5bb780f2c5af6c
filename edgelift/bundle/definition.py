"""The bundle definition: what was asked for. YAML, editable; unknown keys are errors: a typo is never silent."""

from typing import Annotated, Any, Literal, Self

import yaml
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

from edgelift.bundle.annotations import Annotations
from edgelift.errors import ConfigurationError
from edgelift.explain import explain, load_yaml
from edgelift.forms import in_order
from edgelift.oci.reference import ImageReference

FORMAT: Literal["edgelift.definition/v1"] = "edgelift.definition/v1"
Architecture = Literal["amd64", "arm64"]
COMPRESSION_LEVEL = 3  # of zstd: at 19 layers get 1.5 % smaller, for two hundred times the work
CompressionLevel = Annotated[int, Field(ge=1, le=19)]
_UNSAID = ("release", "annotations", "excluded_profiles", "signatures", "require_signatures", "cosign_key", "packs")
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


class _Requested(BaseModel):
    """What is asked for; where nobody has given it annotations, there is no such key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_serializer(mode="wrap")
    def _says_only_what_there_is(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = write(self)
        if document.get("annotations", True) is None:
            del document["annotations"]
        return document


class RequestedImage(_Requested):
    """One image reference, canonical, and everywhere it is asked for."""

    reference: CanonicalReference
    origins: Origins = ()
    annotations: Annotations = None


class RequestedChart(_Requested):
    """One Helm chart that a pack declares."""

    repository: str
    name: str
    version: str
    origins: Origins = ()
    annotations: Annotations = None


class ProfileVersion(BaseModel):
    """A cluster profile as it was resolved; the API lets a version be edited, so its pack count is kept too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str = ""
    uid: str = ""
    type: str = ""
    packs: int = 0


class Release(BaseModel):
    """The release of an application that a bundle carries, in the words of whoever builds it."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=in_order)

    name: str | None = Field(None, max_length=200, description="What is released.")
    version: str | None = Field(None, max_length=200, description="Which version of it.")
    notes: str | None = Field(None, max_length=20_000, description="What is new in it.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.name or self.version or self.notes):
            raise ValueError("give it a name, a version or notes, or leave it out")
        return self

    def __str__(self) -> str:
        return " ".join(part for part in (self.name, self.version) if part)


class BundleDefinition(BaseModel):
    """What a bundle is to hold: images and charts with their origins, their profiles, one architecture or all.

    What `excluded_profiles` hold is not among them. `packs` are carried as OCI artifacts, by their references.
    `release` and `annotations` are of the whole bundle.

    With `allow_external_layers` images may lack layers that may not be distributed and that their registry lacks, too.
    `compression_level` is zstd's, for what is not compressed already. Signatures and whatever else refers to images go
    with them, unless `signatures` is false; with `require_signatures` each has to have one, and where there is a
    `cosign_key` (PEM) one that this accepts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["edgelift.definition/v1"] = FORMAT
    name: BundleName = "bundle"
    architecture: Architecture | None = None
    allow_external_layers: bool = False
    compression_level: CompressionLevel = COMPRESSION_LEVEL
    signatures: Annotated[bool | None, AfterValidator(lambda value: None if value else value)] = None
    require_signatures: Annotated[bool | None, AfterValidator(lambda value: value or None)] = None
    cosign_key: Annotated[str | None, Field(max_length=16_384)] = None
    release: Release | None = None
    annotations: Annotations = None
    profiles: Annotated[tuple[ProfileVersion, ...], FailFast()] = ()
    excluded_profiles: Annotated[tuple[ProfileVersion, ...] | None, FailFast()] = None
    images: Annotated[tuple[RequestedImage, ...], FailFast()] = ()
    charts: Annotated[tuple[RequestedChart, ...], FailFast()] = ()
    packs: Annotated[tuple[RequestedImage, ...] | None, FailFast()] = None

    @property
    def requested(self) -> tuple[RequestedImage, ...]:
        """Everything that is asked for by reference: images, then packs."""
        return (*self.images, *(self.packs or ()))

    @model_validator(mode="after")
    def _requires_what_it_carries(self) -> Self:
        if self.require_signatures and self.signatures is False:
            raise ValueError("it leaves out the signatures that it requires")
        if self.cosign_key is not None and not self.require_signatures:
            raise ValueError("it has a cosign_key, but does not require signatures: set require_signatures")
        return self

    def to_yaml(self) -> str:
        """The definition as YAML; the same definition gives the same text."""
        document = self.model_dump(mode="json")
        if self.release is not None:
            document["release"] = self.release.model_dump(mode="json", exclude_none=True)
        for name in _UNSAID:  # as in the lock, they are there only where they say something
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
                f"{where} is not a bundle definition: {explain(error, text)}",
                hint="unknown keys are refused so that a typo cannot be overlooked",
            ) from None
