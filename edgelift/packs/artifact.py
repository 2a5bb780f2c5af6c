"""Local packs as OCI artifacts, laid out as ORAS 1.0 does it, which Palette's documentation asks for.

One layer, the archive, whose title is its file name; an empty config of no known kind. ORAS would note the time: left
out, the same archive is the same artifact.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgelift.bundle.lock import LockedImage
from edgelift.oci.content import ContentStore
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_MANIFEST
from edgelift.packs.local import LocalPack

CONFIG_TYPE = "application/vnd.unknown.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"  # what ORAS calls every file that nobody gives a type
_CONFIG = b"{}"
_TITLE = "org.opencontainers.image.title"


@dataclass(frozen=True)
class PackArtifact:
    """A local pack as it is pinned, and the bytes of all that it consists of."""

    pinned: LockedImage
    contents: Mapping[Digest, bytes] = field(repr=False)

    @classmethod
    def of(cls, pack: LocalPack) -> "PackArtifact":
        """What `pack` becomes; the same archive always becomes the same."""
        config, layer = _describe(CONFIG_TYPE, _CONFIG), _describe(LAYER_TYPE, pack.archive)
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _plain(config),
            "layers": [{**_plain(layer), "annotations": {_TITLE: pack.file_name}}],
        }
        raw = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        manifest = _describe(OCI_MANIFEST, raw)
        pinned = LockedImage(
            reference=str(pack.reference),
            descriptor=manifest,
            manifests=(manifest,),
            blobs=(config, layer),
            kind="pack",
        )
        return cls(pinned, {config.digest: _CONFIG, layer.digest: pack.archive, manifest.digest: raw})

    def keep(self, store: ContentStore) -> None:
        """Put all of it into `store`, and name it there."""
        for each in (*self.pinned.blobs, *self.pinned.manifests):
            store.write(each, self.contents[each.digest])
        store.tag({self.pinned.reference: self.pinned.descriptor})


def _describe(media_type: str, content: bytes) -> Descriptor:
    return Descriptor(media_type=media_type, digest=Digest.of(content), size=len(content))


def _plain(descriptor: Descriptor) -> dict[str, object]:
    return descriptor.model_dump(mode="json", by_alias=True, exclude_none=True)
