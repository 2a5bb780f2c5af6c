"""Reading from a registry, as a client sees it: the same over a store and over a directory."""

import httpx
import pytest

from edgelift.demo.content import SampleImage
from edgelift.oci.digest import Digest
from tests.images import load_image, make_artifact
from tests.serve.conftest import MULTI, PLAIN, Served, code_of

ABSENT = Digest.of(b"not in any registry")
LARGEST = max(MULTI.blobs, key=lambda blob: blob.size)
SIZE = LARGEST.size
WHOLE = MULTI.contents[LARGEST.digest]
VARYING = {"date"}


def test_version_check(served: Served) -> None:
    """GET /v2/ says that this is a registry."""
    response = served.client.get("/v2/")
    assert (response.status_code, response.headers["docker-distribution-api-version"]) == (200, "registry/2.0")


@pytest.mark.parametrize("image", [MULTI, PLAIN], ids=["index", "docker manifest"])
@pytest.mark.parametrize("by_digest", [False, True], ids=["by tag", "by digest"])
def test_manifest(served: Served, image: SampleImage, by_digest: bool) -> None:
    """A manifest comes in its exact bytes, with its media type and digest, by tag and by digest."""
    selector = image.root.digest if by_digest else image.tag
    response = served.client.get(f"/v2/{served.prefix}{image.repository}/manifests/{selector}")
    assert image.contents[image.root.digest] == response.content
    assert image.root.media_type == response.headers["content-type"]
    assert image.root.digest == response.headers["docker-content-digest"]


def test_every_child_manifest_and_blob(served: Served) -> None:
    """All that an index needs can be read through its repository, attestations and the like included."""
    home = f"/v2/{served.prefix}{MULTI.repository}"
    manifests = [served.client.get(f"{home}/manifests/{each.digest}").content for each in MULTI.manifests]
    blobs = [served.client.get(f"{home}/blobs/{each.digest}").content for each in MULTI.blobs]
    assert [MULTI.contents[each.digest] for each in (*MULTI.manifests, *MULTI.blobs)] == manifests + blobs


HEADED = {
    "version": "/v2/",
    "manifest by tag": "/v2/{name}/manifests/1.0",
    "manifest by digest": f"/v2/{{name}}/manifests/{MULTI.root.digest}",
    "missing manifest": "/v2/{name}/manifests/absent",
    "blob": f"/v2/{{name}}/blobs/{LARGEST.digest}",
    "missing blob": f"/v2/{{name}}/blobs/{ABSENT}",
    "tags": "/v2/{name}/tags/list",
    "catalog": "/v2/_catalog",
    "referrers": f"/v2/{{name}}/referrers/{MULTI.root.digest}",
    "malformed digest": "/v2/{name}/blobs/sha256:short",
}


@pytest.mark.parametrize("path", HEADED.values(), ids=HEADED)
def test_head_is_get_without_the_body(served: Served, path: str) -> None:
    """HEAD gives the status and every header of GET, Content-Length included, and no body."""
    address = path.format(name=f"{served.prefix}{MULTI.repository}")
    got, headed = served.client.get(address), served.client.head(address)
    assert (got.status_code, _lasting(got)) == (headed.status_code, _lasting(headed))
    assert str(len(got.content)) == headed.headers["content-length"]
    assert headed.content == b""


def _lasting(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name not in VARYING}


RANGES = {
    "from the start": ("bytes=0-9", 206, (0, 10)),
    "one byte": ("bytes=5-5", 206, (5, 6)),
    "open end": (f"bytes={SIZE - 7}-", 206, (SIZE - 7, SIZE)),
    "all of it": ("bytes=0-", 206, (0, SIZE)),
    "last bytes": ("bytes=-4", 206, (SIZE - 4, SIZE)),
    "more last bytes than there are": (f"bytes=-{SIZE * 2}", 206, (0, SIZE)),
    "end past the end": (f"bytes=10-{SIZE * 2}", 206, (10, SIZE)),
    "across pieces": (f"bytes=100-{300 * 1024}", 206, (100, 300 * 1024 + 1)),
    "no range": ("", 200, (0, SIZE)),
    "several ranges": ("bytes=0-1,4-5", 200, (0, SIZE)),
    "another unit": ("lines=0-9", 200, (0, SIZE)),
    "no number": ("bytes=a-b", 200, (0, SIZE)),
    "only a dash": ("bytes=-", 200, (0, SIZE)),
    "negative": ("bytes=--5", 200, (0, SIZE)),
}


@pytest.mark.parametrize(("asked", "status", "part"), RANGES.values(), ids=RANGES)
def test_range(served: Served, asked: str, status: int, part: tuple[int, int]) -> None:
    """One satisfiable range gives 206 with just these bytes; whatever is not one range gives 200 with all."""
    response = _get_blob(served, asked)
    start, stop = part
    expected = {"content-length": str(stop - start), "accept-ranges": "bytes"}
    if status == 206:
        expected["content-range"] = f"bytes {start}-{stop - 1}/{SIZE}"
    assert (status, WHOLE[start:stop]) == (response.status_code, response.content)
    assert expected == {name: response.headers[name] for name in expected}
    assert (status == 206) == ("content-range" in response.headers)


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE + 5}-{SIZE + 9}", "bytes=-0", "bytes=9-3"])
def test_range_past_the_end(served: Served, asked: str) -> None:
    """A range that begins past the end, or past its own, gives 416 with the size."""
    response = _get_blob(served, asked)
    assert (416, f"bytes */{SIZE}") == (response.status_code, response.headers["content-range"])
    assert str(len(response.content)) == response.headers["content-length"]


def test_range_does_not_change_head(served: Served) -> None:
    """HEAD ignores Range (RFC 9110 §14.2): it tells the size of the whole."""
    path = f"/v2/{served.prefix}{MULTI.repository}/blobs/{LARGEST.digest}"
    response = served.client.head(path, headers={"Range": "bytes=0-9"})
    assert (200, str(SIZE)) == (response.status_code, response.headers["content-length"])


def _get_blob(served: Served, asked: str) -> httpx.Response:
    path = f"/v2/{served.prefix}{MULTI.repository}/blobs/{LARGEST.digest}"
    return served.client.get(path, headers={"Range": asked} if asked else {})


MISSING = {
    "manifest by tag": ("/v2/{app}/manifests/absent", 404, "MANIFEST_UNKNOWN"),
    "manifest by digest": (f"/v2/{{app}}/manifests/{ABSENT}", 404, "MANIFEST_UNKNOWN"),
    "manifest of an unknown repository": ("/v2/no/such/manifests/1.0", 404, "MANIFEST_UNKNOWN"),
    "a blob asked for as a manifest": (f"/v2/{{app}}/manifests/{LARGEST.digest}", 404, "MANIFEST_UNKNOWN"),
    "blob": (f"/v2/{{app}}/blobs/{ABSENT}", 404, "BLOB_UNKNOWN"),
    "a manifest asked for as a blob": (f"/v2/{{app}}/blobs/{MULTI.root.digest}", 404, "BLOB_UNKNOWN"),
    "blob of another repository": (f"/v2/{{tool}}/blobs/{LARGEST.digest}", 404, "BLOB_UNKNOWN"),
    "manifest of another repository": (f"/v2/{{tool}}/manifests/{MULTI.root.digest}", 404, "MANIFEST_UNKNOWN"),
    "tags of an unknown repository": ("/v2/no/such/tags/list", 404, "NAME_UNKNOWN"),
    "tags of a folder of repositories": ("/v2/{folder}/tags/list", 404, "NAME_UNKNOWN"),
    "malformed digest of a blob": ("/v2/{app}/blobs/sha256:abc", 400, "DIGEST_INVALID"),
    "malformed digest of a manifest": ("/v2/{app}/manifests/md5:abc", 400, "DIGEST_INVALID"),
    "malformed digest of a subject": ("/v2/{app}/referrers/latest", 400, "DIGEST_INVALID"),
    "upper-case digest": (f"/v2/{{app}}/blobs/{LARGEST.digest.replace('a', 'A')}", 400, "DIGEST_INVALID"),
    "no such endpoint": ("/v2/{app}/secrets/1.0", 404, "NOT_FOUND"),
}


@pytest.mark.parametrize(("path", "status", "code"), MISSING.values(), ids=MISSING)
def test_what_is_not_there(served: Served, path: str, status: int, code: str) -> None:
    """What is not there, or not in this repository, is refused with the specified code."""
    names = {each: served.prefix + each for each in ("team", MULTI.repository, PLAIN.repository)}
    folder, app, tool = names.values()
    response = served.client.get(path.format(folder=folder, app=app, tool=tool))
    assert (status, code) == (response.status_code, code_of(response))


HOSTILE = {
    "parent": "/v2/../../etc/manifests/passwd",
    "encoded parent": "/v2/%2e%2e/%2e%2e/etc/manifests/passwd",
    "encoded slashes": "/v2/..%2f..%2fetc/blobs/" + ABSENT,
    "parent in the middle": "/v2/team/%2e%2e/app/manifests/1.0",
    "parent as a tag": "/v2/team/app/manifests/%2e%2e",
    "path as a tag": "/v2/team/app/manifests/..%2f..%2f_tags%2f1.0",
    "path in a digest": "/v2/team/app/blobs/sha256:..%2f..%2fetc%2fpasswd",
    "upper case": "/v2/Team/app/manifests/1.0",
    "internal folder": "/v2/team/app/_tags/manifests/1.0",
    "empty name": "/v2//manifests/1.0",
    "double slash": "/v2/team//app/manifests/1.0",
    "null byte": "/v2/team%00/manifests/1.0",
    "null byte in a tag": "/v2/team/app/manifests/1.0%00",
    "not ASCII": "/v2/t%C3%A9am/manifests/1.0",
    "not UTF-8": "/v2/team%FF/manifests/1.0",
    "overlong name": f"/v2/{'a' * 300}/manifests/1.0",
    "overlong tag": f"/v2/team/app/manifests/{'a' * 5000}",
    "newline": "/v2/team%0a/manifests/1.0",
}


@pytest.mark.parametrize("path", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names(served: Served, path: str) -> None:
    """Names that are none are refused cleanly, for reading and for writing."""
    target = httpx.URL(str(served.client.base_url)).copy_with(raw_path=path.encode())
    answers = [served.client.request(method, target).status_code for method in ("GET", "HEAD", "PUT", "DELETE")]
    assert set(answers) <= {400, 404, 405}, answers


def test_tags(served: Served) -> None:
    """A repository lists its tags."""
    name = f"{served.prefix}{MULTI.repository}"
    assert {"name": name, "tags": ["1.0"]} == served.client.get(f"/v2/{name}/tags/list").json()


def test_catalog(served: Served) -> None:
    """The catalog lists the repositories that have something."""
    expected = [f"{served.prefix}{image.repository}" for image in (MULTI, PLAIN)]
    assert {"repositories": expected} == served.client.get("/v2/_catalog").json()


@pytest.mark.parametrize("path", ["/v2/_catalog", "/v2/{name}/tags/list"], ids=["catalog", "tags"])
@pytest.mark.parametrize("number", ["-1", "ten", "1.5", "", "٣", "9" * 30, "1e3"])
def test_bad_page_size(served: Served, path: str, number: str) -> None:
    """A page size that is no number is refused."""
    address = path.format(name=f"{served.prefix}{MULTI.repository}")
    response = served.client.get(address, params={"n": number})
    assert (response.status_code, code_of(response)) == (400, "PAGINATION_NUMBER_INVALID")


def test_huge_page_size(served: Served) -> None:
    """A huge page size costs nothing: it is bounded."""
    assert served.client.get("/v2/_catalog", params={"n": 10**12}).status_code == 200


@pytest.mark.parametrize("host", ["[", "a/b", "x:y:z", "%"])
def test_hostile_host_header(served: Served, host: str) -> None:
    """The Host header decides nothing, whatever is in it; the link to the next page does not name it."""
    response = served.client.get("/v2/_catalog?n=1", headers={"Host": host})
    assert (response.status_code, response.headers["link"][1:].partition("?")[0]) == (200, "/v2/_catalog")


def test_referrers_of_what_has_none(served: Served) -> None:
    """Where nothing refers to a digest, an empty index says so, with 200 even for what is not there."""
    for subject in (MULTI.root.digest, ABSENT):
        response = served.client.get(f"/v2/{served.prefix}{MULTI.repository}/referrers/{subject}")
        assert (response.status_code, response.json()["manifests"]) == (200, [])
        assert response.headers["content-type"] == "application/vnd.oci.image.index.v1+json"


WRITES = {
    "begin an upload": ("POST", "/v2/{name}/blobs/uploads/"),
    "mount": ("POST", f"/v2/{{name}}/blobs/uploads/?mount={LARGEST.digest}&from=team/app"),
    "append": ("PATCH", "/v2/{name}/blobs/uploads/0123"),
    "complete": ("PUT", f"/v2/{{name}}/blobs/uploads/0123?digest={ABSENT}"),
    "cancel": ("DELETE", "/v2/{name}/blobs/uploads/0123"),
    "manifest": ("PUT", "/v2/{name}/manifests/1.0"),
    "delete a tag": ("DELETE", "/v2/{name}/manifests/1.0"),
    "delete a manifest": ("DELETE", f"/v2/{{name}}/manifests/{MULTI.root.digest}"),
    "delete a blob": ("DELETE", f"/v2/{{name}}/blobs/{LARGEST.digest}"),
}


@pytest.mark.parametrize(("method", "path"), WRITES.values(), ids=WRITES)
def test_read_only(read_only: Served, method: str, path: str) -> None:
    """A registry over a store refuses every write with 405, and says what it does take."""
    address = path.format(name=f"{read_only.prefix}{MULTI.repository}")
    response = read_only.client.request(method, address, content=b"something")
    assert (response.status_code, code_of(response)) == (405, "UNSUPPORTED")
    assert response.headers["allow"] == "GET, HEAD"


def test_referrers(empty: httpx.Client) -> None:
    """The referrers of a digest are listed with artifact type and annotations, filtered on request."""
    load_image("", "team/app", "1.0", MULTI, client=empty)
    signature = make_artifact("team/app", "sig", subject=MULTI.root)
    bill = make_artifact("team/app", "sbom", subject=MULTI.root, artifact_type="application/x.sbom", payload=b"{}")
    for each in (signature, bill):
        load_image("", "team/app", each.tag, each, client=empty)
    address = f"/v2/team/app/referrers/{MULTI.root.digest}"
    listed, filtered = empty.get(address), empty.get(address, params={"artifactType": "application/x.sbom"})
    expected = {
        "mediaType": bill.root.media_type,
        "digest": bill.root.digest,
        "size": bill.root.size,
        "artifactType": "application/x.sbom",
        "annotations": {"sample": "artifact"},
    }
    assert {signature.root.digest, bill.root.digest} == {each["digest"] for each in listed.json()["manifests"]}
    assert [expected] == filtered.json()["manifests"]
    assert filtered.headers["oci-filters-applied"] == "artifactType"
    assert "oci-filters-applied" not in listed.headers
