"""Everything that a client does with a registry, each as one call; refusals are the registry's business."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgelift.demo.content import SampleImage, SampleLayer, make_image
from edgelift.errors import EdgeliftError
from edgelift.oci.artifact import find_artifact, push_artifact, read_artifact
from edgelift.oci.content import ImageContent
from edgelift.oci.copy import Origin, copy_content
from edgelift.oci.credentials import Credential, Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_MANIFEST
from edgelift.oci.pull import pull_content
from edgelift.oci.push import KnownBlobs, push_content
from edgelift.oci.reference import ImageReference
from edgelift.oci.registry import Registry
from edgelift.pin import pin_image
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.oci.clocks import Hands

MIB = 2**20
THERE = make_image("team/app", layers=(SampleLayer("tar", 3000),))
OURS = make_image("team/ours", layers=(SampleLayer("tar", 3000),), seed="ours")
LARGE = Descriptor(media_type="application/octet-stream", digest=Digest.of(bytes(2 * MIB)), size=2 * MIB)


@dataclass(frozen=True)
class Place:
    """A destination."""

    repository: str
    tag: str = "new"


@dataclass(frozen=True)
class Desk:
    """What an operation works with: a fresh client, a store that holds `OURS`, and a folder of its own."""

    registry: Registry
    full: LocalStore
    folder: Path

    def new_store(self) -> LocalStore:
        """An empty store."""
        return LocalStore(self.folder / f"store-{len(list(self.folder.iterdir()))}")

    def file(self) -> Path:
        """A bundle to be kept as an artifact, of two chunks at Amazon's and GitHub's registries."""
        path = self.folder / "edge.tar.zst"
        path.write_bytes(b"a bundle")
        return path


def fill(store: LocalStore) -> LocalStore:
    """`store`, with the image to be pushed and the manifests of the one to be copied."""
    for image, descriptors in ((OURS, (*OURS.blobs, *OURS.manifests)), (THERE, THERE.manifests)):
        for descriptor in descriptors:
            store.write(descriptor, image.contents[descriptor.digest])
    return store


def content_of(image: SampleImage) -> ImageContent:
    """All that `image` consists of."""
    return ImageContent(tuple(image.manifests), tuple(image.blobs))


def _push_artifact(desk: Desk) -> None:
    path = desk.file()
    digest = Digest.of(path.read_bytes())
    push_artifact(desk.registry, "site/bundles", "june", path, digest=digest, media_type="application/zstd")


def _read_artifact(desk: Desk) -> None:
    list(read_artifact(desk.registry, "team/app", find_artifact(desk.registry, "team/app", "1.0")))


def _pull_pinned(desk: Desk) -> None:
    store = desk.new_store()
    pinned = pin_image(ImageReference.parse(f"{desk.registry.host}/team/app:1.0"), None, desk.registry, store)
    pull_content(desk.registry, "team/app", ImageContent(pinned.manifests, pinned.blobs), store)


def _copy(desk: Desk) -> None:
    origin = Origin(desk.registry, "team/app", desk.full)
    copy_content(origin, content_of(THERE), desk.registry, Place("team/copied", "copied"), known=KnownBlobs())


_BLOB = THERE.blobs[-1]
_OUR_BLOB = OURS.blobs[-1]
_OUR_BYTES = OURS.contents[_OUR_BLOB.digest]

OPERATIONS: dict[str, Callable[[Desk], object]] = {
    "log in": lambda desk: desk.registry.log_in(),
    "read a manifest by tag": lambda desk: desk.registry.read_manifest("team/app", "1.0"),
    "read a manifest by digest": lambda desk: desk.registry.read_manifest("team/app", THERE.root.digest),
    "describe a tag": lambda desk: desk.registry.describe("team/app", "1.0"),
    "look for a blob": lambda desk: desk.registry.blob_size("team/app", _BLOB.digest),
    "read a blob": lambda desk: list(desk.registry.read_blob("team/app", _BLOB).chunks),
    "read the rest of a blob": lambda desk: list(desk.registry.read_blob("team/app", _BLOB, 9).chunks),
    "upload a blob": lambda desk: desk.registry.upload_blob("team/new", _OUR_BLOB, lambda: iter([_OUR_BYTES])),
    "upload a blob in chunks": lambda desk: desk.registry.upload_blob(
        "team/new", LARGE, lambda: iter([bytes(2 * MIB)])
    ),
    "mount a blob": lambda desk: desk.registry.upload_blob(
        "team/new", _OUR_BLOB, lambda: iter([_OUR_BYTES]), mount_from="team/app"
    ),
    "write a manifest": lambda desk: desk.registry.write_manifest(
        "team/new", "1.0", OURS.contents[OURS.root.digest], OCI_MANIFEST
    ),
    "prove the right to push": lambda desk: desk.registry.check_push("team/new"),
    "list tags": lambda desk: desk.registry.list_tags("team/app"),
    "list repositories": lambda desk: desk.registry.list_repositories(),
    "pull an image": lambda desk: pull_content(desk.registry, "team/app", content_of(THERE), desk.new_store()),
    "pin and pull an image": _pull_pinned,
    "push an image": lambda desk: push_content(
        desk.full, content_of(OURS), desk.registry, Place("team/pushed"), known=KnownBlobs()
    ),
    "copy an image": _copy,
    "push an artifact": _push_artifact,
    "read an artifact": _read_artifact,
}


def perform(desk: Desk, name: str) -> None:
    """Do one of the `OPERATIONS`; whatever the registry does, only our own errors may come of it."""
    with suppress(EdgeliftError):
        OPERATIONS[name](desk)


def open_registry(host: str, login: Credential | None, *, ca_cert: Path | None = None, tls: bool = False) -> Registry:
    """A client that never waits, sends large blobs in chunks, and has `login` for exactly `host`."""
    settings = TransportSettings(
        ca_cert=ca_cert,
        plain_http=frozenset() if tls else frozenset({host}),
        idle_timeout=10,
        attempts=3,
        largest_request=MIB,
    )
    credentials = Credentials(lambda asked, _: login if asked == host else None)
    return Registry(host, settings, credentials, clock=Hands().clock)
