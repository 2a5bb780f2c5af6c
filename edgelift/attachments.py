"""What goes with the images of a bundle, as it is asked for: packs, and the cluster definition. Settings; no I/O."""

from typing import Self

from pydantic import Field, model_validator

from edgelift.bundle.definition import BundleName
from edgelift.forms import Form


class ClusterDefinitionSource(Form):
    """The cluster definition that goes with a bundle. Palette makes it of profiles that are all in the one project."""

    name: BundleName = Field(description="Name of the cluster definition; its file is NAME.tgz.")
    profiles: tuple[str, ...] = Field(
        description="Its profiles by uid, or by name or name@version; one of them may have infrastructure layers."
    )

    @model_validator(mode="after")
    def _has_profiles(self) -> Self:
        if not self.profiles:
            raise ValueError("a cluster definition is made of profiles: name at least one")
        return self


class PackSource(Form):
    """The packs that go with a bundle: those of the profiles, and local ones."""

    include: bool = Field(False, description="Carry the packs of the profiles, from their OCI pack registries.")
    registry: str | None = Field(
        None, description="HOST[:PORT][/BASE] of the registry that has them; empty for what Palette says."
    )
    paths: tuple[str, ...] = Field(
        (), description="Paths of local packs: folders with a pack.json, or such folders as .tar.gz."
    )
    images_only: bool = Field(
        False, description="Carry the images and charts that local packs declare, and not the packs."
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.registry is not None and not self.include:
            raise ValueError("a pack registry is for the packs of the profiles: say include, or leave it out")
        if self.images_only and (self.include or not self.paths):
            raise ValueError("images_only is for local packs alone: name their paths, and leave out include")
        return self


NO_PACKS = PackSource()
