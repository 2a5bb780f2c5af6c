"""Locks whose images are asked for by packs: two images of one pack, one of another, one that nobody asks for."""

from edgelift.bundle.attribution import Asker
from edgelift.bundle.cluster_definition import LockedClusterDefinition
from edgelift.bundle.definition import BundleDefinition, Origin, RequestedImage
from edgelift.bundle.lock import BundleLock, LockedImage
from tests.bundle.content import GZIP, LAYER, MemoryContent, noise

CONTENT = MemoryContent()
BASE = CONTENT.add(noise(5_000, 1), GZIP)
PAIR = CONTENT.add(noise(2_000, 2), LAYER)
OWN = [CONTENT.add(noise(1_000 + number, 10 + number), LAYER) for number in range(4)]
WEB = CONTENT.add_image("quay.io/team/web:1", [BASE, PAIR, OWN[0]])
SIDE = CONTENT.add_image("quay.io/team/side:1", [BASE, PAIR, OWN[1]])
AGENT = CONTENT.add_image("quay.io/team/agent:1", [BASE, OWN[2]])
TOOL = CONTENT.add_image("quay.io/team/tool:1", [OWN[3]])
NGINX, CALICO, OTHER, NOBODY = (
    Asker("apps", "nginx"),
    Asker("infra", "calico"),
    Asker("apps", "other"),
    Asker("", ""),
)


def lock_of(*asked: tuple[LockedImage, tuple[Asker, ...]]) -> BundleLock:
    """A lock of images, each with who asks for it."""
    requested = tuple(
        RequestedImage(
            reference=image.reference,
            origins=tuple(
                Origin(profile=each.profile, pack=each.pack, path=f"x[{number}]") for number, each in enumerate(askers)
            ),
        )
        for image, askers in asked
    )
    images = tuple(image for image, _ in asked)
    return BundleLock(definition=BundleDefinition(name="site", images=requested), images=images)


def own_size(image: LockedImage) -> int:
    """Bytes of manifest, config and own layer: what no other image has."""
    return image.size - sum(layer.size for layer in (BASE, PAIR) if layer in image.blobs)


CLUSTER = LockedClusterDefinition.of("harbour", noise(3_000, 20), ())
LOCK = lock_of((WEB, (NGINX,)), (SIDE, (NGINX,)), (AGENT, (CALICO,)), (TOOL, ()))
