"""Proving what a delivery brings beside its images: the cluster definition, which no registry holds."""

from edgelift.bundle.cluster_definition import LockedClusterDefinition
from edgelift.delivery.receipt import DefinitionProof
from edgelift.errors import EdgeliftError
from edgelift.oci.content import BufferReader


def prove_cluster_definition(definition: LockedClusterDefinition, content: BufferReader) -> DefinitionProof:
    """Whether the bytes of `definition` are in `content`; all are read. Raises nothing that they could cause."""
    try:
        definition.read_from(content)
    except EdgeliftError as error:
        return DefinitionProof(name=definition.name, digest=definition.digest, present=False, reason=error.message)
    return DefinitionProof(name=definition.name, digest=definition.digest, present=True)
