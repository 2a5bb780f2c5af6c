"""Pushing to a registry, as a client sees it."""

import json

import httpx
import pytest

from edgelift.demo.content import make_image
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_INDEX, OCI_MANIFEST
from edgelift.serve.writing import MANIFEST_LIMIT
from tests.images import EMPTY_CONFIG, EMPTY_TYPE, load_image, make_artifact
from tests.serve.conftest import code_of

BLOB = bytes(range(256)) * 4096  # 1 MiB: several pieces
DIGEST = Digest.of(BLOB)
UPLOADS = "/v2/team/app/blobs/uploads/"
IMAGE = make_image("team/app", architectures=("amd64", "arm64"))


def _begin(client: httpx.Client, repository: str = "team/app") -> str:
    response = client.post(f"/v2/{repository}/blobs/uploads/")
    assert (202, "0-0") == (response.status_code, response.headers["range"])
    return str(response.headers["location"])


def _is_there(
    client: httpx.Client, digest: Digest = DIGEST, content: bytes = BLOB, repository: str = "team/app"
) -> bool:
    response = client.get(f"/v2/{repository}/blobs/{digest}")
    return response.status_code == 200 and response.content == content


def test_post_then_put(empty: httpx.Client) -> None:
    """A session takes a whole blob with the PUT that ends it."""
    done = empty.put(_begin(empty), params={"digest": DIGEST}, content=BLOB)
    assert (201, f"/v2/team/app/blobs/{DIGEST}") == (done.status_code, done.headers["location"])
    assert DIGEST == done.headers["docker-content-digest"]
    assert _is_there(empty)


def test_single_post(empty: httpx.Client) -> None:
    """POST with a digest takes a whole blob at once."""
    done = empty.post(UPLOADS, params={"digest": DIGEST}, content=BLOB)
    assert (201, f"/v2/team/app/blobs/{DIGEST}") == (done.status_code, done.headers["location"])
    assert _is_there(empty)


@pytest.mark.parametrize("content", [b"", b"{}", b"x" * (256 * 1024), b"x" * (256 * 1024 + 1)], ids=len)
def test_sizes(empty: httpx.Client, content: bytes) -> None:
    """Blobs of every size arrive, the empty one and those at the edge of a piece included."""
    digest = Digest.of(content)
    assert 201 == empty.put(_begin(empty), params={"digest": digest}, content=content).status_code
    assert _is_there(empty, digest, content)


def test_sha512(empty: httpx.Client) -> None:
    """A blob can be named by its sha512 digest."""
    hasher = Digest("sha512:" + "0" * 128).hasher()
    hasher.update(BLOB)
    digest = Digest(f"sha512:{hasher.hexdigest()}")
    assert 201 == empty.post(UPLOADS, params={"digest": digest}, content=BLOB).status_code
    assert _is_there(empty, digest)


def test_body_without_a_length(empty: httpx.Client) -> None:
    """A body in HTTP chunks, of a length that nobody announced, arrives as well."""
    pieces = (BLOB[start : start + 70_000] for start in range(0, len(BLOB), 70_000))
    assert 201 == empty.put(_begin(empty), params={"digest": DIGEST}, content=pieces).status_code
    assert _is_there(empty)


@pytest.mark.parametrize("numbered", [True, False], ids=["with Content-Range", "without"])
@pytest.mark.parametrize("last_in_put", [True, False], ids=["last chunk in PUT", "empty PUT"])
def test_chunks(empty: httpx.Client, numbered: bool, last_in_put: bool) -> None:
    """A blob comes in chunks; each answer tells how far it is."""
    location, cuts = _begin(empty), [0, 300_000, 300_001, len(BLOB)]
    pairs = list(zip(cuts, cuts[1:], strict=False))
    for start, stop in pairs[:-1] if last_in_put else pairs:
        response = empty.patch(location, content=BLOB[start:stop], headers=_numbered(start, stop, numbered))
        assert (202, f"0-{stop - 1}") == (response.status_code, response.headers["range"])
        location = response.headers["location"]
    rest, headers = (BLOB[300_001:], _numbered(300_001, len(BLOB), numbered)) if last_in_put else (b"", {})
    assert 201 == empty.put(location, params={"digest": DIGEST}, content=rest, headers=headers).status_code
    assert _is_there(empty)


def _numbered(start: int, stop: int, numbered: bool) -> dict[str, str]:
    return {"Content-Range": f"{start}-{stop - 1}"} if numbered else {}


def test_status_of_an_upload(empty: httpx.Client) -> None:
    """GET of a session tells how far it is and where it goes on."""
    location = _begin(empty)
    empty.patch(location, content=BLOB[:1000])
    response = empty.get(location)
    expected = {"range": "0-999", "location": location, "docker-upload-uuid": location.rpartition("/")[2]}
    assert 204 == response.status_code
    assert expected == {name: response.headers[name] for name in expected}


@pytest.mark.parametrize("start", [0, 999, 1001, 5000], ids=["again", "overlap", "gap", "far off"])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_chunk_out_of_order(empty: httpx.Client, start: int, method: str) -> None:
    """A chunk that is not the next one is refused with 416, which tells what is; nothing is lost by it."""
    location = _begin(empty)
    empty.patch(location, content=BLOB[:1000])
    headers = {"Content-Range": f"{start}-{start + 9}"}
    refused = empty.request(method, location, params={"digest": DIGEST}, content=b"0123456789", headers=headers)
    assert (416, "0-999", location) == (refused.status_code, refused.headers["range"], refused.headers["location"])
    assert 201 == empty.put(location, params={"digest": DIGEST}, content=BLOB[1000:]).status_code


@pytest.mark.parametrize("given", ["bytes 0-9", "0-", "-9", "0-9/10", "a-b", "0-4"])
def test_bad_content_range(empty: httpx.Client, given: str) -> None:
    """A Content-Range that is malformed, or at odds with Content-Length, is refused."""
    refused = empty.patch(_begin(empty), content=b"0123456789", headers={"Content-Range": given})
    assert (400, "BLOB_UPLOAD_INVALID") == (refused.status_code, code_of(refused))


@pytest.mark.parametrize("way", ["session", "single POST"])
def test_wrong_digest(empty: httpx.Client, way: str) -> None:
    """Bytes that are not what the digest says are refused, and nothing of them is kept."""
    address = _begin(empty) if way == "session" else UPLOADS
    refused = empty.request("PUT" if way == "session" else "POST", address, params={"digest": DIGEST}, content=BLOB[1:])
    assert (400, "DIGEST_INVALID") == (refused.status_code, code_of(refused))
    assert not _is_there(empty)
    if way == "session":
        assert 404 == empty.get(address).status_code


@pytest.mark.parametrize("digest", ["", "sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:../../x"])
def test_malformed_digest(empty: httpx.Client, digest: str) -> None:
    """A digest that is none is refused before a byte is taken."""
    location = _begin(empty)
    refused = [
        empty.put(location, params={"digest": digest}, content=BLOB),
        empty.post(UPLOADS, params={"digest": digest}, content=BLOB),
        empty.post(UPLOADS, params={"mount": digest, "from": "team/base"}),
    ]
    assert [(400, "DIGEST_INVALID")] * 3 == [(each.status_code, code_of(each)) for each in refused]
    assert "0-0" == empty.get(location).headers["range"]


def test_cancel(empty: httpx.Client) -> None:
    """A cancelled session is gone."""
    location = _begin(empty)
    assert 204 == empty.delete(location).status_code
    answers = [empty.request(method, f"{location}?digest={DIGEST}") for method in ("GET", "PATCH", "PUT", "DELETE")]
    assert [(404, "BLOB_UPLOAD_UNKNOWN")] * 4 == [(each.status_code, code_of(each)) for each in answers]


@pytest.mark.parametrize("session", ["0" * 32, "..", "%2e%2e", "%2e%2e%2f%2e%2e%2f_tags", "x" * 500, "0" * 31 + "%0a"])
def test_unknown_session(empty: httpx.Client, session: str) -> None:
    """A session that was never begun is not there, whatever it is called."""
    target = httpx.URL(str(empty.base_url)).copy_with(raw_path=f"{UPLOADS}{session}?digest={DIGEST}".encode())
    answers = {empty.request(method, target, content=b"x").status_code for method in ("GET", "PATCH", "PUT", "DELETE")}
    assert answers <= {404, 405}


def test_session_of_another_repository(empty: httpx.Client) -> None:
    """A session can be used only in its own repository."""
    session = _begin(empty).rpartition("/")[2]
    assert 404 == empty.put(f"/v2/other/app/blobs/uploads/{session}", params={"digest": DIGEST}).status_code


def test_mount(empty: httpx.Client) -> None:
    """A blob of one repository is mounted into another, and only then can be read there."""
    empty.post(UPLOADS, params={"digest": DIGEST}, content=BLOB)
    assert not _is_there(empty, repository="team/other")
    address = "/v2/team/other/blobs/uploads/"
    mounted = empty.post(address, params={"mount": DIGEST, "from": "team/app"})
    assert (201, f"/v2/team/other/blobs/{DIGEST}") == (mounted.status_code, mounted.headers["location"])
    assert _is_there(empty, repository="team/other")


UNMOUNTABLE = {
    "unknown repository": {"from": "no/such"},
    "repository without the blob": {"from": "team/tool"},
    "no repository": {},
    "not a repository": {"from": "../team/app"},
    "with a digest as well": {"from": "no/such", "digest": DIGEST},
}


@pytest.mark.parametrize("query", UNMOUNTABLE.values(), ids=UNMOUNTABLE)
def test_mount_of_what_is_not_there(empty: httpx.Client, query: dict[str, str]) -> None:
    """A mount that cannot be made becomes a session, which takes the blob."""
    empty.post(UPLOADS, params={"digest": DIGEST}, content=BLOB)
    begun = empty.post("/v2/team/other/blobs/uploads/", params={"mount": DIGEST} | query)
    assert 202 == begun.status_code
    assert 201 == empty.put(begun.headers["location"], params={"digest": DIGEST}, content=BLOB).status_code


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
    assert 201 == done.status_code
    assert expected == {name: done.headers[name] for name in expected}


def test_manifest_without_its_content(empty: httpx.Client) -> None:
    """A manifest whose blobs, or whose children, are not in the repository is refused, and its tag does not appear."""
    for descriptor in (IMAGE.manifests[0], IMAGE.root):
        refused = _put_manifest(empty, IMAGE.contents[descriptor.digest], media_type=descriptor.media_type)
        assert (400, "MANIFEST_BLOB_UNKNOWN") == (refused.status_code, code_of(refused))
    assert 404 == empty.get("/v2/team/app/manifests/1.0").status_code


def test_manifest_with_blobs_of_another_repository(empty: httpx.Client) -> None:
    """Blobs of another repository do not count: they have to be mounted."""
    load_image("", "team/base", "1.0", IMAGE, client=empty)
    refused = _put_manifest(empty, IMAGE.contents[IMAGE.manifests[0].digest])
    assert (400, "MANIFEST_BLOB_UNKNOWN") == (refused.status_code, code_of(refused))


def test_foreign_layer_may_be_absent(empty: httpx.Client) -> None:
    """A layer that registries do not distribute need not be there."""
    empty.post(UPLOADS, params={"digest": Digest.of(EMPTY_CONFIG)}, content=EMPTY_CONFIG)
    foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    document = {
        "schemaVersion": 2,
        "config": {"mediaType": EMPTY_TYPE, "digest": Digest.of(EMPTY_CONFIG), "size": 2},
        "layers": [{"mediaType": foreign, "digest": DIGEST, "size": len(BLOB), "urls": ["https://example.com/x"]}],
    }
    assert 201 == _put_manifest(empty, json.dumps(document).encode()).status_code


REFUSED_MANIFESTS = {
    "not JSON": (b"<html>sign in</html>", "1.0", OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    "empty": (b"", "1.0", OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    "a list": (b"[]", "1.0", OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    "deeply nested": (b"[" * 100_000, "1.0", OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    "schema 1": (b'{"schemaVersion":1}', "1.0", OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    "both kinds": (b'{"manifests":[],"layers":[]}', "1.0", OCI_INDEX, 400, "MANIFEST_INVALID"),
    "other type than it says": (IMAGE.contents[IMAGE.root.digest], "1.0", OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    "not its digest": (IMAGE.contents[IMAGE.root.digest], DIGEST, OCI_INDEX, 400, "DIGEST_INVALID"),
    "malformed digest": (IMAGE.contents[IMAGE.root.digest], "sha256:x", OCI_INDEX, 400, "DIGEST_INVALID"),
    "no tag": (IMAGE.contents[IMAGE.root.digest], ".hidden", OCI_INDEX, 400, "MANIFEST_INVALID"),
    "too large": (b" " * (MANIFEST_LIMIT + 1), "1.0", OCI_MANIFEST, 413, "MANIFEST_INVALID"),
}


@pytest.mark.parametrize(
    ("raw", "selector", "media_type", "status", "code"), REFUSED_MANIFESTS.values(), ids=REFUSED_MANIFESTS
)
def test_refused_manifest(
    empty: httpx.Client, raw: bytes, selector: str, media_type: str, status: int, code: str
) -> None:
    """What is no manifest, or not the one it is said to be, is refused."""
    refused = _put_manifest(empty, raw, selector, media_type)
    assert (status, code) == (refused.status_code, code_of(refused))


def test_largest_manifest(empty: httpx.Client) -> None:
    """A manifest of exactly 4 MiB is taken."""
    document = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    largest = document + b" " * (MANIFEST_LIMIT - len(document))
    assert 201 == _put_manifest(empty, largest, media_type=OCI_INDEX).status_code
    assert largest == empty.get("/v2/team/app/manifests/1.0").content


def test_moving_a_tag(empty: httpx.Client) -> None:
    """A tag moves to the manifest that was pushed last; the earlier one stays by digest."""
    earlier, later = make_image("team/app", seed="earlier"), make_image("team/app", seed="later")
    for image in (earlier, later):
        load_image("", "team/app", "1.0", image, client=empty)
    assert later.root.digest == empty.head("/v2/team/app/manifests/1.0").headers["docker-content-digest"]
    assert 200 == empty.head(f"/v2/team/app/manifests/{earlier.root.digest}").status_code


def test_deleting_a_tag(empty: httpx.Client) -> None:
    """A deleted tag is gone, what it pointed to stays."""
    load_image("", "team/app", "1.0", IMAGE, client=empty)
    assert [202, 404] == [empty.delete("/v2/team/app/manifests/1.0").status_code for _ in range(2)]
    assert 404 == empty.get("/v2/team/app/manifests/1.0").status_code
    assert [] == empty.get("/v2/team/app/tags/list").json()["tags"]
    assert 200 == empty.get(f"/v2/team/app/manifests/{IMAGE.root.digest}").status_code


def test_deleting_a_manifest(empty: httpx.Client) -> None:
    """A deleted manifest is gone, and so are the tags on it, and only these."""
    other = make_image("team/app", tag="other")
    for image, tag in ((IMAGE, "1.0"), (IMAGE, "latest"), (other, "other")):
        load_image("", "team/app", tag, image, client=empty)
    address = f"/v2/team/app/manifests/{IMAGE.root.digest}"
    assert [202, 404] == [empty.delete(address).status_code for _ in range(2)]
    assert 404 == empty.get(address).status_code
    assert ["other"] == empty.get("/v2/team/app/tags/list").json()["tags"]


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
    assert [["10", "9", "A", "B", "b", "c"]] == _all_pages(empty, address, "tags")
    assert [["10", "9", "A", "B"], ["b", "c"]] == _all_pages(empty, f"{address}?n=4", "tags")
    assert [["10", "9", "A"], ["B", "b", "c"]] == _all_pages(empty, f"{address}?n=3", "tags")
    assert [["b", "c"]] == _all_pages(empty, f"{address}?last=B", "tags")
    assert [["b"], ["c"]] == _all_pages(empty, f"{address}?last=B&n=1", "tags")
    assert [[]] == _all_pages(empty, f"{address}?n=0", "tags")
    assert [[]] == _all_pages(empty, f"{address}?last=zzz", "tags")


def test_pages_of_the_catalog(empty: httpx.Client) -> None:
    """Repositories come in pages; one that lies inside another's path is one like any other."""
    names = ["a", "a/b", "a/b/c", "a-b", "z"]
    for name in names:
        load_image("", name, "1.0", make_artifact(name, "1.0"), client=empty)
    assert [sorted(names)] == _all_pages(empty, "/v2/_catalog", "repositories")
    assert [["a", "a-b"], ["a/b", "a/b/c"], ["z"]] == _all_pages(empty, "/v2/_catalog?n=2", "repositories")
    assert [["z"]] == _all_pages(empty, "/v2/_catalog?last=a/b/c", "repositories")


def test_repository_with_only_an_upload(empty: httpx.Client) -> None:
    """A repository exists from its first manifest on."""
    _begin(empty)
    assert 404 == empty.get("/v2/team/app/tags/list").status_code
    assert [] == empty.get("/v2/_catalog").json()["repositories"]
