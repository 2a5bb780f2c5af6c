"""What the distribution specification (1.1) asks of requests; docs/conformance.md says which test is for what."""

import ast
import json
import re
from pathlib import Path
from typing import TypeGuard

import httpx
import pytest

from edgelift.demo.content import make_image
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_INDEX, OCI_MANIFEST
from tests.images import EMPTY_CONFIG, EMPTY_TYPE, load_image, make_artifact
from tests.serve.conftest import code_of

IMAGE = make_image("team/app", architectures=("amd64", "arm64"))
LAYER = max(IMAGE.blobs, key=lambda blob: blob.size).digest
BLOB = IMAGE.contents[LAYER]
ABSENT = Digest.of(b"in no registry")
UPLOADS = "/v2/team/app/blobs/uploads/"
ENDPOINTS = {f"end-{name}" for name in (1, 2, 3, "4a", "4b", 5, 6, 7, "8a", "8b", 9, 10, 11, "12a", "12b", 13)}
TESTS = Path(__file__).parent
TABLE = (TESTS.parents[1] / "docs" / "conformance.md").read_text()
ROWS = [line for line in TABLE.splitlines() if line.startswith("| ") and "`" in line]


@pytest.fixture
def full(empty: httpx.Client) -> httpx.Client:
    """A registry that takes pushes, with `IMAGE` as team/app:1.0."""
    load_image("", "team/app", "1.0", IMAGE, client=empty)
    return empty


# Pull


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_headers_of_a_blob(full: httpx.Client, method: str) -> None:
    """A blob comes with 200, its length and its digest; HEAD says the same of it."""
    response = full.request(method, f"/v2/team/app/blobs/{LAYER}")
    expected = {"content-length": str(len(BLOB)), "docker-content-digest": LAYER}
    assert response.status_code == 200
    assert expected == {name: response.headers[name] for name in expected}
    assert response.content == (BLOB if method == "GET" else b"")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("accept", ["", "*/*", OCI_INDEX, f"{OCI_MANIFEST}, {OCI_INDEX}", OCI_MANIFEST])
def test_manifest_is_never_converted(full: httpx.Client, method: str, accept: str) -> None:
    """Whatever a client accepts, a manifest comes as it was pushed, with its own type, digest and length."""
    response = full.request(method, "/v2/team/app/manifests/1.0", headers={"Accept": accept})
    raw = IMAGE.contents[IMAGE.root.digest]
    expected = {
        "content-type": OCI_INDEX,
        "content-length": str(len(raw)),
        "docker-content-digest": IMAGE.root.digest,
    }
    assert response.status_code == 200
    assert expected == {name: response.headers[name] for name in expected}
    assert response.content == (raw if method == "GET" else b"")


# Push


def test_upload_begins_with_a_place_of_its_own(empty: httpx.Client) -> None:
    """POST answers 202 and where the upload goes on, another place for each."""
    begun = [empty.post(UPLOADS, content=b"") for _ in range(2)]
    places = {response.headers["location"] for response in begun}
    assert [response.status_code for response in begun] == [202, 202]
    assert len(places) == 2
    assert all(place.startswith(UPLOADS) for place in places)


def test_streamed_upload(empty: httpx.Client) -> None:
    """One PATCH without ranges or a length takes all there is; the PUT that ends it has no body."""
    location = empty.post(UPLOADS).headers["location"]
    streamed = empty.patch(location, content=(BLOB[at : at + 1000] for at in range(0, len(BLOB), 1000)))
    done = empty.put(streamed.headers["location"], params={"digest": LAYER})
    assert (202, f"0-{len(BLOB) - 1}") == (streamed.status_code, streamed.headers["range"])
    assert (201, f"/v2/team/app/blobs/{LAYER}") == (done.status_code, done.headers["location"])
    assert empty.get(done.headers["location"]).content == BLOB


def test_chunks_with_the_last_one_out_of_order(empty: httpx.Client) -> None:
    """After a 416, GET tells where to go on, and the upload can be ended from there."""
    location = empty.post(UPLOADS).headers["location"]
    empty.patch(location, content=BLOB[:1000], headers={"Content-Range": "0-999"})
    late = {"Content-Range": f"2000-{len(BLOB) - 1}"}
    refused = empty.put(location, params={"digest": LAYER}, content=BLOB[2000:], headers=late)
    told = empty.get(refused.headers["location"])
    rest = {"Content-Range": f"1000-{len(BLOB) - 1}"}
    done = empty.put(told.headers["location"], params={"digest": LAYER}, content=BLOB[1000:], headers=rest)
    assert [refused.status_code, told.status_code, done.status_code] == [416, 204, 201]
    assert told.headers["range"] == "0-999"


def test_put_without_a_digest(empty: httpx.Client) -> None:
    """An upload that is ended without a digest is refused, and can still be ended with one."""
    location = empty.post(UPLOADS).headers["location"]
    refused = empty.put(location, content=BLOB)
    assert (refused.status_code, code_of(refused)) == (400, "DIGEST_INVALID")
    assert empty.put(location, params={"digest": LAYER}, content=BLOB).status_code == 201


def test_mount_without_a_source(full: httpx.Client) -> None:
    """A mount that names no repository is answered with an upload, as where a blob cannot be mounted."""
    begun = full.post("/v2/team/other/blobs/uploads/", params={"mount": LAYER})
    assert begun.status_code == 202
    assert begun.headers["location"].startswith("/v2/team/other/blobs/uploads/")


def test_manifest_by_digest_alone(full: httpx.Client) -> None:
    """A manifest that is pushed under its digest can be pulled by it, and has no tag."""
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    address = f"/v2/team/app/manifests/{Digest.of(raw)}"
    pushed = full.put(address, content=raw, headers={"Content-Type": OCI_INDEX})
    assert (201, address, Digest.of(raw)) == (
        pushed.status_code,
        pushed.headers["location"],
        pushed.headers["docker-content-digest"],
    )
    assert full.get(address).content == raw
    assert full.get("/v2/team/app/tags/list").json()["tags"] == ["1.0"]


def test_only_a_manifest_with_a_subject_is_answered_with_it(full: httpx.Client) -> None:
    """OCI-Subject stands in the answer to a manifest with a subject, be it here or not, and in no other."""
    answers = []
    for subject in (None, IMAGE.root, IMAGE.root.model_copy(update={"digest": ABSENT})):
        artifact = make_artifact("team/app", "a", subject=subject)
        for blob in artifact.blobs:
            full.post(UPLOADS, params={"digest": blob.digest}, content=artifact.contents[blob.digest])
        raw = artifact.contents[artifact.root.digest]
        answers.append(full.put("/v2/team/app/manifests/a", content=raw, headers={"Content-Type": OCI_MANIFEST}))
    assert [each.status_code for each in answers] == [201] * 3
    assert [None, IMAGE.root.digest, ABSENT] == [each.headers.get("oci-subject") for each in answers]


# Content discovery


def test_links_between_pages(full: httpx.Client) -> None:
    """A page that is not the last one links to the next; the last one, and a page of none, link to nothing."""
    for tag in ("2.0", "3.0"):
        load_image("", "team/app", tag, IMAGE, client=full)
    address = "/v2/team/app/tags/list"
    links = [full.get(f"{address}?n={number}").headers.get("link") for number in (2, 3, 4, 0)]
    assert links == [f'<{address}?n=2&last=2.0>; rel="next"', None, None, None]


def test_last_need_not_be_a_tag(full: httpx.Client) -> None:
    """Tags after `last` are listed, also where `last` is none of them."""
    load_image("", "team/app", "2.0", IMAGE, client=full)
    answers = [full.get("/v2/team/app/tags/list", params={"last": last}).json()["tags"] for last in ("0", "1.5", "9")]
    assert answers == [["1.0", "2.0"], ["2.0"], []]


ARTIFACT_TYPES = {
    "of the manifest": ({"artifactType": "application/x.a", "config": EMPTY_TYPE}, OCI_MANIFEST, "application/x.a"),
    "of the config": ({"config": "application/x.config"}, OCI_MANIFEST, "application/x.config"),
    "of the index": ({"artifactType": "application/x.b"}, OCI_INDEX, "application/x.b"),
    "none": ({}, OCI_INDEX, None),
}


@pytest.mark.parametrize(("document", "media_type", "expected"), ARTIFACT_TYPES.values(), ids=ARTIFACT_TYPES)
def test_artifact_type_of_a_referrer(
    full: httpx.Client, document: dict[str, str], media_type: str, expected: str | None
) -> None:
    """A referrer is listed under its artifact type; a manifest without one under the media type of its config."""
    full.post(UPLOADS, params={"digest": Digest.of(EMPTY_CONFIG)}, content=EMPTY_CONFIG)
    subject = {"mediaType": OCI_INDEX, "digest": IMAGE.root.digest, "size": IMAGE.root.size}
    referrer: dict[str, object] = {"schemaVersion": 2, "mediaType": media_type, **document, "subject": subject}
    if media_type == OCI_MANIFEST:
        config = {"mediaType": document["config"], "digest": Digest.of(EMPTY_CONFIG), "size": len(EMPTY_CONFIG)}
        referrer |= {"config": config, "layers": []}
    else:
        referrer["manifests"] = []
    raw = json.dumps(referrer).encode()
    full.put(f"/v2/team/app/manifests/{Digest.of(raw)}", content=raw, headers={"Content-Type": media_type})
    (listed,) = full.get(f"/v2/team/app/referrers/{IMAGE.root.digest}").json()["manifests"]
    assert (Digest.of(raw), media_type, expected) == (listed["digest"], listed["mediaType"], listed.get("artifactType"))


def test_filter_that_nothing_passes(full: httpx.Client) -> None:
    """Where no referrer is of the type that is asked for, the list is empty, and says that it was filtered."""
    load_image("", "team/app", "sig", make_artifact("team/app", "sig", subject=IMAGE.root), client=full)
    listed = full.get(f"/v2/team/app/referrers/{IMAGE.root.digest}", params={"artifactType": "application/x.none"})
    assert (listed.status_code, listed.json()["manifests"]) == (200, [])
    assert listed.headers["content-type"] == OCI_INDEX
    assert listed.headers["oci-filters-applied"] == "artifactType"


def test_referrers_of_what_comes_later(empty: httpx.Client) -> None:
    """A referrer may come before its subject, and stays listed when the subject goes."""
    signature = make_artifact("team/app", "sig", subject=IMAGE.root)
    load_image("", "team/app", "sig", signature, client=empty)
    seen = [_referrers(empty)]
    load_image("", "team/app", "1.0", IMAGE, client=empty)
    seen.append(_referrers(empty))
    empty.delete(f"/v2/team/app/manifests/{IMAGE.root.digest}")
    seen.append(_referrers(empty))
    empty.delete(f"/v2/team/app/manifests/{signature.root.digest}")
    seen.append(_referrers(empty))
    assert [[signature.root.digest]] * 3 + [[]] == seen


def _referrers(client: httpx.Client) -> list[str]:
    listed = client.get(f"/v2/team/app/referrers/{IMAGE.root.digest}").json()["manifests"]
    return [each["digest"] for each in listed]


# Content management


def test_deleting_a_blob(full: httpx.Client) -> None:
    """A deleted blob is gone from its repository, from no other, and can be pushed again."""
    full.post("/v2/team/other/blobs/uploads/", params={"mount": LAYER, "from": "team/app"})
    address = f"/v2/team/app/blobs/{LAYER}"
    assert [full.delete(address).status_code for _ in range(2)] == [202, 404]
    assert code_of(full.get(address)) == "BLOB_UNKNOWN"
    assert full.get(f"/v2/team/other/blobs/{LAYER}").content == BLOB
    assert full.post(UPLOADS, params={"digest": LAYER}, content=BLOB).status_code == 201
    assert full.get(address).content == BLOB


DELETES = {
    "blob of no digest": ("/v2/team/app/blobs/sha256:abc", 400, "DIGEST_INVALID"),
    "absent blob": (f"/v2/team/app/blobs/{ABSENT}", 404, "BLOB_UNKNOWN"),
    "blob of an unknown repository": (f"/v2/no/such/blobs/{LAYER}", 404, "BLOB_UNKNOWN"),
    "manifest of no digest": ("/v2/team/app/manifests/sha256:abc", 400, "DIGEST_INVALID"),
    "absent manifest": (f"/v2/team/app/manifests/{ABSENT}", 404, "MANIFEST_UNKNOWN"),
    "absent tag": ("/v2/team/app/manifests/none", 404, "MANIFEST_UNKNOWN"),
    "tag of an unknown repository": ("/v2/no/such/manifests/1.0", 404, "MANIFEST_UNKNOWN"),
}


@pytest.mark.parametrize(("path", "status", "code"), DELETES.values(), ids=DELETES)
def test_deleting_what_is_not_there(full: httpx.Client, path: str, status: int, code: str) -> None:
    """What is not there cannot be deleted, and nothing else goes with it."""
    refused = full.delete(path)
    assert (status, code) == (refused.status_code, code_of(refused))
    assert full.get("/v2/team/app/tags/list").json()["tags"] == ["1.0"]
    assert full.head(f"/v2/team/app/blobs/{LAYER}").status_code == 200


# The table in docs/conformance.md


@pytest.fixture(scope="module")
def names() -> set[str]:
    """Every test of this folder as FILE::NAME."""
    files = {path: ast.walk(ast.parse(path.read_text())) for path in TESTS.glob("test_*.py")}
    return {f"{path.name}::{node.name}" for path, nodes in files.items() for node in nodes if _is_test(node)}


def _is_test(node: ast.AST) -> TypeGuard[ast.FunctionDef]:
    return isinstance(node, ast.FunctionDef) and node.name.startswith("test_")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "".join(row.split("|")[1:3])[:40])
def test_each_row_names_tests_that_are_there(names: set[str], row: str) -> None:
    """Every row names a test, and every test that it names is there."""
    named = set(re.findall(r"`(test_\w+\.py::\w+)`", row))

    assert named
    assert named - names == set()


def test_each_endpoint_has_a_row() -> None:
    """Every endpoint of the specification is in the table, with all its variations."""
    assert {row.split("|")[1].strip() for row in ROWS} >= ENDPOINTS
