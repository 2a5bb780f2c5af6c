"""The requests of the comparison with real registries: a life of two repositories, mistakes included."""

import hashlib
import json

from edgelift.demo.content import SampleImage, make_image
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import ACCEPT, OCI_INDEX, OCI_MANIFEST
from tests.images import make_artifact
from tests.quirks.request_script import SIGNED, Step

BLOB = hashlib.shake_256(b"a blob for the comparison").digest(3000)
DIGEST = Digest.of(BLOB)
SHA512 = f"sha512:{hashlib.sha512(BLOB).hexdigest()}"
NOWHERE = Digest.of(b"is nowhere")
OCI = make_image("library/oci")
OCI_SHA512 = f"sha512:{hashlib.sha512(OCI.contents[OCI.root.digest]).hexdigest()}"
INDEX = make_image("library/index", architectures=("amd64", "arm64"))
DOCKER = make_image("library/docker", flavour="docker")
REFERRER = make_artifact("library/oci", "referrer", subject=OCI.root)
OCTETS = {"Content-Type": "application/octet-stream"}
ALL_TYPES = {"Accept": ACCEPT}


def begin(keep: str = "session", repository: str = "team/app") -> Step:
    """Begin an upload, and keep its location."""
    return Step(f"begin {keep}", "POST", f"/v2/{repository}/blobs/uploads/", keep=keep)


def patch(title: str, session: str, start: int, stop: int, *, keep: str = "", ranged: bool = True) -> Step:
    """Send the bytes `start` to `stop` of the blob."""
    headers = OCTETS | ({"Content-Range": f"{start}-{stop - 1}"} if ranged else {})
    return Step(title, "PATCH", f"{{{session}}}", headers, BLOB[start:stop], keep)


def put_blob(title: str, session: str, digest: str = DIGEST, body: bytes = BLOB, mark: str = "&") -> Step:
    """Finish an upload with `body`; `mark` joins the digest to the location."""
    return Step(title, "PUT", f"{{{session}}}{mark}digest={digest}", OCTETS, body)


def get(title: str, path: str, method: str = "GET", **headers: str) -> Step:
    """Read something."""
    return Step(title, method, f"/v2/{path}", {name.replace("_", "-"): value for name, value in headers.items()})


def put_manifest(title: str, path: str, raw: bytes, media_type: str = OCI_MANIFEST) -> Step:
    """Write a manifest."""
    return Step(title, "PUT", f"/v2/{path}", {"Content-Type": media_type}, raw)


def push(image: SampleImage, *tags: str, mark: str) -> list[Step]:
    """Everything of one image, under `tags`."""
    steps = []
    for number, blob in enumerate(image.blobs):
        name = f"{image.repository} blob {number}"
        steps.append(begin(f"push{number}", image.repository))
        steps.append(put_blob(f"put {name}", f"push{number}", blob.digest, image.contents[blob.digest], mark))
    for number, manifest in enumerate(image.manifests):
        selectors = [str(manifest.digest), *(tags if manifest == image.root else ())]
        for selector in selectors:
            path = f"{image.repository}/manifests/{selector}"
            title = f"put {image.repository} manifest {number} as {selector[:12]}"
            steps.append(put_manifest(title, path, image.contents[manifest.digest], manifest.media_type))
    return steps


def padded(size: int) -> bytes:
    """An image manifest of exactly `size` bytes."""
    document = json.loads(OCI.contents[OCI.root.digest])
    document["annotations"] = {"padding": ""}
    missing = size - len(json.dumps(document).encode())
    document["annotations"]["padding"] = "x" * missing
    return json.dumps(document).encode()


def naming(config: Descriptor, *layers: Descriptor) -> bytes:
    """An image manifest of these blobs."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.model_dump(mode="json", by_alias=True, exclude_none=True),
        "layers": [layer.model_dump(mode="json", by_alias=True, exclude_none=True) for layer in layers],
    }
    return json.dumps(document).encode()


def with_urls() -> bytes:
    """An image manifest with a layer that is not here, and the address where it is."""
    document = json.loads(naming(OCI.blobs[-1], _FOREIGN))
    document["layers"][0]["urls"] = ["https://example.com/layer"]
    return json.dumps(document).encode()


_MISSING = Descriptor(media_type="application/octet-stream", digest=NOWHERE, size=10)
_FOREIGN = Descriptor(
    media_type="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", digest=NOWHERE, size=10
)
_SCHEMA_1 = json.dumps({"schemaVersion": 1, "name": "library/oci", "tag": "old", "fsLayers": []}).encode()
_SPARSE_INDEX = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [{"mediaType": OCI_MANIFEST, "digest": NOWHERE, "size": 10}],
    }
).encode()


def uploads(mark: str) -> list[Step]:
    """Upload sessions: how they grow, how they are lost, and what is said to mistakes."""
    return [
        get("version", ""),
        begin(),
        Step("status of a fresh session", "GET", "{session}"),
        patch("first chunk", "session", 0, 1000, keep="second"),
        Step("status", "GET", "{second}"),
        patch("next chunk", "second", 1000, 2000, keep="third"),
        put_blob("finish", "third", body=BLOB[2000:], mark=mark),
        get("blob HEAD", f"team/app/blobs/{DIGEST}", "HEAD"),
        get("blob", f"team/app/blobs/{DIGEST}"),
        Step("status after the end", "GET", "{third}"),
        begin("old"),
        patch("first chunk, streamed", "old", 0, 1000, keep="newer", ranged=False),
        Step("status at an older location", "GET", "{old}"),
        Step("status at the newer location after that", "GET", "{newer}"),
        begin("gap"),
        patch("first of two chunks", "gap", 0, 1000, keep="gap2"),
        patch("chunk out of order", "gap2", 2000, 3000, keep="gap3"),
        begin("twice"),
        patch("chunk", "twice", 0, 1000),
        patch("the same chunk to the same location", "twice", 0, 1000),
        begin("cut"),
        patch("chunk before a cut", "cut", 0, 1000, keep="cut2"),
        Step("chunk that is cut", "PATCH", "{cut2}", OCTETS | {"Content-Range": "1000-2999"}, BLOB[1000:], cut=400),
        Step("status after a cut", "GET", "{cut2}"),
        patch("chunk after a cut", "cut2", 1400, 3000),
        begin("wrong"),
        put_blob("finish with a wrong digest", "wrong", NOWHERE, mark=mark),
        Step("status after a wrong digest", "GET", "{wrong}"),
        Step("status after a wrong digest, again", "GET", "{wrong}"),
        begin("stranger"),
        put_blob("finish with no digest at all", "stranger", "nonsense", mark=mark),
        Step("finish without saying a digest", "PUT", "{stranger}", OCTETS, BLOB),
        begin("cancelled"),
        Step("cancel", "DELETE", "{cancelled}"),
        Step("cancel again", "DELETE", "{cancelled}"),
        patch("chunk to what is cancelled", "cancelled", 0, 10),
        get("session that never was", "team/app/blobs/uploads/1dfeee4e-1a0c-4ebb-9f1a-7a27ee1d3c22"),
        Step(
            "blob in the first request", "POST", f"/v2/team/app/blobs/uploads/?digest={DIGEST}", OCTETS, BLOB, "whole"
        ),
        begin("empty"),
        put_blob("finish the empty blob", "empty", Digest.of(b""), b"", mark),
        get("the empty blob", f"team/app/blobs/{Digest.of(b'')}"),
    ]


def mounts() -> list[Step]:
    """Mounting a blob of one repository into another."""
    start = "/v2/team/other/blobs/uploads/"
    return [
        Step("mount", "POST", f"{start}?mount={DIGEST}&from=team/app"),
        get("mounted blob HEAD", f"team/other/blobs/{DIGEST}", "HEAD"),
        Step("mount what is not there", "POST", f"{start}?mount={NOWHERE}&from=team/app"),
        Step("mount from nowhere", "POST", f"{start}?mount={DIGEST}&from=no/where"),
    ]


def sha512(mark: str) -> list[Step]:
    """A blob by another algorithm, where that is only half known."""
    return [
        Step("mount without from", "POST", f"/v2/team/other/blobs/uploads/?mount={DIGEST}"),
        begin("sha512", "team/sha512"),
        put_blob("finish by sha512", "sha512", SHA512, mark=mark),
        get("blob by sha512", f"team/sha512/blobs/{SHA512}"),
        get("the same by sha256", f"team/sha512/blobs/{DIGEST}"),
        put_manifest("manifest by sha512", f"library/oci/manifests/{OCI_SHA512}", OCI.contents[OCI.root.digest]),
    ]


def blobs() -> list[Step]:
    """Reading blobs, whole and in parts."""
    blob = f"team/app/blobs/{DIGEST}"
    return [
        get("range from the middle", blob, Range="bytes=1000-"),
        get("range in the middle", blob, Range="bytes=1000-1999"),
        get("range past the end", blob, Range="bytes=2000-9999"),
        get("suffix", blob, Range="bytes=-500"),
        get("range at the end", blob, Range="bytes=3000-"),
        get("range beyond the end", blob, Range="bytes=9000-"),
        get("range the wrong way round", blob, Range="bytes=500-0"),
        get("blob that is nowhere", f"team/app/blobs/{NOWHERE}"),
        get("blob that is nowhere HEAD", f"team/app/blobs/{NOWHERE}", "HEAD"),
        get("blob of an unknown repository", f"no/where/blobs/{DIGEST}"),
        get("blob of another repository", f"library/oci/blobs/{DIGEST}"),
        get("digest that is none", "team/app/blobs/sha256:1234"),
    ]


def manifests(mark: str) -> list[Step]:
    """Writing and reading manifests."""
    *layers, config = OCI.blobs
    return [
        *push(OCI, "1.0", "1.1", mark=mark),
        *push(INDEX, "1.0", mark=mark),
        get("tag", "library/oci/manifests/1.0", **ALL_TYPES),
        get("tag HEAD", "library/oci/manifests/1.0", "HEAD", **ALL_TYPES),
        get("digest", f"library/oci/manifests/{OCI.root.digest}", **ALL_TYPES),
        get("index", "library/index/manifests/1.0", **ALL_TYPES),
        get("index HEAD", "library/index/manifests/1.0", "HEAD", **ALL_TYPES),
        get("tag that is not there", "library/oci/manifests/9.9", **ALL_TYPES),
        get("tag that is not there HEAD", "library/oci/manifests/9.9", "HEAD", **ALL_TYPES),
        get("digest that is not there", f"library/oci/manifests/{NOWHERE}", **ALL_TYPES),
        get("tag of an unknown repository", "no/where/manifests/1.0", **ALL_TYPES),
        put_manifest("again", "library/oci/manifests/1.0", OCI.contents[OCI.root.digest]),
        put_manifest("under a wrong digest", f"library/oci/manifests/{NOWHERE}", OCI.contents[OCI.root.digest]),
        put_manifest("no JSON", "library/oci/manifests/bad", b"nonsense"),
        put_manifest("config missing", "library/oci/manifests/bad", naming(_MISSING, *layers)),
        put_manifest("layer missing", "library/oci/manifests/bad", naming(config, _MISSING)),
        put_manifest("child missing", "library/index/manifests/bad", _SPARSE_INDEX, OCI_INDEX),
        put_manifest("foreign layer that is not there", "library/oci/manifests/foreign", naming(config, _FOREIGN)),
        put_manifest("foreign layer that is elsewhere", "library/oci/manifests/foreign", with_urls()),
        put_manifest("schema 1", "library/oci/manifests/old", _SCHEMA_1, SIGNED),
        put_manifest("a type that is none", "library/oci/manifests/odd", b"{}", "text/plain"),
        put_manifest("manifest of 5 MiB", "library/oci/manifests/large", padded(5 * 2**20)),
    ]


def docker_manifests(mark: str) -> list[Step]:
    """Docker's media types, and OCI's without an Accept that fits."""
    docker_type = {"Accept": DOCKER.root.media_type}
    return [
        *push(DOCKER, "1.0", mark=mark),
        get("docker tag", "library/docker/manifests/1.0", **ALL_TYPES),
        get("docker tag without Accept", "library/docker/manifests/1.0"),
        get("docker digest without Accept", f"library/docker/manifests/{DOCKER.root.digest}"),
        get("OCI without Accept", "library/oci/manifests/1.0"),
        get("OCI without Accept HEAD", "library/oci/manifests/1.0", "HEAD"),
        get("OCI where only Docker's is accepted", "library/oci/manifests/1.0", **docker_type),
        get("OCI digest without Accept", f"library/oci/manifests/{OCI.root.digest}"),
        get("OCI where anything is accepted", "library/oci/manifests/1.0", Accept="*/*"),
        get("index without Accept", "library/index/manifests/1.0"),
    ]


def lists() -> list[Step]:
    """Tags, repositories, referrers."""
    return [
        get("tags", "library/oci/tags/list"),
        get("tags n", "library/oci/tags/list?n=1"),
        get("tags n=0", "library/oci/tags/list?n=0"),
        get("tags last", "library/oci/tags/list?n=10&last=1.0"),
        get("tags n too large", "library/oci/tags/list?n=100000"),
        get("tags HEAD", "library/oci/tags/list", "HEAD"),
        get("tags of a repository of blobs", "team/app/tags/list"),
        get("tags of an unknown repository", "no/where/tags/list"),
        get("catalog", "_catalog"),
        get("catalog n", "_catalog?n=1"),
        get("catalog last", "_catalog?n=1&last=library/docker"),
        get("catalog past the end", "_catalog?n=10&last=zzz"),
        get("referrers", f"library/oci/referrers/{OCI.root.digest}"),
        get("referrers of nothing", f"library/oci/referrers/{NOWHERE}"),
    ]


def deletes() -> list[Step]:
    """Deleting tags, manifests and blobs."""
    return [
        Step("delete a tag", "DELETE", "/v2/library/oci/manifests/1.1"),
        get("tags after that", "library/oci/tags/list"),
        Step("delete a manifest", "DELETE", f"/v2/library/oci/manifests/{OCI.root.digest}"),
        Step("delete it again", "DELETE", f"/v2/library/oci/manifests/{OCI.root.digest}"),
        get("tag of a deleted manifest", "library/oci/manifests/1.0", **ALL_TYPES),
        get("tags of a deleted manifest", "library/oci/tags/list"),
    ]


def mistakes() -> list[Step]:
    """Requests that make no sense."""
    return [
        get("name in capitals", "TEAM/app/tags/list"),
        get("no such endpoint", "team/app/nothing"),
        Step("version without a slash", "GET", "/v2"),
        Step("upload without a slash", "POST", "/v2/team/app/blobs/uploads"),
        get("uploads", "team/app/blobs/uploads/"),
        Step("POST to a manifest", "POST", "/v2/library/oci/manifests/1.0"),
        Step("PUT to the tags", "PUT", "/v2/library/oci/tags/list"),
    ]
