"""Pushing manifests to a registry, and listing what was pushed, as a client sees it."""

import json

import httpx
import pytest

from edgelift.demo.content import make_image
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_INDEX, OCI_MANIFEST
from edgelift.serve.writing import MANIFEST_LIMIT
from tests.images import EMPTY_CONFIG, EMPTY_TYPE, load_image, make_artifact
from tests.serve.conftest import code_of

ABSENT = Digest.of(b"in no registry")
UPLOADS = "/v2/team/app/blobs/uploads/"
IMAGE = make_image("team/app", architectures=("amd64", "arm64"))


def test_push_of_an_index(empty: httpx.Client) -> None:
    """An index with all its children arrives, and comes back byte for byte."""
    load_image("", "team/app", "1.0", IMAGE, client=empty)
    response = empty.get("/v2/team/app/manifests/1.0")
    assert (IMAGE.contents[IMAGE.root.digest], OCI_INDEX) == (response.content, response.headers["content-type"])


def _put_manifest(
    client: httpx.Client, raw: bytes, selector: str = "1.0", media_type: str = OCI_MANIFEST
) -> httpx.Response:
    address = f"/v2/team/app/manifests/{selector}"
    return client.put(address, content=raw, headers={"Content-Type": media_type})


def test_manifest_answer(empty: httpx.Client) -> None:
    """The answer to a manifest names its digest, and the subject that was taken note of."""
    subject = IMAGE.root
    artifact = make_artifact("team/app", "sig", subject=subject)
    for blob in artifact.blobs:
        empty.post(UPLOADS, params={"digest": blob.digest}, content=artifact.contents[blob.digest])
    done = _put_manifest(empty, artifact.contents[artifact.root.digest], "sig")
    expected = {
        "location": f"/v2/team/app/manifests/{artifact.root.digest}",
        "docker-content-digest": artifact.root.digest,
        "oci-subject": subject.digest,
    }
    assert done.status_code == 201
    assert expected == {name: done.headers[name] for name in expected}


def test_manifest_without_its_content(empty: httpx.Client) -> None:
    """A manifest whose blobs, or whose children, are not in the repository is refused, and its tag does not appear."""
    for descriptor in (IMAGE.manifests[0], IMAGE.root):
        refused = _put_manifest(empty, IMAGE.contents[descriptor.digest], media_type=descriptor.media_type)
        assert (refused.status_code, code_of(refused)) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert empty.get("/v2/team/app/manifests/1.0").status_code == 404


def test_manifest_with_blobs_of_another_repository(empty: httpx.Client) -> None:
    """Blobs of another repository do not count: they have to be mounted."""
    load_image("", "team/base", "1.0", IMAGE, client=empty)
    refused = _put_manifest(empty, IMAGE.contents[IMAGE.manifests[0].digest])
    assert (refused.status_code, code_of(refused)) == (400, "MANIFEST_BLOB_UNKNOWN")


def test_foreign_layer_may_be_absent(empty: httpx.Client) -> None:
    """A layer that registries do not distribute need not be there."""
    empty.post(UPLOADS, params={"digest": Digest.of(EMPTY_CONFIG)}, content=EMPTY_CONFIG)
    foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    document = {
        "schemaVersion": 2,
        "config": {"mediaType": EMPTY_TYPE, "digest": Digest.of(EMPTY_CONFIG), "size": 2},
        "layers": [{"mediaType": foreign, "digest": ABSENT, "size": 9, "urls": ["https://example.com/x"]}],
    }
    assert _put_manifest(empty, json.dumps(document).encode()).status_code == 201


REFUSED_MANIFESTS = {
    "not JSON": (b"<html>sign in</html>", "1.0", OCI_MANIFEST, (400, "MANIFEST_INVALID")),
    "empty": (b"", "1.0", OCI_MANIFEST, (400, "MANIFEST_INVALID")),
    "a list": (b"[]", "1.0", OCI_MANIFEST, (400, "MANIFEST_INVALID")),
    "deeply nested": (b"[" * 100_000, "1.0", OCI_MANIFEST, (400, "MANIFEST_INVALID")),
    "schema 1": (b'{"schemaVersion":1}', "1.0", OCI_MANIFEST, (400, "MANIFEST_INVALID")),
    "both kinds": (b'{"manifests":[],"layers":[]}', "1.0", OCI_INDEX, (400, "MANIFEST_INVALID")),
    "other type than it says": (IMAGE.contents[IMAGE.root.digest], "1.0", OCI_MANIFEST, (400, "MANIFEST_INVALID")),
    "not its digest": (IMAGE.contents[IMAGE.root.digest], ABSENT, OCI_INDEX, (400, "DIGEST_INVALID")),
    "malformed digest": (IMAGE.contents[IMAGE.root.digest], "sha256:x", OCI_INDEX, (400, "DIGEST_INVALID")),
    "no tag": (IMAGE.contents[IMAGE.root.digest], ".hidden", OCI_INDEX, (400, "MANIFEST_INVALID")),
    "too large": (b" " * (MANIFEST_LIMIT + 1), "1.0", OCI_MANIFEST, (413, "MANIFEST_INVALID")),
}


@pytest.mark.parametrize(
    ("raw", "selector", "media_type", "refusal"), REFUSED_MANIFESTS.values(), ids=REFUSED_MANIFESTS
)
def test_refused_manifest(
    empty: httpx.Client, raw: bytes, selector: str, media_type: str, refusal: tuple[int, str]
) -> None:
    """What is no manifest, or not the one it is said to be, is refused."""
    refused = _put_manifest(empty, raw, selector, media_type)
    assert refusal == (refused.status_code, code_of(refused))


def test_largest_manifest(empty: httpx.Client) -> None:
    """A manifest of exactly 4 MiB is taken."""
    document = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    largest = document + b" " * (MANIFEST_LIMIT - len(document))
    assert _put_manifest(empty, largest, media_type=OCI_INDEX).status_code == 201
    assert largest == empty.get("/v2/team/app/manifests/1.0").content


def test_moving_a_tag(empty: httpx.Client) -> None:
    """A tag moves to the manifest that was pushed last; the earlier one stays by digest."""
    earlier, later = make_image("team/app", seed="earlier"), make_image("team/app", seed="later")
    for image in (earlier, later):
        load_image("", "team/app", "1.0", image, client=empty)
    assert later.root.digest == empty.head("/v2/team/app/manifests/1.0").headers["docker-content-digest"]
    assert empty.head(f"/v2/team/app/manifests/{earlier.root.digest}").status_code == 200


def test_deleting_a_tag(empty: httpx.Client) -> None:
    """A deleted tag is gone, what it pointed to stays."""
    load_image("", "team/app", "1.0", IMAGE, client=empty)
    assert [empty.delete("/v2/team/app/manifests/1.0").status_code for _ in range(2)] == [202, 404]
    assert empty.get("/v2/team/app/manifests/1.0").status_code == 404
    assert empty.get("/v2/team/app/tags/list").json()["tags"] == []
    assert empty.get(f"/v2/team/app/manifests/{IMAGE.root.digest}").status_code == 200


def test_deleting_a_manifest(empty: httpx.Client) -> None:
    """A deleted manifest is gone, and so are the tags on it, and only these."""
    other = make_image("team/app", tag="other")
    for image, tag in ((IMAGE, "1.0"), (IMAGE, "latest"), (other, "other")):
        load_image("", "team/app", tag, image, client=empty)
    address = f"/v2/team/app/manifests/{IMAGE.root.digest}"
    assert [empty.delete(address).status_code for _ in range(2)] == [202, 404]
    assert empty.get(address).status_code == 404
    assert empty.get("/v2/team/app/tags/list").json()["tags"] == ["other"]


def _all_pages(client: httpx.Client, address: str, member: str) -> list[list[str]]:
    pages, following = [], address
    while following:
        response = client.get(following)
        pages.append(response.json()[member])
        following = response.links.get("next", {}).get("url", "")
    return pages


def test_pages_of_tags(empty: httpx.Client) -> None:
    """Tags come in pages, in lexical order that ignores case, until there is no further page."""
    load_image("", "team/app", "b", IMAGE, client=empty)
    for tag in ("A", "c", "B", "10", "9"):
        _put_manifest(empty, IMAGE.contents[IMAGE.root.digest], tag, OCI_INDEX)
    address = "/v2/team/app/tags/list"
    assert _all_pages(empty, address, "tags") == [["10", "9", "A", "B", "b", "c"]]
    assert _all_pages(empty, f"{address}?n=4", "tags") == [["10", "9", "A", "B"], ["b", "c"]]
    assert _all_pages(empty, f"{address}?n=3", "tags") == [["10", "9", "A"], ["B", "b", "c"]]
    assert _all_pages(empty, f"{address}?last=B", "tags") == [["b", "c"]]
    assert _all_pages(empty, f"{address}?last=B&n=1", "tags") == [["b"], ["c"]]
    assert _all_pages(empty, f"{address}?n=0", "tags") == [[]]
    assert _all_pages(empty, f"{address}?last=zzz", "tags") == [[]]


def test_pages_of_the_catalog(empty: httpx.Client) -> None:
    """Repositories come in pages; one that lies inside another's path is one like any other."""
    names = ["a", "a/b", "a/b/c", "a-b", "z"]
    for name in names:
        load_image("", name, "1.0", make_artifact(name, "1.0"), client=empty)
    assert [sorted(names)] == _all_pages(empty, "/v2/_catalog", "repositories")
    assert _all_pages(empty, "/v2/_catalog?n=2", "repositories") == [["a", "a-b"], ["a/b", "a/b/c"], ["z"]]
    assert _all_pages(empty, "/v2/_catalog?last=a/b/c", "repositories") == [["z"]]


def test_repository_with_only_an_upload(empty: httpx.Client) -> None:
    """A repository exists from its first manifest on."""
    empty.post(UPLOADS)
    assert empty.get("/v2/team/app/tags/list").status_code == 404
    assert empty.get("/v2/_catalog").json()["repositories"] == []
