"""One edge site, and its parts, which the flows take as parameters: what to carry, where to, and how to get in.

Secrets are never here: only the names of the blocks, and the paths of the files, that hold them. The models render as
the form of a run in Prefect's UI.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from edgelift.bundle.definition import BundleName
from edgelift.bundle.parts import PartSize
from edgelift.content_source import ContentSource, UndeclaredPolicy
from edgelift.errors import ConfigurationError
from edgelift.explain import explain, load_yaml
from edgelift.forms import Form
from edgelift.oci.ecr import parse_ecr_host
from edgelift.oci.reference import canonical_registry
from edgelift.timetable import Schedule, Schedules, Window, check_schedules

__all__ = [
    "APPROVAL_TIMEOUT",
    "DEFAULT_ACCESS",
    "ArchiveSettings",
    "ContentSource",
    "EdgeSite",
    "OnConflict",
    "RegistryAccess",
    "SigningSettings",
    "TargetSettings",
    "UndeclaredPolicy",
    "same_named",
]

_Named = TypeVar("_Named")
OnConflict = Literal["fail", "keep", "replace"]
ApprovalTimeout = Annotated[int, Field(ge=1, le=31_536_000)]
RegistryLimit = Annotated[str, Field(pattern=r"^[^=\s/%&<>]+=[1-9][0-9]{0,3}$")]
APPROVAL_TIMEOUT = 259_200  # three days, so that a weekend may lie between


class RegistryAccess(Form):
    """How to get into registries: names of blocks, then files, then anonymously."""

    registries: tuple[str, ...] = Field((), description="Names of Registry Credentials blocks.")
    credentials_file: str | None = Field(None, description="Path of a palette-edge credentials file.")
    docker_config: bool = Field(True, description="Also use the worker's Docker login (config.json and its helpers).")
    aws: bool = Field(
        False,
        description="Also log in to Amazon ECR with the worker's AWS credentials (AWS_* variables, profile, role).",
    )
    ca_cert: str | None = Field(None, description="Path of a PEM file with further certificate authorities.")
    insecure: bool = Field(False, description="Do not verify TLS certificates. For a test network only.")
    insecure_hosts: tuple[str, ...] = Field(
        (), description="Registries (host:port) whose TLS certificates are not verified. For a test network only."
    )
    certs_dir: str | None = Field(
        None, description="Folder with certificates by host, as Docker keeps them in /etc/docker/certs.d."
    )
    plain_http: tuple[str, ...] = Field((), description="Registries (host:port) that speak plain HTTP.")
    trusted_realms: tuple[str, ...] = Field(
        (), description="Token servers (host) that get a registry's login although they are in another domain."
    )
    mirrors: tuple[str, ...] = Field(
        (),
        description="Further places to read from, SOURCE=HOST[:PORT][/PREFIX], asked in order before the original.",
    )
    rewrites: tuple[str, ...] = Field(
        (), description="Places to read from instead, SOURCE=HOST[:PORT][/PREFIX]; the original is never asked."
    )
    parallel: Annotated[int, Field(ge=1, le=64)] = Field(
        8, description="At most so many requests to one registry at once."
    )
    registry_limits: tuple[RegistryLimit, ...] = Field(
        (),
        description="HOST=N: all runs together pull at most N images from that registry at once. "
        "For Prefect on PostgreSQL only.",
    )


DEFAULT_ACCESS = RegistryAccess()  # the worker's Docker login, else anonymous


class TargetSettings(Form):
    """The registry that content is pushed to."""

    registry: str = Field(description="HOST[:PORT][/BASE], for example mirror.example:5000/spectro-images.")
    rules: tuple[str, ...] = Field((), description="Mapping rules SRC=DST: a source prefix and what replaces it.")
    docker_hub_aliases: bool = Field(False, description="Push docker.io/library/x as docker.io/x, too.")
    on_conflict: OnConflict = Field("fail", description="What to do with a tag that stands with another digest.")
    create_repositories: bool = Field(
        False,
        description="Make repositories that are missing. Amazon ECR only, with AWS credentials; others make them.",
    )

    @model_validator(mode="after")
    def _can_create_repositories(self) -> Self:
        if self.create_repositories and parse_ecr_host(canonical_registry(self.registry.partition("/")[0])) is None:
            raise ValueError("create_repositories is for Amazon ECR: other registries make repositories by themselves")
        return self


class ArchiveSettings(Form):
    """Where a finished bundle is kept, too. One of them."""

    block: str | None = Field(None, description="Name of a Bundle Archive (S3) block.")
    directory: str | None = Field(None, description="Path of a directory.")
    artifact: str | None = Field(None, description="HOST[:PORT]/REPOSITORY of a registry that takes OCI artifacts.")

    @model_validator(mode="after")
    def _is_one_place(self) -> Self:
        if sum(place is not None for place in (self.block, self.directory, self.artifact)) != 1:
            raise ValueError("name exactly one of block, directory and artifact")
        return self


class SigningSettings(Form):
    """The private key that signs bundles and locks: a block that holds it, or a file of the worker."""

    block: str | None = Field(None, description="Name of a Signing Key block.")
    file: str | None = Field(None, description="Path of an RSA key (PEM).")
    passphrase_file: str | None = Field(
        None, description="Path of the file with the passphrase of that key; empty for EDGELIFT_SIGNING_PASSPHRASE."
    )

    @model_validator(mode="after")
    def _is_one_key(self) -> Self:
        if (self.block is None) == (self.file is None):
            raise ValueError("name exactly one of block and file")
        if self.block is not None and self.passphrase_file is not None:
            raise ValueError("the passphrase of a block's key is in the block: leave out passphrase_file")
        return self


class EdgeSite(Form):
    """One edge site: all that `sync_site` needs to know, as one YAML file."""

    name: BundleName = Field(description="Name of the site, and of its bundle.")
    source: ContentSource = Field(description="What the site needs.")
    target: TargetSettings = Field(description="The site's own registry.")
    access: RegistryAccess = Field(DEFAULT_ACCESS, description="How to get into the registries.")
    store: str | None = Field(
        None, description="The working store: a folder, s3://bucket/prefix or block:NAME; empty for the worker's own."
    )
    archive: ArchiveSettings | None = Field(None, description="Where the bundle is kept, too.")
    signing: SigningSettings | None = Field(None, description="The key that signs the bundle and its lock.")
    public_key: str | None = Field(
        None,
        description="Path of the public key (PEM) that the bundle is checked with before it is pushed; "
        "empty for EDGELIFT_PUBLIC_KEY.",
    )
    part_size: PartSize | None = Field(
        None, description="Bytes of a part, where the bundle is written in parts; empty for one file."
    )
    direct: bool = Field(
        False, description="Copy from registry to registry, without a bundle and without blobs on the worker's disk."
    )
    deep: bool = Field(False, description="Validate by reading every blob back.")
    window: Window | None = Field(None, description="The hours in which runs may be at work; empty for all of them.")
    approval: bool = Field(False, description="Wait for somebody to approve in Prefect before anything is pushed.")
    approval_timeout: ApprovalTimeout = Field(
        APPROVAL_TIMEOUT, description="Seconds that this may take; then the run fails, and a retry asks again."
    )
    canary: bool = Field(False, description="In a fleet, go before the sites that are none.")
    schedule: Schedule | None = Field(None, description="When to synchronise; empty for by hand only.")
    schedules: tuple[Schedule, ...] = Field((), description="Several schedules instead of one, each with its name.")
    description: Annotated[str, Field(max_length=500)] = Field("", description="A line for the operators.")

    @model_validator(mode="after")
    def _has_the_bundle_that_it_needs(self) -> Self:
        if self.direct and self.archive is not None:
            raise ValueError("direct copies make no bundle that could be archived: leave out direct or archive")
        if self.direct and self.part_size is not None:
            raise ValueError("direct copies make no bundle that could be in parts: leave out direct or part_size")
        if self.direct and self.public_key is not None:
            raise ValueError("direct copies make no bundle that could be checked: leave out direct or public_key")
        if self.public_key is not None and self.signing is None:
            raise ValueError("with a public_key, a bundle that nobody signs would be refused: say how with signing")
        return self

    @field_validator("schedule", "schedules")
    @classmethod
    def _starts_when_it_may(cls, said: Schedules, info: ValidationInfo) -> Schedules:
        return check_schedules(said, info.data.get("window"), info.data.get("schedule"))

    @property
    def all_schedules(self) -> tuple[Schedule, ...]:
        """Its schedules, however they are written."""
        return self.schedules if self.schedule is None else (self.schedule,)

    @classmethod
    def from_yaml(cls, text: str, where: str) -> Self:
        """Read a site file; raises `ConfigurationError` that names `where` and every wrong key."""
        document = load_yaml(text, where)
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise ConfigurationError(
                f"{where} is not a site file: {explain(error, text)}",
                hint="deployments/sites holds examples; unknown keys are refused so that no typo is overlooked",
            ) from None


def same_named(named: Iterable[tuple[str, _Named]]) -> dict[str, list[_Named]]:
    """Those whose site has the name of another's, by it: all that is kept of a site is kept under its name."""
    groups = defaultdict[str, list[_Named]](list)
    for name, each in named:
        groups[name].append(each)
    return {name: group for name, group in groups.items() if len(group) > 1}
