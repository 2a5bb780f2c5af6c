"""Docker Hub, GitHub's registry and Quay."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.demo.content import make_image
from edgelift.errors import RefusedError, RegistryError
from edgelift.oci.budget import Budget
from edgelift.oci.push import KnownBlobs
from edgelift.oci.reference import ImageReference
from edgelift.serve.access import Login
from tests.images import make_artifact
from tests.quirks.sites import FIRST, PASSWORD, SECOND, USER, Site, site_of
from tests.simulators.profiles import Ghcr, Hub, Quay

LARGE = hashlib.shake_256(b"a blob for everybody").digest(9 * 2**20)
LOGIN = Login(USER, PASSWORD)


@pytest.fixture
def ghcr(tmp_path: Path) -> Iterator[Site]:
    """GitHub's registry."""
    with site_of(tmp_path, Ghcr(LOGIN), USER, PASSWORD) as site:
        yield site


@pytest.fixture
def quay(tmp_path: Path) -> Iterator[Site]:
    """Quay."""
    with site_of(tmp_path, Quay(LOGIN), USER, PASSWORD) as site:
        yield site


# Docker Hub


def test_looking_is_free_and_reading_counts(tmp_path: Path) -> None:
    """§1.10: "GET manifest counts, HEAD does not": describing costs nothing, a pull as many as it has manifests."""
    hub = Hub(LOGIN, pulls=10)
    with site_of(tmp_path, hub, USER, PASSWORD) as site:
        site.sim.put_image(SECOND)

        assert site.registry.describe(SECOND.repository, "1.0") is not None
        assert hub.left == 10
        site.pull(SECOND)
        assert hub.left == 10 - len(SECOND.manifests)


def test_what_is_left_is_known_without_a_pull(tmp_path: Path) -> None:
    """§1.10 `ratelimit-limit: 100;w=21600` and `ratelimit-remaining`: read from the answer to HEAD already."""
    with site_of(tmp_path, Hub(LOGIN, pulls=100), USER, PASSWORD) as site:
        site.sim.put_image(FIRST)
        site.registry.describe(FIRST.repository, "1.0")

        assert site.registry.budget == Budget(remaining=100, limit=100, window=21600, counted="192.0.2.1")


def test_what_is_in_the_store_is_not_pulled_again(tmp_path: Path) -> None:
    """§1.10 "HEAD first when the digest is already in the store": a second pull costs none of the limit."""
    hub = Hub(LOGIN, pulls=10)
    with site_of(tmp_path, hub, USER, PASSWORD) as site:
        site.sim.put_image(FIRST)
        site.pull(FIRST)
        left = hub.left

        assert site.pull(FIRST) == dict(FIRST.contents)
        assert hub.left == left


def test_a_limit_that_is_used_up_for_hours_ends_the_run(tmp_path: Path) -> None:
    """§1.10 "429 … stop early with a clear message if Retry-After > budget": until when is told, and nobody waits."""
    with site_of(tmp_path, Hub(LOGIN, pulls=0, retry_after=7200), USER, PASSWORD) as site:
        site.sim.put_image(FIRST)

        with pytest.raises(RegistryError, match="rate limited until"):
            site.registry.read_manifest(FIRST.repository, "1.0")
        assert site.sim.count("GET", "/manifests/", status=429) == 1
        assert max(site.hands.slept, default=0) < 7200


def test_a_limit_that_is_used_up_is_told_without_a_date_too(tmp_path: Path) -> None:
    """§1.10 `ratelimit-remaining`: none left and no Retry-After ends the run as well, with what helps."""
    with site_of(tmp_path, Hub(LOGIN, pulls=0), USER, PASSWORD) as site:
        site.sim.put_image(FIRST)

        with pytest.raises(RegistryError) as caught:
            site.registry.read_manifest(FIRST.repository, "1.0")
        assert site.sim.count("GET", "/manifests/", status=429) == 1
        assert "limit" in str(caught.value)


def test_a_limit_that_is_free_again_soon_is_waited_for(tmp_path: Path) -> None:
    """§1.10 Retry-After in seconds: the read goes on once the time is over."""
    hub = Hub(LOGIN, pulls=0, pulls_later=5, retry_after=20)
    with site_of(tmp_path, hub, USER, PASSWORD) as site:
        site.sim.put_image(FIRST)

        assert site.registry.read_manifest(FIRST.repository, "1.0").descriptor == FIRST.root
        assert sum(site.hands.slept) >= 20


def test_a_mount_has_a_token_for_both_repositories(tmp_path: Path) -> None:
    """§1.2 A11, §1.11 Docker Hub "multi-scope needed for mount": one token names the source too."""
    hub = Hub(LOGIN)
    with site_of(tmp_path, hub, USER, PASSWORD) as site:
        known = KnownBlobs()
        site.push(FIRST, known=known)
        site.push(SECOND, known=known)

        scopes = [f"repository:{SECOND.repository}:pull,push", f"repository:{FIRST.repository}:pull"]
        assert scopes in hub.tokens.requested
        assert site.sim.count("POST", "mount=", status=201) == 1


def test_a_mount_that_the_token_server_does_not_grant_is_an_upload(tmp_path: Path) -> None:
    """§1.2 A11: where only one scope is granted the mount gets 401, and the blob travels."""
    hub = Hub(LOGIN)
    hub.tokens.withhold("edge/secret", "pull")
    with site_of(tmp_path, hub, USER, PASSWORD) as site:
        assert site.upload(b"not for all", mount_from="edge/secret") == "uploaded"
        assert site.holds(b"not for all")


def test_official_images_are_in_library() -> None:
    """§1.1 N5: `alpine` is `docker.io/library/alpine`; the registry knows no other name."""
    reference = ImageReference.parse("alpine:3.20")

    assert (reference.registry, reference.repository) == ("docker.io", "library/alpine")


# GitHub


def test_an_access_token_is_a_password_at_the_token_server(ghcr: Site) -> None:
    """§1.11 GHCR "PAT as Basic password (raw PAT as Bearer fails)": it goes to /token, and nowhere else."""
    ghcr.push(FIRST)

    with_basic = [each for each in ghcr.sim.requests if each.headers.get("authorization", "").startswith("Basic ")]
    assert {each.path for each in with_basic} == {"/token"}
    assert all(PASSWORD not in each.headers.get("authorization", "") for each in ghcr.sim.requests)


def test_what_is_missing_is_denied(ghcr: Site) -> None:
    """§1.11 GHCR '403/"denied" for missing', A8: looking finds nothing; validation says "not-checkable", never good."""
    assert ghcr.registry.describe(FIRST.repository, "1.0") is None

    receipt = ghcr.validate(FIRST)
    assert [proof.verdict for proof in receipt.proofs] == ["not-checkable"]
    assert not receipt.is_whole


def test_chunks_become_small_enough(ghcr: Site) -> None:
    """§1.11 GHCR "PATCH <= 4 MiB else 416": a proxy wants chunks; too large ones are refused, smaller ones arrive."""
    ghcr.sim.fail("PUT", "/blobs/uploads/", status=413)

    assert ghcr.upload(LARGE) == "uploaded"
    assert ghcr.holds(LARGE)
    sizes = [(int(each.headers["content-length"]), each.status) for each in ghcr.sim.requests if each.method == "PATCH"]
    assert sizes == [(8 * 2**20, 416), (4 * 2**20, 202), (4 * 2**20, 202), (2**20, 202)]


# Quay


def test_pages_have_a_hundred_tags_at_most(quay: Site) -> None:
    """§1.11 Quay "n <= 100 -> 413": 120 tags come in two pages, none of which is refused."""
    quay.sim.put_image(FIRST)
    tags = {"1.0"} | {f"2.{number}" for number in range(119)}
    for tag in tags:
        quay.sim.content.point_tag(FIRST.repository, tag, FIRST.root.digest)

    assert set(quay.registry.list_tags(FIRST.repository)) == tags
    assert [each.status for each in quay.sim.requests if each.path.endswith("/tags/list")][-2:] == [200, 200]
    assert quay.sim.count("GET", "/tags/list", status=413) == 0


def test_a_mount_names_where_from(quay: Site) -> None:
    """§1.11 Quay "mount needs `from`": without it 400, and ours always has it."""
    known = KnownBlobs()
    quay.push(FIRST, known=known)
    quay.push(SECOND, known=known)

    mounts = [each for each in quay.sim.requests if "mount=" in each.query]
    asked = [(each.query.partition("&from=")[2], each.status) for each in mounts]
    assert sorted(asked) == [(FIRST.repository, 201), (SECOND.repository, 202)]  # the second asks whether it is there


def test_an_artifact_that_is_not_on_the_list_is_refused_once(quay: Site) -> None:
    """§1.11 Quay "artifact types allow-list", T6: MANIFEST_INVALID for one artifact, and images go through."""
    with pytest.raises(RefusedError) as caught:
        quay.push(make_artifact("edge/artifact", "1.0"))
    quay.push(FIRST)

    assert (caught.value.code, caught.value.retryable) == ("MANIFEST_INVALID", False)
    assert quay.sim.count("PUT", "/manifests/", status=400) == 1
    assert quay.validate(FIRST).is_whole


def test_an_unknown_tag_is_no_error(quay: Site) -> None:
    """§1.8: 404 for what is not there, and nothing is invented."""
    assert quay.registry.describe(make_image("edge/other").repository, "1.0") is None
