"""Sample images for tests: whole sets, artifacts, and a way to put them into any registry.

image = make_image("team/app", architectures=("amd64", "arm64"), base="alpine")     # edgelift.demo.content
load_image(registry.host, "team/app", "1.0", image)                                # by POST and PUT, plain HTTP
"""

import json
from dataclasses import replace

import httpx

from edgelift.demo.content import SampleImage, SampleLayer, make_image
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_MANIFEST

EMPTY_CONFIG = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"


def make_image_set(count: int = 20, multi_arch: int = 5, prefix: str = "sample/image") -> list[SampleImage]:
    """`count` images of which the first `multi_arch` are indexes; most share a base, and all share one layer."""
    shared = SampleLayer("gzip", 8192, seed="in every image")
    return [
        make_image(
            f"{prefix}-{number:02}",
            architectures=("amd64", "arm64") if number < multi_arch else ("amd64",),
            layers=(shared, SampleLayer("gzip" if number % 3 else "zstd", 4096 + number), SampleLayer("tar", number)),
            base=("", "alpine", "debian")[number % 3],
            attested=number == 0 and multi_arch > 0,
        )
        for number in range(count)
    ]


def make_artifact(
    repository: str,
    tag: str,
    *,
    subject: Descriptor | None = None,
    artifact_type: str = "application/vnd.example.signature.v1",
    payload: bytes = b"a made-up signature",
) -> SampleImage:
    """An artifact with an empty config and one layer; with a `subject` it is a referrer of it."""
    config = _describe(EMPTY_TYPE, EMPTY_CONFIG)
    layer = _describe("application/octet-stream", payload)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": _to_json(config),
        "layers": [_to_json(layer)],
        "annotations": {"sample": "artifact"},
    }
    if subject is not None:
        document["subject"] = _to_json(subject.plain())
    raw = json.dumps(document).encode()
    root = _describe(OCI_MANIFEST, raw)
    contents = {config.digest: EMPTY_CONFIG, layer.digest: payload, root.digest: raw}
    return SampleImage(repository, tag, root, (root,), (config, layer), contents)


def rename_image(image: SampleImage, repository: str, tag: str) -> SampleImage:
    """The same content under another name."""
    return replace(image, repository=repository, tag=tag)


def load_image(
    host: str,
    repository: str,
    tag: str,
    image: SampleImage,
    *,
    client: httpx.Client | None = None,
) -> None:
    """Push `image` to a registry the plain way; a `client` of your own brings a login or trust in a certificate."""
    if client is None:
        with httpx.Client(base_url=f"http://{host}", trust_env=False, timeout=30) as plain:
            load_image(host, repository, tag, image, client=plain)
        return
    for blob in image.blobs:
        _push_blob(client, repository, blob.digest, image.contents[blob.digest])
    for manifest in image.manifests:
        selectors = [manifest.digest, tag] if manifest == image.root else [manifest.digest]
        for selector in selectors:
            response = client.put(
                f"/v2/{repository}/manifests/{selector}",
                content=image.contents[manifest.digest],
                headers={"Content-Type": manifest.media_type},
            )
            assert response.status_code == 201, response.text


def _push_blob(client: httpx.Client, repository: str, digest: Digest, content: bytes) -> None:
    begun = client.post(f"/v2/{repository}/blobs/uploads/")
    assert begun.status_code == 202, begun.text
    location = begun.headers["Location"]
    address = f"{location}{'&' if '?' in location else '?'}digest={digest}"
    done = client.put(address, content=content, headers={"Content-Type": "application/octet-stream"})
    assert done.status_code == 201, done.text


def _describe(media_type: str, content: bytes) -> Descriptor:
    return Descriptor(media_type=media_type, digest=Digest.of(content), size=len(content))


def _to_json(descriptor: Descriptor) -> dict[str, object]:
    return descriptor.model_dump(mode="json", by_alias=True, exclude_none=True)
