"""What the demo has of packs: the pack registries that the stand-in Palette knows, and a local pack."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelift.demo.palette_documents import metadata
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


@dataclass(frozen=True)
class DemoPackRegistry:
    """An OCI registry of the stand-in, as Palette has it; one with another `provider` holds other things than packs."""

    uid: str
    name: str
    endpoint: str
    base: str = ""
    provider: str = "pack"
    kind: str = "basic"
    region: str = ""

    def summary(self) -> dict[str, Any]:
        """How the list of OCI registries shows it."""
        spec = {"endpoint": self.endpoint, "providerType": self.provider, "registryType": self.kind, "scope": "tenant"}
        return metadata(self.uid, self.name) | {"spec": spec}

    def settings(self) -> dict[str, Any]:
        """How it is shown by itself; its login is masked, as Palette does it."""
        auth = {"type": "basic", "username": "reader", "password": "rea***der"}
        paths = {"baseContentPath": self.base, "defaultRegion": self.region or None}
        spec = {"endpoint": self.endpoint, "providerType": self.provider, "isPrivate": False, "auth": auth, **paths}
        return metadata(self.uid, self.name) | {"spec": spec}


def write_pack(folder: Path) -> Path:
    """A local pack below `folder`, the same every time; gives its folder, whose name says nothing."""
    pack = folder / "the-greeting-pack"
    write_document(pack / "pack.json", (json.dumps(_DESCRIPTION, indent=2) + "\n").encode())
    write_document(pack / "values.yaml", _VALUES.encode())
    write_document(pack / "manifests" / "greeting.yaml", _MANIFEST.encode())
    return pack
