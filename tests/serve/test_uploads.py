"""Pushing blobs to a registry, as a client sees it."""

from itertools import pairwise

import httpx
import pytest

from edgelift.oci.digest import Digest
from tests.serve.conftest import code_of

BLOB = bytes(range(256)) * 4096  # 1 MiB: several pieces
DIGEST = Digest.of(BLOB)
UPLOADS = "/v2/team/app/blobs/uploads/"


def _begin(client: httpx.Client, repository: str = "team/app") -> str:
    response = client.post(f"/v2/{repository}/blobs/uploads/")
    assert (response.status_code, response.headers["range"]) == (202, "0-0")
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
    assert done.headers["docker-content-digest"] == DIGEST
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
    assert empty.put(_begin(empty), params={"digest": digest}, content=content).status_code == 201
    assert _is_there(empty, digest, content)


def test_sha512(empty: httpx.Client) -> None:
    """A blob can be named by its sha512 digest."""
    hasher = Digest("sha512:" + "0" * 128).hasher()
    hasher.update(BLOB)
    digest = Digest(f"sha512:{hasher.hexdigest()}")
    assert empty.post(UPLOADS, params={"digest": digest}, content=BLOB).status_code == 201
    assert _is_there(empty, digest)


def test_body_without_a_length(empty: httpx.Client) -> None:
    """A body in HTTP chunks, of a length that nobody announced, arrives as well."""
    pieces = (BLOB[start : start + 70_000] for start in range(0, len(BLOB), 70_000))
    assert empty.put(_begin(empty), params={"digest": DIGEST}, content=pieces).status_code == 201
    assert _is_there(empty)


@pytest.mark.parametrize("numbered", [True, False], ids=["with Content-Range", "without"])
@pytest.mark.parametrize("last_in_put", [True, False], ids=["last chunk in PUT", "empty PUT"])
def test_chunks(empty: httpx.Client, numbered: bool, last_in_put: bool) -> None:
    """A blob comes in chunks; each answer tells how far it is."""
    location, cuts = _begin(empty), [0, 300_000, 300_001, len(BLOB)]
    pairs = list(pairwise(cuts))
    for start, stop in pairs[:-1] if last_in_put else pairs:
        response = empty.patch(location, content=BLOB[start:stop], headers=_numbered(start, stop, numbered))
        assert (202, f"0-{stop - 1}") == (response.status_code, response.headers["range"])
        location = response.headers["location"]
    rest, headers = (BLOB[300_001:], _numbered(300_001, len(BLOB), numbered)) if last_in_put else (b"", {})
    assert empty.put(location, params={"digest": DIGEST}, content=rest, headers=headers).status_code == 201
    assert _is_there(empty)


def _numbered(start: int, stop: int, numbered: bool) -> dict[str, str]:
    return {"Content-Range": f"{start}-{stop - 1}"} if numbered else {}


def test_status_of_an_upload(empty: httpx.Client) -> None:
    """GET of a session tells how far it is and where it goes on."""
    location = _begin(empty)
    empty.patch(location, content=BLOB[:1000])
    response = empty.get(location)
    expected = {"range": "0-999", "location": location, "docker-upload-uuid": location.rpartition("/")[2]}
    assert response.status_code == 204
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
    assert empty.put(location, params={"digest": DIGEST}, content=BLOB[1000:]).status_code == 201


@pytest.mark.parametrize("given", ["bytes 0-9", "0-", "-9", "0-9/10", "a-b", "0-4"])
def test_bad_content_range(empty: httpx.Client, given: str) -> None:
    """A Content-Range that is malformed, or at odds with Content-Length, is refused."""
    refused = empty.patch(_begin(empty), content=b"0123456789", headers={"Content-Range": given})
    assert (refused.status_code, code_of(refused)) == (400, "BLOB_UPLOAD_INVALID")


@pytest.mark.parametrize("way", ["session", "single POST"])
def test_wrong_digest(empty: httpx.Client, way: str) -> None:
    """Bytes that are not what the digest says are refused, and nothing of them is kept."""
    address = _begin(empty) if way == "session" else UPLOADS
    refused = empty.request("PUT" if way == "session" else "POST", address, params={"digest": DIGEST}, content=BLOB[1:])
    assert (refused.status_code, code_of(refused)) == (400, "DIGEST_INVALID")
    assert not _is_there(empty)
    if way == "session":
        assert empty.get(address).status_code == 404


@pytest.mark.parametrize("digest", ["", "sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:../../x"])
def test_malformed_digest(empty: httpx.Client, digest: str) -> None:
    """A digest that is none is refused before a byte is taken."""
    location = _begin(empty)
    refused = [
        empty.put(location, params={"digest": digest}, content=BLOB),
        empty.post(UPLOADS, params={"digest": digest}, content=BLOB),
        empty.post(UPLOADS, params={"mount": digest, "from": "team/base"}),
    ]
    assert [(each.status_code, code_of(each)) for each in refused] == [(400, "DIGEST_INVALID")] * 3
    assert empty.get(location).headers["range"] == "0-0"


def test_cancel(empty: httpx.Client) -> None:
    """A cancelled session is gone."""
    location = _begin(empty)
    assert empty.delete(location).status_code == 204
    answers = [empty.request(method, f"{location}?digest={DIGEST}") for method in ("GET", "PATCH", "PUT", "DELETE")]
    assert [(each.status_code, code_of(each)) for each in answers] == [(404, "BLOB_UPLOAD_UNKNOWN")] * 4


@pytest.mark.parametrize("session", ["0" * 32, "..", "%2e%2e", "%2e%2e%2f%2e%2e%2f_tags", "x" * 500, "0" * 31 + "%0a"])
def test_unknown_session(empty: httpx.Client, session: str) -> None:
    """A session that was never begun is not there, whatever it is called."""
    target = httpx.URL(str(empty.base_url)).copy_with(raw_path=f"{UPLOADS}{session}?digest={DIGEST}".encode())
    answers = {empty.request(method, target, content=b"x").status_code for method in ("GET", "PATCH", "PUT", "DELETE")}
    assert answers <= {404, 405}


def test_session_of_another_repository(empty: httpx.Client) -> None:
    """A session can be used only in its own repository."""
    session = _begin(empty).rpartition("/")[2]
    assert empty.put(f"/v2/other/app/blobs/uploads/{session}", params={"digest": DIGEST}).status_code == 404


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
    "with a digest as well": {"from": "no/such", "digest": str(DIGEST)},
}


@pytest.mark.parametrize("query", UNMOUNTABLE.values(), ids=UNMOUNTABLE)
def test_mount_of_what_is_not_there(empty: httpx.Client, query: dict[str, str]) -> None:
    """A mount that cannot be made becomes a session, which takes the blob."""
    empty.post(UPLOADS, params={"digest": DIGEST}, content=BLOB)
    begun = empty.post("/v2/team/other/blobs/uploads/", params={"mount": str(DIGEST), **query})
    assert begun.status_code == 202
    assert empty.put(begun.headers["location"], params={"digest": DIGEST}, content=BLOB).status_code == 201
