"""What a lock amounts to, for tables and scripts."""

from typing import Any

from edgelift.bundle.lock import BundleLock


def summarise(lock: BundleLock) -> dict[str, Any]:
    """Name, profiles, one entry per image (`reference`, `digest`, `size` in bytes, origins …), and the totals."""
    definition, base = lock.definition, lock.base
    origins = {image.reference: image.origins for image in definition.requested}
    return {
        "name": definition.name,
        "architecture": definition.architecture,
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
                "digest": image.descriptor.digest,
                "kind": image.kind or "image",
                "media_type": image.descriptor.media_type,
                "size": image.size,
                "manifests": len(image.manifests),
                "blobs": len(image.blobs),
                "external_layers": len(image.external),
                "origins": [origin.model_dump() for origin in origins.get(image.reference, ())],
            }
            for image in lock.images
        ],
        "charts": [chart.model_dump(mode="json") for chart in definition.charts],
        "totals": {
            "images": len(lock.images),
            "unique_blobs": len(lock.unique_blobs()),
            "unique_bytes": lock.unique_size,
            "carried_bytes": lock.carried_size,
        },
    }
