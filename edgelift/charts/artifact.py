"""A chart as an OCI artifact, made as Helm makes it (helm.sh, "Use OCI-based registries"; HIP-0006). Pure.

The same archive always gives the same bytes: there is no time in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgelift.charts.metadata import ChartMetadata, to_go_json
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_MANIFEST, Manifest, parse_manifest

CHART_CONFIG = "application/vnd.cncf.helm.config.v1+json"
CHART_CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
CHART_PROVENANCE = "application/vnd.cncf.helm.chart.provenance.v1.prov"


@dataclass(frozen=True)
class ChartArtifact:
    """The manifest of a chart, and the bytes of its blobs by their digests."""

    metadata: ChartMetadata
    manifest: Manifest
    blobs: Mapping[Digest, bytes] = field(repr=False)


def make_artifact(metadata: ChartMetadata, archive: bytes, provenance: bytes | None) -> ChartArtifact:
    """The artifact of a chart whose `archive` says `metadata` of itself."""
    config = metadata.to_config()
    layers = [(CHART_CONTENT, archive), *([(CHART_PROVENANCE, provenance)] if provenance is not None else [])]
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _describe(CHART_CONFIG, config),
        "layers": sorted((_describe(*layer) for layer in layers), key=lambda layer: str(layer["digest"])),
        "annotations": metadata.annotations(),
    }
    raw = to_go_json(document)
    blobs = {Digest.of(content): content for content in (config, *(content for _, content in layers))}
    return ChartArtifact(metadata, parse_manifest(raw, OCI_MANIFEST), blobs)


def is_chart(manifest: Manifest) -> bool:
    """Whether an artifact is a chart that Helm would take."""
    return any(blob.media_type == CHART_CONFIG for blob in manifest.blobs[:1])


def _describe(media_type: str, content: bytes) -> dict[str, Any]:
    descriptor = Descriptor(media_type=media_type, digest=Digest.of(content), size=len(content))
    return descriptor.model_dump(mode="json", by_alias=True, exclude_none=True)
