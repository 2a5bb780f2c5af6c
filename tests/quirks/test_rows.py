"""The common life of an image set at every registry of the quirk table: push with a shared layer, pull, list, validate.

Each row's expectations are written by hand from the facts page (registries); `source` says from where. What is special
about a registry is in the other files here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from edgelift.delivery.preflight import Preflight
from edgelift.oci.push import KnownBlobs
from edgelift.oci.transfer import Transfer
from edgelift.serve.access import Login
from tests.quirks.sites import FIRST, PASSWORD, REPOSITORIES, SECOND, USER, Site, site_of
from tests.simulators.profiles import (
    Acr,
    Artifactory,
    Distribution3,
    Distribution28,
    Ecr,
    EcrPublic,
    Gar,
    Ghcr,
    Harbor,
    Hub,
    Profile,
    Quay,
    Zot,
)
from tests.simulators.profiles.azure import NOBODY

LOGIN = Login(USER, PASSWORD)


@dataclass(frozen=True)
class Row:
    """One registry. `catalog` is why the repositories cannot be listed, "" where they can; `pages` of three tags."""

    source: str
    profile: Callable[[], Profile]
    username: str = ""
    password: str = ""
    identity_token: str = ""
    catalog: str = ""
    pages: int = 1
    is_sorted: bool = True


@dataclass(frozen=True)
class Delivered:
    """A registry that the set was brought to, and what was seen on the way; from then on it is only read."""

    row: Row
    site: Site
    preflight: Preflight
    transfers: tuple[Transfer, ...]


ROWS = {
    "dist28": Row("§1.5 table: mount+from 201, n and last ignored, unsorted", Distribution28, is_sorted=False),
    "dist3": Row("§1.5 table: mount+from 201, sorted", Distribution3),
    "zot": Row("§1.5 Zot: mount 201 by digest; §1.11 catalog by rights", Zot),
    "ecr": Row(
        "§1.11 ECR private: Basic AWS:<token>, repositories beforehand, 307",
        lambda: Ecr("an ECR token", *REPOSITORIES),
        "AWS",
        "an ECR token",
    ),
    "ecr_public": Row(
        "§1.11 ECR Public: no catalog",
        lambda: EcrPublic("an ECR token", *REPOSITORIES),
        "AWS",
        "an ECR token",
        catalog="404",
    ),
    "acr": Row(
        "§1.11 ACR: refresh token, relative Location, Link paging (two a page here)",
        lambda: Acr("a refresh token"),
        NOBODY,
        identity_token="a refresh token",
        pages=2,
    ),
    "ghcr": Row("§1.11 GHCR: PAT as Basic password, no catalog", lambda: Ghcr(LOGIN), USER, PASSWORD, catalog="404"),
    "quay": Row("§1.11 Quay: mount with from; §1.8 no catalog", lambda: Quay(LOGIN), USER, PASSWORD, catalog="401"),
    "harbor": Row(
        "§1.11 Harbor: robot, /service/token, catalog 401, Distribution 2.8 below",
        lambda: Harbor(LOGIN, "edge"),
        USER,
        PASSWORD,
        catalog="401",
        is_sorted=False,
    ),
    "hub": Row("§1.11 Docker Hub: no catalog, Bearer", lambda: Hub(LOGIN), USER, PASSWORD, catalog="401"),
    "artifactory": Row(
        "§1.11 Artifactory: Bearer, 403 for what is missing", lambda: Artifactory(LOGIN), USER, PASSWORD
    ),
    "gar": Row("§1.11 GAR: 401 without a challenge", lambda: Gar(LOGIN), USER, PASSWORD),
}


@pytest.fixture(scope="module", params=ROWS)
def delivered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Delivered]:
    """Both images at the registry of one row, the first with a further tag before and one behind its own."""
    row = ROWS[request.param]
    login = (row.username, row.password)
    folder = tmp_path_factory.mktemp(request.param)
    with site_of(folder, row.profile(), *login, identity_token=row.identity_token) as site:
        known = KnownBlobs()
        preflight = site.preflight(FIRST, SECOND)
        transfers = site.push(FIRST, known=known), site.push(SECOND, known=known)
        for tag in ("1.1", "0.9"):
            site.push(FIRST, tag, known=known)
        yield Delivered(row, site, preflight, transfers)


@pytest.fixture
def site(delivered: Delivered) -> Site:
    """The registry with the set in it."""
    delivered.site.sim.forget_requests()
    return delivered.site


def test_a_preflight_of_an_empty_registry_finds_nothing_wrong(delivered: Delivered) -> None:
    """§1.2 A8: tags that are missing are no error, however a registry tells it; pushing is allowed."""
    assert (delivered.preflight.errors, delivered.preflight.warnings) == ((), ())


def test_a_shared_layer_travels_once(delivered: Delivered) -> None:
    """§1.6, §1.11: every registry of the table mounts (201) a layer that is known to be in another repository."""
    first, second = delivered.transfers

    sizes = [sum(blob.size for blob in image.blobs) for image in (FIRST, SECOND)]
    shared = next(blob for blob in FIRST.blobs if blob in SECOND.blobs)
    assert first == Transfer(moved=3, moved_bytes=sizes[0])
    assert second == Transfer(moved=4, moved_bytes=sizes[1] - shared.size, mounted=1)


def test_what_was_pushed_is_pulled_again(site: Site) -> None:
    """Every byte that was pushed comes back, through whatever the registry does to readers."""
    assert site.pull(SECOND) == dict(SECOND.contents)


def test_a_second_run_sends_nothing(site: Site) -> None:
    """§1.7 T2: the same push again writes neither blob nor manifest nor tag, so immutable tags are no trouble."""
    transfer = site.push(FIRST)

    assert transfer.moved == 0
    assert [each.method for each in site.sim.requests if each.method not in ("GET", "HEAD")] == []


def test_tags_are_listed_whole(delivered: Delivered, site: Site) -> None:
    """§1.8: all tags come, in one page or in several, whatever order the registry has."""
    tags = list(site.registry.list_tags(FIRST.repository))

    assert (tags if delivered.row.is_sorted else sorted(tags)) == ["0.9", "1.0", "1.1"]
    assert site.sim.count("GET", "/tags/list", status=200) == delivered.row.pages


def test_a_delivery_is_validated_and_what_is_beside_it_is_told(delivered: Delivered, site: Site) -> None:
    """§1.8 ladder: references are proved one by one; tags beside them are told; no catalog is "not checkable"."""
    receipt = site.validate(FIRST, SECOND)

    assert [proof.verdict for proof in receipt.proofs] == ["ok", "ok"]
    assert receipt.extras.tags == (f"{FIRST.repository}:0.9", f"{FIRST.repository}:1.1")
    assert len(receipt.extras.not_checkable) == (1 if delivered.row.catalog else 0)
    assert all(delivered.row.catalog in reason for reason in receipt.extras.not_checkable)


def test_a_preflight_of_what_is_there_finds_nothing_wrong(site: Site) -> None:
    """Tags that stand with the right digest are in nobody's way."""
    assert site.preflight(FIRST, SECOND).errors == ()
