"""Which of Palette's own services an edge site needs: a document that can be written by hand, with a default. No I/O.

    core: {services: [stylus]}
    day_two: {services: [ally, palette], images: [us-docker.pkg.dev/palette-images/edge/extra:v1]}
    versions: {stylus: 4.7.9}

Which services Palette's own tools take is not public, so that all of it can be said otherwise.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError

from edgelift.errors import ConfigurationError
from edgelift.explain import explain, load_yaml
from edgelift.forms import Form

AgentImages = Literal["none", "core", "all"]
ServiceName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class ServiceGroup(Form):
    """Services whose manifests are searched for images, and images named outright."""

    services: tuple[ServiceName, ...] = Field((), description="Services of Palette, by name.")
    images: tuple[str, ...] = Field((), description="Images, by reference.")


class AgentServices(Form):
    """What `core` and `all` mean: core is core, all is core and day two."""

    core: ServiceGroup = Field(
        ServiceGroup(services=("stylus",)), description="What an edge host needs to become a cluster."
    )
    day_two: ServiceGroup = Field(
        # Every service that Palette's API describes, but for those of single Kubernetes distributions (provider-…).
        ServiceGroup(
            services=(
                *("ally", "ally-lite", "ambit", "crony", "edge", "edgeconfig", "firth"),
                *("jet", "level", "lodge", "palette", "palette-lite", "tick"),
            )
        ),
        description="What a cluster needs to be managed.",
    )
    compliance: ServiceGroup = Field(ServiceGroup(), description="What compliance scans need.")
    versions: dict[ServiceName, str] = Field({}, description="Versions of services that are not to be the latest.")
    fips: dict[str, str] = Field(
        {"us-docker.pkg.dev/palette-images": "us-docker.pkg.dev/palette-images-fips"},
        description="Beginnings of image names, and what stands there in FIPS builds.",
    )

    @classmethod
    def from_yaml(cls, text: str, where: str) -> Self:
        """Read a document of its own; raises `ConfigurationError` that names `where` and every wrong key."""
        document = load_yaml(text, where)
        try:
            return cls.model_validate({} if document is None else document)
        except ValidationError as error:
            raise ConfigurationError(
                f"{where} does not say which agent services are needed: {explain(error)}",
                hint="it has the keys core, day_two, compliance, versions and fips; docs/operating.md has an example",
            ) from None


DEFAULT_SERVICES = AgentServices()
