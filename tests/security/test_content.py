"""What a registry says that something is: digests that are none, pins that are not kept, tags that move."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelift.bundle.definition import BundleDefinition
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.writer import assemble_bundle
from edgelift.demo.content import make_image
from edgelift.errors import EdgeliftError, IntegrityError
from edgelift.oci.artifact import find_artifact
from edgelift.oci.content import ImageContent
from edgelift.oci.credentials import Credentials
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_INDEX, OCI_MANIFEST
from edgelift.oci.pull import pull_content
from edgelift.oci.reference import ImageReference
from edgelift.oci.registry import Registry
from edgelift.pin import pin_image
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.oci.clocks import Hands
from tests.simulators.http_faults import Answer, HttpFaults, Request
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app", architectures=("amd64", "arm64"))
MOVED = make_image("team/app", tag="2.0", architectures=("amd64", "arm64"), seed="another")
GOOD = {"mediaType": "application/octet-stream", "digest": f"sha256:{'0' * 64}", "size": 1}


def client_of(host: str) -> Registry:
    """A client that never waits."""
    settings = TransportSettings(plain_http=frozenset({host}))
    return Registry(host, settings, Credentials(), clock=Hands().clock)


# Digests (CVE-2024-3727)

NO_DIGESTS = {
    "a path upwards": "sha256:../../x",
    "a path upwards of the right length": "sha256:" + ("../" * 22)[:64],
    "an encoded path": "sha256:" + "..%2f" * 12 + "abcd",
    "63 digits": "sha256:" + "0" * 63,
    "upper-case digits": "sha256:" + "A" * 64,
    "md5": "md5:" + "0" * 32,
    "an absolute path": "/etc/passwd",
    "a line break behind it": "sha256:" + "0" * 64 + "\n",
}


def _image(**changes: Any) -> tuple[str, dict[str, Any]]:
    return OCI_MANIFEST, {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": GOOD, "layers": [GOOD], **changes}


def _index(**changes: Any) -> tuple[str, dict[str, Any]]:
    entry = GOOD | {"mediaType": OCI_MANIFEST}
    return OCI_INDEX, {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry], **changes}


PLACES: dict[str, Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]] = {
    "the config": lambda bad: _image(config=bad),
    "a layer": lambda bad: _image(layers=[GOOD, bad]),
    "the subject": lambda bad: _image(subject=bad),
    "an entry of an index": lambda bad: _index(manifests=[GOOD | {"mediaType": OCI_MANIFEST}, bad]),
    "the subject of an index": lambda bad: _index(subject=bad),
}


@pytest.mark.parametrize("text", NO_DIGESTS.values(), ids=NO_DIGESTS)
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_what_is_no_digest_gets_into_no_url_and_no_path(
    place: Callable[[dict[str, Any]], tuple[str, dict[str, Any]]], text: str, tmp_path: Path
) -> None:
    """A manifest with such a digest is the last thing that is asked for, and nothing of it is kept."""
    kind, document = place(GOOD | {"digest": text})
    raw = json.dumps(document).encode()
    store = LocalStore(tmp_path / "store")
    before = sorted(tmp_path.rglob("*"))
    with HttpFaults(lambda _: Answer(200, (("Content-Type", kind),), raw)) as server:
        registry = client_of(server.host)
        with pytest.raises(IntegrityError, match="is not a digest"):
            pin_image(ImageReference.parse(f"{server.host}/team/app:1.0"), None, registry, store)
        asked_to_pin = len(server.requests)
        with pytest.raises(IntegrityError, match="is not a digest"):
            find_artifact(registry, "team/app", "1.0")

    assert (asked_to_pin, len(server.requests)) == (1, 2)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("text", [each for each in NO_DIGESTS.values() if each.isprintable()])
def test_a_header_that_is_no_digest_is_as_good_as_none(text: str) -> None:
    """`Docker-Content-Digest` may say anything: what is no digest is not taken, and leads to no further request."""
    raw = APP.contents[APP.manifests[0].digest]
    headers = (("Content-Type", APP.manifests[0].media_type), ("Docker-Content-Digest", text))
    with HttpFaults(lambda _: Answer(200, headers, raw)) as server:
        found = client_of(server.host).describe("team/app", "1.0")

    assert found is not None
    assert found.digest == APP.manifests[0].digest
    assert {each.target for each in server.requests} == {"/v2/team/app/manifests/1.0"}


# Pins (GHSA-qv35-3gw6-8q4j)


def test_a_pin_that_the_registry_only_claims_to_keep_is_refused(tmp_path: Path) -> None:
    """HEAD and the headers of GET say what was asked for, and the bytes are others: nothing is kept of them."""
    other = MOVED.contents[MOVED.root.digest]
    headers = (("Content-Type", APP.root.media_type), ("Docker-Content-Digest", str(APP.root.digest)))
    store = LocalStore(tmp_path)
    with HttpFaults(lambda _: Answer(200, headers, other)) as server:
        registry, pinned = client_of(server.host), f"{server.host}/team/app@{APP.root.digest}"
        claimed = registry.describe("team/app", APP.root.digest)
        with pytest.raises(IntegrityError, match="not what its digest says"):
            pin_image(ImageReference.parse(pinned), None, registry, store)

    assert claimed is not None
    assert claimed.digest == APP.root.digest
    assert not any(path.is_file() for path in (tmp_path / "blobs").rglob("*"))


CONFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "layers and manifests": (OCI_MANIFEST, _image()[1] | _index()[1] | {"mediaType": OCI_MANIFEST}),
    "an index with layers": (OCI_INDEX, _index(layers=[GOOD])[1]),
    "another type than the server's": (OCI_INDEX, _image()[1]),
    "another type than its own": (OCI_MANIFEST, _image(mediaType=OCI_INDEX)[1]),
}


@pytest.mark.parametrize(("kind", "document"), CONFUSED.values(), ids=CONFUSED)
def test_a_document_of_two_kinds_is_of_none(kind: str, document: dict[str, Any], tmp_path: Path) -> None:
    """What two clients could read as two different things is read as neither (CVE-2021-41190)."""
    raw = json.dumps(document).encode()
    with HttpFaults(lambda _: Answer(200, (("Content-Type", kind),), raw)) as server, pytest.raises(IntegrityError):
        pin_image(
            ImageReference.parse(f"{server.host}/team/app@{Digest.of(raw)}"),
            None,
            client_of(server.host),
            LocalStore(tmp_path),
        )

    assert len(server.requests) == 1


# Tags that move


def test_a_bundle_holds_what_the_tag_was_when_it_was_asked_for(tmp_path: Path) -> None:
    """A tag that moves after the first answer changes nothing: the bundle is the first digest, to the last blob."""
    with RegistrySimulator(tmp_path / "registry") as sim:
        sim.put_image(APP, MOVED)
        sim.move_tag("team/app", "1.0", MOVED.root.digest, after_requests=1)
        registry, store = client_of(sim.host), LocalStore(tmp_path / "store")
        pinned = pin_image(ImageReference.parse(f"{sim.host}/team/app:1.0"), None, registry, store)
        standing = registry.describe("team/app", "1.0")
        pull_content(registry, "team/app", ImageContent(pinned.manifests, pinned.blobs), store)
    lock = BundleLock(definition=BundleDefinition(name="site"), images=(pinned,))
    assemble_bundle(lock, store, tmp_path / "site.tar.zst")

    with BundleReader.open(tmp_path / "site.tar.zst") as bundle:
        held = {each.digest: b"".join(bundle.read(each)) for each in (*pinned.manifests, *pinned.blobs)}
        strangers = [each for each in MOVED.manifests if bundle.exists(each)]
    assert standing is not None
    assert (standing.digest, pinned.descriptor.digest) == (MOVED.root.digest, APP.root.digest)
    assert held == {each.digest: APP.contents[each.digest] for each in (*APP.manifests, *APP.blobs)}
    assert strangers == []


# Messages


@pytest.mark.parametrize("name", ["mediaType", "annotations"])
def test_a_stranger_does_not_fill_the_log(name: str) -> None:
    """A manifest of megabytes that is wrong is told in a line that can be read, and printed."""
    hostile = "\x1b[31m" * 200_000
    document = _image(**{name: hostile if name == "mediaType" else {hostile: 1}})[1]
    raw = json.dumps(document).encode()

    def respond(request: Request) -> Answer:
        return Answer(200, (("Content-Type", OCI_MANIFEST),), raw)

    with HttpFaults(respond) as server, pytest.raises(EdgeliftError) as caught:
        client_of(server.host).read_manifest("team/app", "1.0")

    assert len(caught.value.message) < 1000
    assert caught.value.message.isprintable()
