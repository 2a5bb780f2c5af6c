"""What a lock amounts to, for tables and scripts."""

from typing import Any

from edgelift.bundle.kinds import origins_of
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.selection import annotations_of


def summarise(lock: BundleLock) -> dict[str, Any]:
    """Name, release, profiles, one entry per image (`reference`, `digest`, `size` in bytes, origins …), and the totals.

    The annotations of an image are those that people gave, and those that follow, of which there can be several.
    """
    definition, base, annotations = lock.definition, lock.base, annotations_of(lock)
    origins = origins_of(lock)
    return {
        "name": definition.name,
        "architecture": definition.architecture,
        "release": definition.release.model_dump(exclude_none=True) if definition.release is not None else None,
        "annotations": definition.annotations or {},
        "lock": lock.digest,
        "base": {
            "name": base.name,
            "lock": base.lock,
            "left_out_blobs": len(lock.left_out),
            "left_out_bytes": lock.left_out_size,
        }
        if base is not None
        else None,
        "cluster_definition": lock.cluster_definition.model_dump(mode="json") if lock.cluster_definition else None,
        "profiles": [profile.model_dump(mode="json") for profile in definition.profiles],
        "images": [
            {
                "reference": image.reference,
                "kind": image.kind or "image",
                "digest": image.descriptor.digest,
                "media_type": image.descriptor.media_type,
                "size": image.size,
                "manifests": len(image.manifests),
                "blobs": len(image.blobs),
                "external_layers": len(image.external),
                "referrers": len(image.referrers),
                "signed": image.is_signed,
                "origins": [origin.model_dump() for origin in origins.get(image.reference, ())],
                "annotations": {key: list(values) for key, values in annotations[image.reference].items()},
            }
            for image in lock.images
        ],
        "charts": [chart.model_dump(mode="json") for chart in definition.charts],
        "totals": {
            "images": len(lock.images),
            "referrers": sum(len(image.referrers) for image in lock.images),
            "unique_blobs": len(lock.unique_blobs()),
            "unique_bytes": lock.unique_size,
            "carried_bytes": lock.carried_size,
        },
    }
