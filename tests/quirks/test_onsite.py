"""Harbor and Artifactory, which sites run themselves."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgelift.demo.content import SampleImage, make_image
from edgelift.errors import DeniedError, RefusedError
from edgelift.oci.digest import Digest
from edgelift.oci.push import KnownBlobs
from edgelift.serve.access import Login
from tests.quirks.sites import FIRST, PASSWORD, SECOND, USER, Site, describe, site_of
from tests.simulators.profiles import Artifactory, Harbor

LARGE = hashlib.shake_256(b"a blob for the site").digest(7 * 2**19)
CHANGED = make_image(FIRST.repository, seed="built again")
LOGIN = Login(USER, PASSWORD)


@pytest.fixture
def harbor(tmp_path: Path) -> Iterator[Site]:
    """A Harbor with the project `edge`."""
    with site_of(tmp_path, Harbor(LOGIN, "edge"), USER, PASSWORD) as site:
        yield site


@pytest.fixture
def artifactory(tmp_path: Path) -> Iterator[Site]:
    """An Artifactory that loses the first two chunks it gets."""
    with site_of(tmp_path, Artifactory(LOGIN, lost_chunks=2), USER, PASSWORD) as site:
        yield site


# Harbor


def test_a_robot_gets_its_tokens_from_the_service(harbor: Site) -> None:
    """§1.11 Harbor "Bearer /service/token, robot robot$x": the dollar sign goes through as it is."""
    harbor.push(FIRST)

    assert harbor.sim.count("GET", "^/service/token", status=200) >= 1
    assert harbor.sim.count("GET", "^/service/token", status=401) == 0


def test_a_mount_from_an_unknown_project_is_an_upload(harbor: Site) -> None:
    """§1.6, §1.11 Harbor "401 on mount from unknown project": the blob travels instead."""
    known = KnownBlobs()
    shared = next(blob for blob in FIRST.blobs if blob in SECOND.blobs)
    known.add(shared.digest, "gone/quay.io/team/first")

    transfer = harbor.push(SECOND, known=known)

    assert (transfer.moved, transfer.mounted) == (len(SECOND.blobs), 0)
    assert harbor.sim.count("POST", "mount=", status=401) >= 1
    assert harbor.validate(SECOND).is_whole


def test_a_project_has_to_be_there(harbor: Site) -> None:
    """§1.11 Harbor, §1.2 A3: a token proves nothing; the preflight tries to push, and tells the refusal."""
    harbor_of_others = Harbor(LOGIN, "other")
    with site_of(harbor.folder / "others", harbor_of_others, USER, PASSWORD) as site:
        errors = site.preflight(FIRST).errors

        assert any("401 UNAUTHORIZED (project not found)" in error for error in errors)
        assert site.sim.count("PUT") == 0


def test_an_upload_that_is_cut_begins_anew(harbor: Site) -> None:
    """§1.11 Harbor "Distribution 2.8 semantics (session loss)": a new session behind the same tokens."""
    harbor.sim.fail("PUT", "/blobs/uploads/", status=413)
    harbor.sim.cut("PATCH", "/blobs/uploads/", after_bytes=2**19, skip=1)

    assert harbor.upload(LARGE) == "uploaded"
    assert harbor.holds(LARGE)


def test_an_immutable_tag_stops_one_image_only(tmp_path: Path) -> None:
    """§1.11 Harbor "immutability 412": told once, the tag stands as it was, the other image goes through."""
    with site_of(tmp_path, Harbor(LOGIN, "edge", immutable=True), USER, PASSWORD) as site:
        site.push(FIRST)
        with pytest.raises(RefusedError) as caught:
            site.push(CHANGED, on_conflict="replace")
        site.push(SECOND)

        assert (caught.value.status, caught.value.code) == (412, "PRECONDITION")
        assert site.sim.count("PUT", "/manifests/1.0", status=412) == 1
        assert site.validate(FIRST, SECOND).is_whole


def test_a_full_quota_is_told_and_not_tried_again(tmp_path: Path) -> None:
    """§1.11 Harbor "quota 403": the reason is in the message, and no tag points to an image that is not whole."""
    with site_of(tmp_path, Harbor(LOGIN, "edge", is_full=True), USER, PASSWORD) as site:
        with pytest.raises(DeniedError, match="will exceed the configured upper limit"):
            site.push(FIRST)

        assert site.sim.count("PUT", "/manifests/", status=403) == 1
        assert not site.sim.content.tags(FIRST.repository)


# Artifactory


def test_a_tag_that_is_not_there_is_denied(artifactory: Site) -> None:
    """§1.2 A8, §1.11 Artifactory "403 for missing tag in virtual repos": looking finds nothing, pushing goes on."""
    assert artifactory.registry.describe(FIRST.repository, "1.0") is None

    artifactory.push(FIRST)
    assert artifactory.registry.describe(FIRST.repository, "9.9") is None
    assert artifactory.registry.describe(FIRST.repository, "1.0") == FIRST.root


def test_a_tag_that_is_listed_but_denied_is_not_taken_for_free(artifactory: Site) -> None:
    """§1.2 A8: "unknown" is not "absent": where the list has the tag, the refusal is told."""
    artifactory.push(FIRST)
    artifactory.sim.deny("/manifests/1.0", "HEAD")

    with pytest.raises(DeniedError):
        artifactory.registry.describe(FIRST.repository, "1.0")


def test_an_upload_begins_anew_when_a_chunk_gets_404(artifactory: Site) -> None:
    """§1.11 Artifactory "PATCH 404 sometimes => restart upload"."""
    artifactory.sim.fail("PUT", "/blobs/uploads/", status=413)

    assert artifactory.upload(LARGE) == "uploaded"
    assert artifactory.holds(LARGE)
    assert artifactory.sim.count("PATCH", status=404) == 2


def test_a_push_accepts_any_answer(artifactory: Site) -> None:
    """§1.11 Artifactory "`Accept` validated on push calls" (406 where it lists manifests only): ours takes anything."""
    artifactory.push(SECOND)

    writes = [each for each in artifactory.sim.requests if each.method in ("POST", "PUT")]
    assert {each.headers.get("accept", "*/*") for each in writes} == {"*/*"}
    assert artifactory.validate(SECOND).is_whole


def test_history_that_does_not_fit_is_told_once(artifactory: Site) -> None:
    """§1.11 Artifactory "config `history` parsed, MANIFEST_INVALID": the registry's reason is told, once."""
    with pytest.raises(RefusedError, match="history does not fit the layers"):
        artifactory.push(without_history())
    artifactory.push(FIRST)

    assert artifactory.sim.count("PUT", "/manifests/", status=400) == 1
    assert artifactory.validate(FIRST).is_whole


def without_history() -> SampleImage:
    """An image whose config tells of one layer less than it has."""
    image = make_image("edge/quay.io/team/odd")
    *layers, config = image.blobs
    document = json.loads(image.contents[config.digest])
    document["history"].pop()
    told = json.dumps(document).encode()
    manifest = json.loads(image.contents[image.root.digest])
    manifest["config"] |= {"digest": Digest.of(told), "size": len(told)}
    raw = json.dumps(manifest).encode()
    root = image.root.model_copy(update={"digest": Digest.of(raw), "size": len(raw)})
    new_config = describe(told).model_copy(update={"media_type": config.media_type})
    contents = {**image.contents, new_config.digest: told, root.digest: raw}
    return replace(image, root=root, manifests=(root,), blobs=(*layers, new_config), contents=contents)
