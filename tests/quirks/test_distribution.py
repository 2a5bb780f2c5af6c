"""Distribution 2.8 and 3.x: how uploads are lost or go on, what they refuse, and what the client makes of it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.errors import IntegrityError, RefusedError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_MANIFEST
from tests.quirks.scripts import OCI, padded
from tests.quirks.sites import FIRST, Site, describe, site_of
from tests.simulators.profiles import Distribution3, Distribution28

LARGE = hashlib.shake_256(b"a blob of three and a half mebibytes").digest(7 * 2**19)
REPOSITORY = FIRST.repository


@pytest.fixture
def dist28(tmp_path: Path) -> Iterator[Site]:
    """A Distribution 2.8."""
    with site_of(tmp_path, Distribution28()) as site:
        yield site


@pytest.fixture
def dist3(tmp_path: Path) -> Iterator[Site]:
    """A Distribution 3.x."""
    with site_of(tmp_path, Distribution3()) as site:
        yield site


def test_an_upload_that_is_cut_begins_anew(dist28: Site) -> None:
    """§1.5 table, "GET after a cut PATCH: 404 - session lost", and P12: HEAD, then a new session, nothing resumed."""
    dist28.sim.cut("PUT", "/blobs/uploads/", after_bytes=2**20)

    assert dist28.upload(LARGE) == "uploaded"
    assert dist28.holds(LARGE)
    assert dist28.sim.count("POST", "/blobs/uploads/") == 2
    assert dist28.sim.count("HEAD", "/blobs/sha256") == 2


def test_chunks_begin_anew_when_one_is_cut(dist28: Site) -> None:
    """§1.5 table, "GET after a cut PATCH: 404 BLOB_UPLOAD_INVALID": a new session, and every byte arrives once."""
    dist28.sim.fail("PUT", "/blobs/uploads/", status=413)
    dist28.sim.cut("PATCH", "/blobs/uploads/", after_bytes=2**19, skip=1)

    assert dist28.upload(LARGE) == "uploaded"
    assert dist28.holds(LARGE)
    assert dist28.sim.count("GET", "/blobs/uploads/", status=404) == 1
    assert dist28.sim.count("POST", "/blobs/uploads/") == 3  # for the whole, for the chunks, and after the cut


def test_chunks_go_on_where_the_registry_stands(dist3: Site) -> None:
    """§1.5 table, 3.x "GET after a cut PATCH: 204 (partial kept)": the same session goes on, no byte goes twice."""
    dist3.sim.fail("PUT", "/blobs/uploads/", status=413)
    dist3.sim.cut("PATCH", "/blobs/uploads/", after_bytes=2**19, skip=1)

    assert dist3.upload(LARGE) == "uploaded"
    assert dist3.holds(LARGE)
    assert dist3.sim.count("GET", "/blobs/uploads/", status=204) == 1
    assert dist3.sim.count("POST", "/blobs/uploads/") == 2  # for the whole, and for the chunks
    assert chunks(dist3) == ["0-2097151", "2097152-3670015", "2621440-3670015"]


def test_a_lost_answer_to_a_chunk_is_looked_into(dist3: Site) -> None:
    """§1.5 table, 3.x "same PATCH resent: 416", and P8: the status is asked for, the chunk is not sent again."""
    dist3.sim.fail("PUT", "/blobs/uploads/", status=413)
    dist3.sim.lose_response("PATCH", "/blobs/uploads/")

    assert dist3.upload(LARGE) == "uploaded"
    assert dist3.holds(LARGE)
    assert chunks(dist3) == ["0-2097151", "2097152-3670015"]


@pytest.mark.parametrize("profile", [Distribution28, Distribution3])
def test_a_lost_answer_to_a_whole_blob_costs_no_second_upload(
    tmp_path: Path, profile: type[Distribution28] | type[Distribution3]
) -> None:
    """P12: after a PUT whose answer is lost the blob is there; HEAD says so."""
    with site_of(tmp_path, profile()) as site:
        site.sim.lose_response("PUT", "/blobs/uploads/")

        assert site.upload(LARGE) == "uploaded"
        assert site.sim.count("PUT", "/blobs/uploads/") == 1


def test_a_416_that_is_cut_short_is_not_read(dist28: Site) -> None:
    """B6: a 416 that announces the blob's size and sends 33 bytes; the blob is asked for whole, and its size told."""
    content = b"shorter than was thought"
    dist28.upload(content)
    longer = Descriptor(media_type="application/octet-stream", digest=Digest.of(content), size=1000)

    with pytest.raises(IntegrityError, match="has 24 bytes there, not 1000"):
        dist28.registry.read_blob(REPOSITORY, longer, 500)
    assert [each.status for each in dist28.sim.requests if each.method == "GET"] == [416, 200]
    assert dist28.hands.slept == []


def test_manifests_are_asked_for_by_type(dist28: Site) -> None:
    """M1: 404 for an OCI manifest without a fitting Accept, on HEAD too; ours names every type."""
    dist28.push(FIRST)

    assert dist28.registry.describe(REPOSITORY, "1.0") == FIRST.root
    assert dist28.registry.read_manifest(REPOSITORY, "1.0").descriptor == FIRST.root
    assert dist28.sim.count("GET", "/manifests/", status=404) == 0


@pytest.mark.parametrize("profile", [Distribution28, Distribution3])
def test_a_manifest_that_is_too_large_is_refused_for_good(
    tmp_path: Path, profile: type[Distribution28] | type[Distribution3]
) -> None:
    """M8: 400 MANIFEST_INVALID in place of 413 for more than 4 MiB: told as what it is, and not tried again."""
    raw = padded(5 * 2**20)
    with site_of(tmp_path, profile()) as site:
        with pytest.raises(RefusedError) as caught:
            site.registry.write_manifest(REPOSITORY, "large", raw, OCI_MANIFEST)

        assert (caught.value.status, caught.value.code) == (400, "MANIFEST_INVALID")
        assert "4 MiB" in str(caught.value)
        assert site.sim.count("PUT", "/manifests/") == 1


def test_tags_come_whole_and_unsorted(dist28: Site) -> None:
    """§1.5 table, "n and last all ignored, unsorted": one request, however many tags there are."""
    tags = {f"1.{number}" for number in range(150)}
    put_tags(dist28, tags)

    listed = dist28.registry.list_tags(REPOSITORY)

    assert (set(listed), len(listed)) == (tags, 150)
    assert list(listed) != sorted(listed)
    assert dist28.sim.count("GET", "/tags/list") == 1


def test_tags_come_in_pages(dist3: Site) -> None:
    """§1.5 table, 3.x "honoured, sorted": a hundred a page."""
    tags = {f"1.{number}" for number in range(150)}
    put_tags(dist3, tags)

    listed = dist3.registry.list_tags(REPOSITORY)

    assert list(listed) == sorted(tags)
    assert dist3.sim.count("GET", "/tags/list") == 2


@pytest.mark.parametrize("profile", [Distribution28, Distribution3])
def test_content_by_sha512_arrives_and_a_manifest_of_it_is_refused(
    tmp_path: Path, profile: type[Distribution28] | type[Distribution3]
) -> None:
    """N8: the blob is stored, its digest told as sha256; the manifest gets 400. Neither is tried for ever."""
    content = b"known by a longer hash"
    blob = describe(content).model_copy(update={"digest": Digest(f"sha512:{hashlib.sha512(content).hexdigest()}")})
    raw = OCI.contents[OCI.root.digest]
    with site_of(tmp_path, profile()) as site:
        assert site.registry.upload_blob(REPOSITORY, blob, lambda: iter([content])) == "uploaded"
        assert b"".join(site.registry.read_blob(REPOSITORY, blob).chunks) == content
        with pytest.raises(RefusedError, match="400 DIGEST_INVALID"):
            site.registry.write_manifest(REPOSITORY, f"sha512:{hashlib.sha512(raw).hexdigest()}", raw, OCI_MANIFEST)
        assert site.sim.count("PUT", "/manifests/") == 1


def put_tags(site: Site, tags: set[str]) -> None:
    """Give the first image further tags, without a request."""
    site.sim.put_image(FIRST)
    for tag in tags:
        site.sim.content.point_tag(REPOSITORY, tag, FIRST.root.digest)


def chunks(site: Site) -> list[str]:
    """Where the chunks that were sent belong."""
    return [each.headers["content-range"] for each in site.sim.requests if each.method == "PATCH"]
