"""The registries of the three large clouds: Amazon's, Azure's and Google's."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import NotFoundError, RefusedError
from edgelift.oci.push import KnownBlobs
from edgelift.serve.access import Login
from tests.quirks.sites import FIRST, PASSWORD, REPOSITORIES, SECOND, Site, site_of
from tests.simulators.fault_layer import Exchange
from tests.simulators.profiles import Acr, Ecr, EcrPublic, Gar
from tests.simulators.profiles.azure import NOBODY

LARGE = hashlib.shake_256(b"a blob for the clouds").digest(7 * 2**20)
CHANGED = make_image(FIRST.repository, seed="built again")
TOKEN = "a token of twelve hours"
KEY_FILE = '{"type": "service_account", "private_key": "a made-up key"}'


@pytest.fixture
def ecr(tmp_path: Path) -> Iterator[Site]:
    """An ECR with the repositories of the set, whose tags are immutable."""
    with site_of(tmp_path, Ecr(TOKEN, *REPOSITORIES, immutable_tags=True), "AWS", TOKEN) as site:
        yield site


@pytest.fixture
def acr(tmp_path: Path) -> Iterator[Site]:
    """An ACR that is logged in to as `az acr login` does it."""
    with site_of(tmp_path, Acr("a refresh token"), NOBODY, identity_token="a refresh token") as site:
        yield site


def to_storage(site: Site) -> list[Exchange]:
    """The requests that came to the storage of blobs."""
    return [each for each in site.sim.requests if each.host != site.sim.host]


# Amazon


def test_the_storage_of_blobs_sees_no_credentials(ecr: Site) -> None:
    """§1.4 B1, §1.11 ECR "blobs always 307 -> S3": S3 refuses credentials beside a signature, so none go there."""
    ecr.push(FIRST)
    assert ecr.pull(FIRST) == dict(FIRST.contents)

    seen = to_storage(ecr)
    assert len(seen) == len(FIRST.blobs)
    assert [each.status for each in seen if each.had_authorization or each.status != 200] == []
    assert all(TOKEN not in str(each.headers) for each in seen)


def test_a_download_goes_on_at_the_registry_and_not_at_the_storage(ecr: Site) -> None:
    """§1.4 B2: a signed address lives for minutes; after a cut the registry is asked again, for the rest."""
    image = make_image(FIRST.repository, layers=(SampleLayer("tar", 400_000),))
    ecr.push(image)
    ecr.sim.cut("GET", "^/storage/.+", after_bytes=100_000)
    ecr.sim.forget_requests()

    assert ecr.pull(image) == dict(image.contents)
    assert len({each.query for each in to_storage(ecr)}) == len(to_storage(ecr)) == len(image.blobs) + 1


def test_a_repository_has_to_be_there(ecr: Site) -> None:
    """§1.11 ECR "repo must pre-exist (404 NAME_UNKNOWN)": found before anything is sent, with what helps."""
    ecr.sim.forget_requests()
    stranger = make_image("edge/quay.io/team/stranger")

    (error,) = ecr.preflight(stranger).errors
    with pytest.raises(NotFoundError) as caught:
        ecr.push(stranger)

    assert "NAME_UNKNOWN" in error
    assert "created" in error
    assert caught.value.code == "NAME_UNKNOWN"
    assert ecr.sim.count("PUT") == 0


def test_repositories_are_made_where_that_is_wanted(tmp_path: Path) -> None:
    """§1.11 ECR "repo must pre-exist": one that is missing is made when it is pushed to, and mounts go into it."""
    ecr, known = Ecr(TOKEN), KnownBlobs()
    with site_of(tmp_path, ecr, "AWS", TOKEN) as site:
        site.registry.create_missing(ecr.repositories.add)

        assert site.preflight(FIRST, SECOND).errors == ()
        assert ecr.repositories == set()
        site.push(FIRST, known=known)
        site.push(SECOND, known=known)

        assert ecr.repositories == {FIRST.repository, SECOND.repository}
        assert site.validate(FIRST, SECOND).is_whole


def test_an_immutable_tag_is_left_alone_or_told(ecr: Site) -> None:
    """§1.11 ECR "immutable tags", T2: the same again is no PUT; another image under the tag is refused once, named."""
    ecr.push(FIRST)
    ecr.sim.forget_requests()

    ecr.push(FIRST)
    assert ecr.sim.count("PUT") == 0
    with pytest.raises(RefusedError, match="TAG_INVALID"):
        ecr.push(CHANGED, on_conflict="replace")
    assert ecr.sim.count("PUT", "/manifests/1.0") == 1
    assert ecr.registry.describe(FIRST.repository, "1.0") == FIRST.root


def test_chunks_that_are_dropped_are_noticed(ecr: Site) -> None:
    """§1.11 ECR "PATCH -> 201, later PATCH bodies dropped", P6: the stale Range ends it with a clear refusal."""
    ecr.sim.fail("PUT", "/blobs/uploads/", status=413, times=None)

    with pytest.raises(RefusedError, match="does not go on after byte 4,194,304"):
        ecr.upload(LARGE)
    assert ecr.sim.count("PATCH", status=201) == 2


def test_names_are_asked_for_in_pages_that_are_allowed(ecr: Site) -> None:
    """§1.11 ECR "n <= 1000": all of our pages are."""
    ecr.push(FIRST)

    assert ecr.registry.list_tags(FIRST.repository) == ("1.0",)
    assert ecr.registry.list_repositories() == (FIRST.repository,)
    assert ecr.sim.count(status=405) == 0


def test_a_layer_that_is_too_large_stops_one_image_only(tmp_path: Path) -> None:
    """§1.11 ECR Public "layer <= 10 000 MiB" (15 000 bytes here): refused once, the other image goes through."""
    large = make_image(SECOND.repository, layers=(SampleLayer("tar", 20_000),))
    with site_of(tmp_path, EcrPublic(TOKEN, *REPOSITORIES, layer_limit=15_000), "AWS", TOKEN) as site:
        with pytest.raises(RefusedError, match="larger than the maximum"):
            site.push(large)
        site.push(FIRST)

        assert site.sim.count("PUT", "/blobs/uploads/", status=405) == 1
        assert site.validate(FIRST).is_whole


# Azure


def test_a_refresh_token_is_exchanged_and_sent_nowhere_else(acr: Site) -> None:
    """§1.11 ACR, A9: `grant_type=refresh_token` as a form; the refresh token is in no header and no URL."""
    acr.push(FIRST)

    assert set(acr_profile(acr).exchanged) == {"refresh_token"}
    shown = [f"{each.target} {each.headers}" for each in acr.sim.requests]
    secrets = ("a refresh token", base64.b64encode(f"{NOBODY}:a refresh token".encode()).decode())
    assert [line for line in shown if any(secret in line for secret in secrets)] == []


def test_a_relative_location_is_used_to_the_letter(acr: Site) -> None:
    """§1.11 ACR "relative Location", P2: what is in its query comes back unchanged, with the digest behind it."""
    acr.push(FIRST)

    puts = [each for each in acr.sim.requests if each.method == "PUT" and "/blobs/" in each.path]
    assert len(puts) == len(FIRST.blobs)
    assert all(each.query.startswith("_nouploadcache=false&_state=aBc%2BdEf%3D%3D&digest=sha256:") for each in puts)


def test_the_catalog_has_a_scope_of_its_own(acr: Site) -> None:
    """§1.11 ACR "catalog scope", §1.8: repositories are listed with `registry:catalog:*`, page by page."""
    for name in ("edge/a", "edge/b", "edge/c"):
        acr.sim.put_image(make_image(name))

    assert acr.registry.list_repositories() == ("edge/a", "edge/b", "edge/c")
    assert ["registry:catalog:*"] in acr_profile(acr).tokens.requested
    assert acr.sim.count("GET", "_catalog.*last=", status=200) == 1


def acr_profile(site: Site) -> Acr:
    """The profile of a site."""
    assert isinstance(site.profile, Acr)
    return site.profile


# Google


@pytest.mark.parametrize("username", ["_json_key", "_json_key_base64", "oauth2accesstoken"])
def test_googles_logins_are_passwords_at_the_token_server(tmp_path: Path, username: str) -> None:
    """§1.11 GAR "Basic oauth2accesstoken/_json_key_base64": a whole key file goes through as a password."""
    password = KEY_FILE if username == "_json_key" else base64.b64encode(KEY_FILE.encode()).decode()
    with site_of(tmp_path, Gar(Login(username, password)), username, password) as site:
        site.push(FIRST)

        assert site.pull(FIRST) == dict(FIRST.contents)
        basic = [each.path for each in site.sim.requests if each.headers.get("authorization", "").startswith("Basic")]
        assert set(basic) == {"/v2/token"}


def test_a_401_without_a_word_is_asked_about_at_the_root(tmp_path: Path) -> None:
    """§1.11 GAR "401 without WWW-Authenticate on real request": the challenge is fetched from /v2/, once."""
    with site_of(tmp_path, Gar(Login("_json_key", KEY_FILE)), "_json_key", KEY_FILE) as site:
        site.sim.put_image(FIRST)

        assert site.registry.describe(FIRST.repository, "1.0") == FIRST.root
        assert site.sim.count("GET", "^/v2/$", status=401) == 1


def test_tokens_that_end_in_the_middle_are_minted_again(tmp_path: Path) -> None:
    """§1.11 GAR "<= 60 min tokens => long pushes fail at the end unless re-minted": here after two requests each.

    HEAD and POST use the first one up: the first PUT meets its end and is sent again (A6), and so does the third.
    """
    gar = Gar(Login("_json_key", KEY_FILE), uses=2)
    with site_of(tmp_path, gar, "_json_key", KEY_FILE) as site:
        for blob in FIRST.blobs:
            assert site.upload(FIRST.contents[blob.digest]) == "uploaded"
        raw = FIRST.contents[FIRST.root.digest]
        site.registry.write_manifest(FIRST.repository, "1.0", raw, FIRST.root.media_type)

        assert site.sim.count("PUT", "/blobs/uploads/", status=401) == 2
        assert all(site.holds(FIRST.contents[blob.digest]) for blob in FIRST.blobs)
        assert site.sim.content.tags(FIRST.repository) == ["1.0"]


def test_a_page_that_is_too_large_is_asked_for_without_a_size(tmp_path: Path) -> None:
    """§1.11 GAR "tags n large -> 405", §1.8: a refused page size is left out."""
    profile = Gar(Login("_json_key", PASSWORD), most_tags=50)
    with site_of(tmp_path, profile, "_json_key", PASSWORD) as site:
        site.push(FIRST)

        assert site.registry.list_tags(FIRST.repository) == ("1.0",)
        assert site.sim.count("GET", "/tags/list", status=405) == 1
