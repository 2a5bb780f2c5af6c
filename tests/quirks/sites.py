"""A registry of some kind, a client for it, and a set of two images that share a layer."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.delivery.preflight import Preflight, check_delivery
from edgelift.delivery.receipt import DeliveryReceipt
from edgelift.delivery.target import Target
from edgelift.delivery.validate import validate_lock
from edgelift.demo.content import SampleImage, SampleLayer, make_image
from edgelift.oci.content import ImageContent
from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.pull import pull_content
from edgelift.oci.push import KnownBlobs, OnConflict, push_content
from edgelift.oci.registry import Registry
from edgelift.oci.transfer import Transfer
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.oci.clocks import Hands
from tests.simulators.profiles import Profile
from tests.simulators.registry import RegistrySimulator

SHARED = SampleLayer("gzip", 8192, seed="in both images")
FIRST = make_image("edge/quay.io/team/first", layers=(SHARED, SampleLayer("tar", 900)))
SECOND = make_image(
    "edge/quay.io/team/second", architectures=("amd64", "arm64"), layers=(SHARED, SampleLayer("zstd", 500))
)
DOCKER = make_image("edge/quay.io/team/docker", flavour="docker")
REPOSITORIES = (FIRST.repository, SECOND.repository, DOCKER.repository)
USER, PASSWORD = "robot$courier", "a made-up: password"


@dataclass(frozen=True)
class Place:
    """A destination."""

    repository: str
    tag: str


@dataclass
class Site:
    """A registry, and what a client does to it; nobody waits between attempts."""

    sim: RegistrySimulator
    profile: Profile
    registry: Registry
    folder: Path
    hands: Hands

    def push(
        self, image: SampleImage, tag: str = "", *, known: KnownBlobs | None = None, on_conflict: OnConflict = "fail"
    ) -> Transfer:
        """Push `image` from a store to where it belongs."""
        store, content = LocalStore(self.folder / "source"), ImageContent(image.manifests, image.blobs)
        for descriptor in (*image.blobs, *image.manifests):
            store.write(descriptor, image.contents[descriptor.digest])
        place = Place(image.repository, tag or image.tag)
        return push_content(store, content, self.registry, place, known=known or KnownBlobs(), on_conflict=on_conflict)

    def pull(self, image: SampleImage) -> dict[Digest, bytes]:
        """What a store holds after `image` was pulled into it."""
        store = LocalStore(self.folder / "pulled")
        pull_content(self.registry, image.repository, ImageContent(image.manifests, image.blobs), store)
        return {each.digest: b"".join(store.read(each)) for each in (*image.manifests, *image.blobs)}

    def upload(self, content: bytes, repository: str = FIRST.repository, *, mount_from: str | None = None) -> str:
        """Upload one blob; gives how it came there."""
        blob = describe(content)
        pieces = [content[start : start + 2**18] for start in range(0, len(content), 2**18)]
        return self.registry.upload_blob(repository, blob, lambda: iter(pieces), mount_from=mount_from)

    def holds(self, content: bytes, repository: str = FIRST.repository) -> bool:
        """Whether the registry has exactly `content`, looked at without a request."""
        digest = Digest.of(content)
        if self.sim.content.blob_size(repository, digest) != len(content):
            return False
        return b"".join(self.sim.content.read_blob_range(repository, digest, 0, len(content))) == content

    def validate(self, *images: SampleImage) -> DeliveryReceipt:
        """The receipt for `images`."""
        return validate_lock(lock_of(*images), self.target, self.registry, deep=True)

    def preflight(self, *images: SampleImage, on_conflict: OnConflict = "fail") -> Preflight:
        """What a preflight finds for `images`."""
        return check_delivery(lock_of(*images), self.target, self.registry, on_conflict)

    @property
    def target(self) -> Target:
        """Where the images belong."""
        return Target.parse(f"{self.sim.host}/edge")


@contextmanager
def site_of(
    folder: Path,
    profile: Profile,
    username: str = "",
    password: str = "",
    *,
    identity_token: str = "",
    settings: TransportSettings | None = None,
) -> Iterator[Site]:
    """A registry with this profile, and a client with this login."""
    folder.mkdir(parents=True, exist_ok=True)
    with RegistrySimulator(folder / "registry", profile=profile) as sim:
        hands = Hands()
        credentials = Credentials.of([(sim.host, username, password)] if username else [])
        if identity_token:
            config = folder / "config.json"
            login = {"auth": "", "username": username, "identitytoken": identity_token}
            config.write_text(json.dumps({"auths": {sim.host: login}}))
            credentials = Credentials.from_docker_config(config)
        registry = Registry(sim.host, settings or TransportSettings(), credentials, clock=hands.clock)
        try:
            yield Site(sim, profile, registry, folder, hands)
        finally:
            registry.close()


def lock_of(*images: SampleImage) -> BundleLock:
    """A lock of `images`, under the names they had before they came to `edge/`."""
    locked = tuple(
        LockedImage(
            reference=f"{image.repository.removeprefix('edge/')}:{image.tag}",
            descriptor=image.root,
            manifests=image.manifests,
            blobs=image.blobs,
        )
        for image in images
    )
    asked = tuple(RequestedImage(reference=image.reference) for image in locked)
    return BundleLock(definition=BundleDefinition(name="site", images=asked), images=locked)


def describe(content: bytes) -> Descriptor:
    """The descriptor of a blob."""
    return Descriptor(media_type="application/octet-stream", digest=Digest.of(content), size=len(content))
