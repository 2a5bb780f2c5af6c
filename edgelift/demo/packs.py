"""The local pack of the demo."""

import json
from pathlib import Path

from edgelift.documents import write_document

_DESCRIPTION = {
    "addonType": "app",
    "displayName": "Greeting",
    "kubeManifests": ["manifests/greeting.yaml"],
    "layer": "addon",
    "name": "greeting",
    "version": "1.0.0",
}
# It names no image of the demo's source: with the port of another run it would be another pack of the same version.
_VALUES = "pack:\n  namespace: greeting\n"
_MANIFEST = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: greeting\ndata:\n  text: greetings from a pack\n"


def write_pack(folder: Path) -> Path:
    """A local pack below `folder`, the same every time; gives its folder, whose name says nothing."""
    pack = folder / "the-greeting-pack"
    write_document(pack / "pack.json", (json.dumps(_DESCRIPTION, indent=2) + "\n").encode())
    write_document(pack / "values.yaml", _VALUES.encode())
    write_document(pack / "manifests" / "greeting.yaml", _MANIFEST.encode())
    return pack
