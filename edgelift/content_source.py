"""What a bundle is built from: a part of a site file, and what a build asks for. Values; nothing is read here."""

from typing import Literal, Self

from pydantic import Field, model_validator

from edgelift.agent_services import AgentImages, AgentServices
from edgelift.attachments import NO_PACKS, ClusterDefinitionSource, PackSource
from edgelift.bundle.definition import COMPRESSION_LEVEL, Architecture, CompressionLevel, Release
from edgelift.forms import Form

UndeclaredPolicy = Literal["none", "confident", "all"] | tuple[str, ...]


class ContentSource(Form):
    """What a bundle is built from: profiles of Palette, exported profiles, single images and charts, in any mixture.

    Or a definition file, which says all of it.
    """

    profiles: tuple[str, ...] = Field((), description="Cluster profiles by uid, or by name or name@version.")
    project: str | None = Field(None, description="Palette project, by uid or name; empty for the tenant.")
    palette: str | None = Field(None, description="Name of the Palette Credentials block; empty for PALETTE_API_KEY.")
    profile_files: tuple[str, ...] = Field((), description="Paths of exported profiles (JSON or YAML); no API needed.")
    images: tuple[str, ...] = Field((), description="Further image references.")
    charts: tuple[str, ...] = Field(
        (), description="Further Helm charts, as oci://HOST/PATH/NAME:VERSION or URL#NAME:VERSION."
    )
    image_files: tuple[str, ...] = Field((), description="Paths of lists of further images, one reference a line.")
    definition_file: str | None = Field(
        None, description="Path of a definition, as --metadata-only writes it; it says what to carry, and nothing else."
    )
    release: Release | None = Field(None, description="The release that the bundle carries, for whoever reads it.")
    exclude_profiles: tuple[str, ...] = Field(
        (), description="Profiles of Palette whose images and charts are left out, but for the further ones."
    )
    exclude_profile_files: tuple[str, ...] = Field((), description="The same, as paths of exported profiles.")
    include_undeclared: UndeclaredPolicy = Field(
        "none",
        description="Which images that packs use and do not declare are carried: none, confident, all, or these ones.",
    )
    architecture: Architecture | None = Field(None, description="Only this architecture; empty keeps all of them.")
    allow_external_layers: bool = Field(
        False,
        description="Carry images without the layers that may not be distributed and that their registry lacks.",
    )
    compression_level: CompressionLevel = Field(
        COMPRESSION_LEVEL,
        description="Of zstd, 1 to 19, for what is not compressed already. Higher ones take long and gain little.",
    )
    signatures: bool = Field(True, description="Carry signatures, SBOMs and whatever else refers to the images, too.")
    require_signatures: bool = Field(False, description="Refuse the build where an image has no signature.")
    cosign_key: str | None = Field(
        None, description="Path of the public key (PEM) of cosign that has to have signed each image."
    )
    settings: dict[str, str] = Field(
        {}, description="Values of macros and variables, by name, instead of those that the profiles give."
    )
    edge_hosts: str | None = Field(
        None,
        description="Tag (key:value) of the site's edge hosts in Palette: where no architecture or no profiles are "
        "named, theirs are taken.",
    )
    agent_images: AgentImages = Field(
        "none", description="Images of Palette's agent: core to create a cluster, all to manage it, too."
    )
    compliance_images: bool = Field(False, description="Images of compliance scans, as agent_services lists them.")
    fips: bool = Field(False, description="The FIPS variants of those images. Profiles name theirs themselves.")
    agent_services: AgentServices | None = Field(
        None, description="Which services of Palette are core, day two and compliance; empty for the default."
    )
    packs: PackSource = Field(NO_PACKS, description="Which packs are carried.")
    cluster_definition: ClusterDefinitionSource | None = Field(
        None, description="The cluster definition that is built with the bundle; empty for none."
    )

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if self.definition_file is not None:
            besides = self.model_dump(exclude_defaults=True, exclude={"definition_file", "release"})
            if besides:
                raise ValueError(f"a definition file says all of it: leave out {', '.join(sorted(besides))}")
        elif not (
            self.profiles
            or self.profile_files
            or self.images
            or self.charts
            or self.image_files
            or self.edge_hosts
            or self.packs.paths
            or self.asks_for_agent
        ):
            raise ValueError("name at least one profile, profile file, image or chart")
        if self.fips and not self.asks_for_agent:
            raise ValueError("fips is about agent_images and compliance_images: ask for some, or leave it out")
        return self

    @model_validator(mode="after")
    def _requires_what_it_carries(self) -> Self:
        if self.require_signatures and not self.signatures:
            raise ValueError("signatures that are required cannot be left out: drop require_signatures or signatures")
        if self.cosign_key is not None and not self.require_signatures:
            raise ValueError("a cosign_key checks signatures that are required: set require_signatures, too")
        return self

    @property
    def asks_for_agent(self) -> bool:
        """Whether images of Palette's own services are asked for."""
        return self.agent_images != "none" or self.compliance_images

    @property
    def has_attachments(self) -> bool:
        """Whether something comes from elsewhere than a registry: local packs, or a cluster definition."""
        return self.cluster_definition is not None or (bool(self.packs.paths) and not self.packs.images_only)
