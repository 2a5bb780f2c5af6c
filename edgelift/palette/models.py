"""What Palette says, as frozen values: profile, pack, pack manifest, variable; and what is wrong with it, as problems.

Field names are Palette's (`isInvalid`, `registryUid`, …) or ours; fields that are not named here are ignored.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol, TypeVar

from pydantic import (
    AliasChoices,
    AliasGenerator,
    AliasPath,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    SecretStr,
    model_validator,
)
from pydantic.alias_generators import to_camel

from edgelift.bundle.definition import Origin

K8S_LAYER = "k8s"
_INFRASTRUCTURE_TYPES = frozenset({"infra", "cluster"})
_INFRASTRUCTURE_LAYERS = frozenset({"kernel", "os", K8S_LAYER})


class FromPalette(BaseModel):
    """A document of Palette's: unknown fields are ignored, nulls count as absent, numbers as their text."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        coerce_numbers_to_str=True,
        alias_generator=AliasGenerator(validation_alias=to_camel),
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, fields: Any) -> Any:
        # The API is written in Go: an empty list arrives as null.
        if isinstance(fields, Mapping):
            return {name: value for name, value in fields.items() if value is not None}
        return fields


Model = TypeVar("Model", bound=FromPalette)


class Get(Protocol):
    """Asks for the document at `path`, in the scope of a project or, with None, of the tenant.

    Raises `PaletteError` where there is none, or another kind of document.
    """

    def __call__(self, model: type[Model], path: str, scope: str | None) -> Model:
        """The document as a `model`."""
        ...


class Search(Protocol):
    """As `Get`, with a question as a document."""

    def __call__(self, model: type[Model], path: str, scope: str | None, document: Mapping[str, Any]) -> Model:
        """The answer as a `model`."""
        ...


class PackManifest(FromPalette):
    """Kubernetes YAML attached to a pack."""

    name: str
    uid: str = ""
    content: str = Field(default="", repr=False)
    digest: str = ""


class Pack(FromPalette):
    """One component of a profile. `values` is its YAML as text; `version` is the pack's, `tag` the one asked for.

    One of type `helm` is a chart of this name and tag; `chart_repository` is the address of its Helm registry, where
    that is known.
    """

    name: str
    display_name: str = ""
    version: str = ""
    tag: str = ""
    type: str = "spectro"
    layer: str = ""
    values: str = Field(default="", repr=False)
    manifests: Annotated[tuple[PackManifest, ...], FailFast()] = ()
    is_invalid: bool = False
    invalid_reason: str = Field(default="", validation_alias=AliasChoices("inValidReason", "invalid_reason"))
    registry_uid: str = Field(
        default="",
        validation_alias=AliasChoices("registryUid", "registry_uid", AliasPath("registry", "metadata", "uid")),
    )
    chart_repository: str = ""

    @property
    def is_chart(self) -> bool:
        """Whether the pack is a Helm chart of some registry, and nothing else."""
        return self.type == "helm"


class VariableOption(FromPalette):
    """One value that a variable may have."""

    value: str


class ProfileVariable(FromPalette):
    """A variable of a profile, and what its value has to be; the API masks the default of a sensitive one."""

    name: str
    default_value: str = Field(default="", repr=False)
    is_sensitive: bool = False
    format: str = "string"
    regex: str = ""
    options: Annotated[tuple[VariableOption, ...], FailFast()] = ()


class UserMacro(FromPalette):
    """A macro that users have made in Palette. Its value may be a password."""

    name: str
    value: SecretStr = SecretStr("")


class UserMacros(BaseModel):
    """The user macros that hold in one scope, each name once; `hidden` are levels whose macros Palette did not show."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    values: tuple[UserMacro, ...] = ()
    hidden: tuple[str, ...] = ()


class ClusterProfile(FromPalette):
    """One version of a cluster profile. `notices` holds what its reader should know, such as that it is a draft.

    `user_macros` are there where Palette was asked for them: None means that they are not known.
    """

    name: str
    uid: str = ""
    version: str = ""
    type: str = ""
    cloud_type: str = ""
    packs: Annotated[tuple[Pack, ...], FailFast()] = ()
    variables: Annotated[tuple[ProfileVariable, ...], FailFast()] = ()
    project_uid: str = ""
    project_name: str = ""
    tenant_uid: str = ""
    user_macros: UserMacros | None = Field(default=None, repr=False)
    notices: tuple[str, ...] = ()

    @property
    def origin_label(self) -> str:
        """How origins and messages name this profile: `name@version`."""
        return f"{self.name}@{self.version}" if self.version else self.name

    @property
    def is_infrastructure(self) -> bool:
        """Whether it is of the kind a cluster has just one of: by its type, or by its pack layers if it has none."""
        if self.type:
            return self.type in _INFRASTRUCTURE_TYPES
        return any(pack.layer in _INFRASTRUCTURE_LAYERS for pack in self.packs)


class Problem(BaseModel):
    """Something wrong with a profile: an error stops the build, a warning does not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    message: str
    origin: Origin | None = None
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{self.origin}: {self.message}" if self.origin else self.message
