"""What goes into a bundle and comes from no registry, pinned. Its bytes are in the store; nothing here reads them."""

from pydantic import BaseModel, ConfigDict

from edgelift.bundle.cluster_definition import LockedClusterDefinition
from edgelift.bundle.lock import LockedImage


class Attached(BaseModel):
    """The cluster definition, where there is one, and local packs."""

    model_config = ConfigDict(frozen=True)

    cluster_definition: LockedClusterDefinition | None = None
    packs: tuple[LockedImage, ...] = ()


NOTHING = Attached()
