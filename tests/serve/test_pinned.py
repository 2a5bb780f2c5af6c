"""A registry over a bundle or a store: names, visibility, and what happens to damaged content."""

import json
import logging
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from edgelift.bundle.container import Blob
from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.writer import assemble_bundle
from edgelift.demo.content import SampleImage, SampleLayer, make_image
from edgelift.errors import IntegrityError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_MANIFEST
from edgelift.oci.reference import ImageReference
from edgelift.serve.pinned import BundleContent, StoreContent, repository_name
from edgelift.serve.registry import create_registry
from edgelift.serve.server import RunningServer
from edgelift.store.local import LocalStore
from tests.images import make_artifact
from tests.serve.conftest import HOST, client_of, code_of, store_images

APP = make_image("team/app", architectures=("amd64", "arm64"), layers=(SampleLayer("gzip", 600_000),), attested=True)
TOOL = make_image("team/tool", flavour="docker")
SIGNATURE = make_artifact("team/app", "sig", subject=APP.root)
NAMES = {
    "docker.io/library/nginx:1.27": "docker.io/library/nginx",
    "127.0.0.1:5001/demo/nginx:1": "127.0.0.1_5001/demo/nginx",
    "localhost:5000/a:1": "localhost_5000/a",
    "xn--rd-eka.example/a:1": "xn--rd-eka.example/a",
    "[::1]:5000/a/b:1": "1_5000/a/b",
    "[fe80::1]/a/b:1": "fe80_1/a/b",
}


def _lock(*images: SampleImage) -> BundleLock:
    references = [f"{HOST}/{image.repository}:{image.tag}" for image in images]
    locked = [
        LockedImage(reference=reference, descriptor=image.root, manifests=image.manifests, blobs=image.blobs)
        for reference, image in zip(references, images, strict=True)
    ]
    requested = tuple(RequestedImage(reference=reference) for reference in references)
    return BundleLock(definition=BundleDefinition(images=requested), images=tuple(locked))


@pytest.fixture(scope="module", params=["bundle", "store"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A registry over a real bundle, and one over a real store, with the same three images."""
    folder = tmp_path_factory.mktemp("pinned")
    images = (APP, SIGNATURE, TOOL)
    store = store_images(folder / "store", *images)
    if request.param == "store":
        with RunningServer(create_registry(StoreContent(store))) as server, client_of(server) as client:
            yield client
        return
    path = assemble_bundle(_lock(*images), store, folder / "x.tar.zst").path
    with (
        BundleReader.open(path) as bundle,
        RunningServer(create_registry(BundleContent(bundle))) as server,
        client_of(server) as client,
    ):
        yield client


@pytest.mark.parametrize(("reference", "repository"), NAMES.items())
def test_names(reference: str, repository: str) -> None:
    """The host comes first in the repository; what a repository cannot hold becomes an underscore."""
    assert repository == repository_name(ImageReference.parse(reference))


def test_everything_is_served(client: httpx.Client) -> None:
    """Every manifest and blob of every image is served, byte for byte."""
    for image in (APP, SIGNATURE, TOOL):
        home = f"/v2/quay.example_5001/{image.repository}"
        tagged = client.get(f"{home}/manifests/{image.tag}")
        assert (image.root.digest, image.contents[image.root.digest]) == (
            tagged.headers["docker-content-digest"],
            tagged.content,
        )
        got = [client.get(f"{home}/manifests/{each.digest}").content for each in image.manifests]
        got += [client.get(f"{home}/blobs/{each.digest}").content for each in image.blobs]
        assert [image.contents[each.digest] for each in (*image.manifests, *image.blobs)] == got


def test_ranges_add_up(client: httpx.Client) -> None:
    """A blob read in ranges is the blob."""
    layer = max(APP.blobs, key=lambda blob: blob.size)
    address = f"/v2/quay.example_5001/team/app/blobs/{layer.digest}"
    edges = [0, 1, 4096, 262_144, 262_145, layer.size]
    asked = [f"bytes={start}-{stop - 1}" for start, stop in pairwise(edges)]
    got = b"".join(client.get(address, headers={"Range": each}).content for each in asked)
    assert APP.contents[layer.digest] == got


def test_referrers(client: httpx.Client) -> None:
    """A signature in the same repository is listed as a referrer."""
    listed = client.get(f"/v2/quay.example_5001/team/app/referrers/{APP.root.digest}").json()["manifests"]
    assert [SIGNATURE.root.digest] == [each["digest"] for each in listed]


def test_listings(client: httpx.Client) -> None:
    """Repositories and tags are listed under the host that they came from."""
    assert client.get("/v2/_catalog").json()["repositories"] == [
        "quay.example_5001/team/app",
        "quay.example_5001/team/tool",
    ]
    assert client.get("/v2/quay.example_5001/team/app/tags/list").json()["tags"] == ["1.0", "sig"]


def test_tag_and_digest_of_one_name(tmp_path: Path) -> None:
    """Where a reference by tag and one by tag and digest differ, the plain tag decides and both digests are served."""
    old = make_image("team/app", seed="old")
    store = store_images(tmp_path, APP, old)
    store.tag({f"{HOST}/team/app:1.0": APP.root})
    store.tag({f"{HOST}/team/app:1.0@{old.root.digest}": old.root})
    content = StoreContent(store)
    by_tag, by_digest = (content.resolve("quay.example_5001/team/app", each) for each in ("1.0", old.root.digest))
    assert by_tag is not None
    assert by_digest is not None
    assert (APP.root.digest, old.root.digest) == (by_tag[0].digest, by_digest[0].digest)


def test_reference_without_a_tag(tmp_path: Path) -> None:
    """An image that was asked for by digest alone is served by digest, and has no tag."""
    store = store_images(tmp_path)
    for descriptor in (*TOOL.blobs, *TOOL.manifests):
        store.write(descriptor, TOOL.contents[descriptor.digest])
    store.tag({f"{HOST}/team/tool@{TOOL.root.digest}": TOOL.root})
    content = StoreContent(store)
    assert content.tags("quay.example_5001/team/tool") == ()
    assert content.resolve("quay.example_5001/team/tool", TOOL.root.digest) is not None


def _damage(store: LocalStore, descriptor: Descriptor) -> None:
    path = store.path(descriptor.digest)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def test_damaged_blob_never_arrives_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The body of a damaged blob is cut before its last byte, the reason is logged, and no traceback."""
    store = store_images(tmp_path, APP)
    layer = max(APP.blobs, key=lambda blob: blob.size)
    _damage(store, layer)
    with RunningServer(create_registry(StoreContent(store))) as server, client_of(server) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(f"/v2/quay.example_5001/team/app/blobs/{layer.digest}")
        assert client.get("/v2/").status_code == 200
    assert f"copy of {layer.digest} is damaged" in caplog.text
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("start", [0, 1, 262_144, 599_999])
def test_last_byte_of_a_signed_blob_leaves_only_when_all_of_it_is_right(start: int, tmp_path: Path) -> None:
    """Where the lock's signature vouches for the content, a range cannot get around the digest."""
    path = assemble_bundle(_lock(APP), store_images(tmp_path / "store", APP), tmp_path / "x.tar.zst").path
    with BundleReader.open(path) as bundle:
        layer = max(bundle.container.blobs, key=lambda blob: blob.size)
        stored = bundle.tar.table.find(layer.offset).stored_start
    content = path.read_bytes()
    with BundleReader.open(path) as bundle:
        right = b"".join(BundleContent(bundle, is_signed=True).read_blob_range(*_home(layer), start, layer.size))
        path.write_bytes(content[: stored + 100] + bytes([content[stored + 100] ^ 1]) + content[stored + 101 :])
        served = BundleContent(bundle, is_signed=True).read_blob_range(*_home(layer), start, layer.size)
        seen = bytearray()
        with pytest.raises(IntegrityError):
            seen.extend(byte for chunk in served for byte in chunk)
        before = b"".join(BundleContent(bundle, is_signed=True).read_blob_range(*_home(layer), 200, 300))

    assert right == APP.contents[layer.descriptor.digest][start:]
    assert len(seen) < len(right)
    assert before == APP.contents[layer.descriptor.digest][200:300]


def _home(blob: Blob) -> tuple[str, Digest]:
    return "quay.example_5001/team/app", blob.descriptor.digest


def test_damaged_manifest_is_an_error(tmp_path: Path) -> None:
    """A manifest that is damaged after the start is answered with 500 and the reason."""
    store = store_images(tmp_path, APP)
    with RunningServer(create_registry(StoreContent(store))) as server, client_of(server) as client:
        _damage(store, APP.root)
        refused = client.get("/v2/quay.example_5001/team/app/manifests/1.0")
        assert (refused.status_code, code_of(refused)) == (500, "UNKNOWN")
        assert "damaged" in refused.json()["errors"][0]["message"]


def test_blob_that_disappears(tmp_path: Path) -> None:
    """A blob that is removed from the store under the running registry is answered with 404."""
    store = store_images(tmp_path, APP)
    with RunningServer(create_registry(StoreContent(store))) as server, client_of(server) as client:
        store.path(APP.blobs[0].digest).unlink()
        assert client.get(f"/v2/quay.example_5001/team/app/blobs/{APP.blobs[0].digest}").status_code == 404


def test_damaged_store_is_not_served(tmp_path: Path) -> None:
    """A store with a damaged manifest is refused at the start."""
    store = store_images(tmp_path, APP)
    _damage(store, APP.root)
    with pytest.raises(IntegrityError):
        StoreContent(store)


class _Hostile:
    """A bundle whose lock says that `raw` is a manifest of the size `size`."""

    def __init__(self, raw: bytes, size: int) -> None:
        self.raw = raw
        self.root = Descriptor(media_type=OCI_MANIFEST, digest=Digest.of(raw), size=size)
        image = LockedImage(reference=f"{HOST}/a/b:1", descriptor=self.root, manifests=(self.root,), blobs=())
        self.lock = BundleLock(definition=BundleDefinition(), images=(image,))

    def exists(self, descriptor: Descriptor) -> bool:
        """Say that all is here."""
        return True

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """Give the raw bytes."""
        yield self.raw

    def read_range(self, descriptor: Descriptor, start: int, stop: int) -> Iterator[bytes]:
        """Give some of the raw bytes."""
        yield self.raw[start:stop]


HOSTILE = {
    "not JSON": b"\xff\xfe",
    "a list": b"[]",
    "deeply nested": b"[" * 100_000,
    "subject is a text": json.dumps({"subject": "x"}).encode(),
    "config is a text": json.dumps({"subject": {"digest": Digest.of(b"")}, "config": "x"}).encode(),
    "annotations are a text": json.dumps({"subject": {"digest": Digest.of(b"")}, "annotations": "x"}).encode(),
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_hostile_manifest_in_a_bundle(raw: bytes) -> None:
    """A lock may call anything a manifest: listing referrers passes over what is none."""
    content = BundleContent(_Hostile(raw, len(raw)))
    assert list(content.referrers("quay.example_5001/a/b", Digest.of(b""))) == []


def test_huge_manifest_in_a_bundle() -> None:
    """A manifest of absurd size is refused before it is read into memory."""
    hostile = _Hostile(b"{}", 2**40)
    with pytest.raises(IntegrityError, match="too many for a manifest"):
        BundleContent(hostile).resolve("quay.example_5001/a/b", "1")


def test_client_that_leaves(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A client that leaves in the middle of a body is not an error."""
    caplog.set_level(logging.INFO)
    big = make_image("team/big", layers=(SampleLayer("tar", 8 << 20),))
    store = store_images(tmp_path, big)
    layer = max(big.blobs, key=lambda blob: blob.size)
    with RunningServer(create_registry(StoreContent(store))) as server, client_of(server) as client:
        with client.stream("GET", f"/v2/quay.example_5001/team/big/blobs/{layer.digest}") as response:
            next(response.iter_raw(1024))
        assert client.get("/v2/").status_code == 200
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []
