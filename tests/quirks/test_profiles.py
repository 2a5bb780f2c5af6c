"""What the profiles do to requests that our own client never sends: they are to be the registries they are named after.

Expectations are by hand from the facts page (registries §1.5, §1.8, §1.11).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_MANIFEST
from edgelift.oci.wire import Call, Reply
from edgelift.serve.access import Login
from tests.quirks.sites import FIRST, PASSWORD, REPOSITORIES, USER, Site, site_of
from tests.simulators.profiles import Acr, Artifactory, Distribution3, Ecr, Ghcr, Harbor, Hub, Profile, Quay
from tests.simulators.profiles.azure import NOBODY

LOGIN = Login(USER, PASSWORD)
REPOSITORY = FIRST.repository
MIB = 2**20


@dataclass(frozen=True)
class Asking:
    """Sends requests as they are, with whatever lets them in."""

    site: Site

    def __call__(self, method: str, path: str, content: bytes | None = None, **headers: str) -> Reply:
        """The answer, whatever it is."""
        scopes = (f"repository:{REPOSITORY}:pull,push",)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        call = Call(method, path, "ask", REPOSITORY, scopes, headers=named, content=content, attempts=1)
        return self.site.registry.channel.exchange(call)

    def begin(self) -> str:
        """The location of a new upload."""
        return self("POST", f"/v2/{REPOSITORY}/blobs/uploads/").headers["location"]


@contextmanager
def asking(folder: Path, profile: Profile, username: str = USER, password: str = PASSWORD) -> Iterator[Asking]:
    """A registry with the first image in it."""
    with site_of(folder, profile, username, password) as site:
        site.sim.put_image(FIRST)
        yield Asking(site)


def test_ecr_tells_a_range_that_does_not_move(tmp_path: Path) -> None:
    """§1.11 ECR: PATCH gives 201; the second one's body is dropped, and the Range is still that of the first."""
    with asking(tmp_path, Ecr("token", *REPOSITORIES), "AWS", "token") as ask:
        place = ask.begin()

        answers = [ask("PATCH", place, b"x" * 10), ask("PATCH", place, b"y" * 10)]

        assert [(each.status, each.headers["range"]) for each in answers] == [(201, "0-9"), (201, "0-9")]
        assert ask("PUT", f"{place}?digest={Digest.of(b'x' * 10 + b'y' * 10)}", b"").status == 400


def test_ecr_wants_parts_of_five_mebibytes(tmp_path: Path) -> None:
    """§1.11 ECR "part >= 5 MiB": a smaller one may only be the last, so that a PUT with the rest is refused."""
    with asking(tmp_path, Ecr("token", *REPOSITORIES), "AWS", "token") as ask:
        small, large = ask.begin(), ask.begin()
        ask("PATCH", small, b"x" * 10)
        ask("PATCH", large, b"x" * 5 * MIB)

        whole = Digest.of(b"x" * (5 * MIB + 10))
        assert ask("PUT", f"{small}?digest={Digest.of(b'x' * 20)}", b"x" * 10).status == 400
        assert ask("PUT", f"{large}?digest={whole}", b"x" * 10).status == 201


def test_ecr_gives_no_more_than_a_thousand_names(tmp_path: Path) -> None:
    """§1.8: "ECR errors >1000 (`UNSUPPORTED`)"."""
    with asking(tmp_path, Ecr("token", *REPOSITORIES), "AWS", "token") as ask:
        answers = [ask("GET", f"/v2/{REPOSITORY}/tags/list?n={number}") for number in (1000, 1001)]

        assert [(each.status, each.problem.code) for each in answers] == [(200, None), (405, "UNSUPPORTED")]


def test_ghcr_takes_four_mebibytes_at_a_time(tmp_path: Path) -> None:
    """§1.11 GHCR: "PATCH <= 4 MiB else 416"."""
    with asking(tmp_path, Ghcr(LOGIN)) as ask:
        place = ask.begin()

        assert ask("PATCH", place, b"x" * (4 * MIB + 1)).status == 416
        assert ask("PATCH", place, b"x" * 4 * MIB).status == 202


def test_quay_is_strict_where_others_are_not(tmp_path: Path) -> None:
    """§1.8, §1.9, §1.11 Quay: 413 for more than 100 tags, no mount without its source, 400 without referrers."""
    with asking(tmp_path, Quay(LOGIN)) as ask:
        answers = [
            ask("GET", f"/v2/{REPOSITORY}/tags/list?n=100"),
            ask("GET", f"/v2/{REPOSITORY}/tags/list?n=101"),
            ask("POST", f"/v2/{REPOSITORY}/blobs/uploads/?mount={FIRST.blobs[0].digest}"),
            ask("GET", f"/v2/{REPOSITORY}/referrers/{FIRST.root.digest}"),
        ]

        assert [each.status for each in answers] == [200, 413, 400, 400]
        assert answers[1].problem.code == "TOO_MANY_TAGS_REQUESTED"


def test_the_hub_tells_what_is_left(tmp_path: Path) -> None:
    """§1.10: `ratelimit-limit: 100;w=21600`, `ratelimit-remaining`, `docker-ratelimit-source`."""
    with asking(tmp_path, Hub(LOGIN, pulls=100)) as ask:
        head, get = (ask(method, f"/v2/{REPOSITORY}/manifests/1.0") for method in ("HEAD", "GET"))

        assert head.headers["ratelimit-limit"] == "100;w=21600"
        assert (head.headers["ratelimit-remaining"], get.headers["ratelimit-remaining"]) == (
            "100;w=21600",
            "99;w=21600",
        )
        assert get.headers["docker-ratelimit-source"]


def test_acr_does_not_know_a_location_that_was_changed(tmp_path: Path) -> None:
    """§1.5 P2: the query of a location is part of it, to the letter."""
    with asking(tmp_path, Acr("a refresh token"), NOBODY, "a refresh token") as ask:
        place = ask.begin()

        assert place.startswith("/")
        assert ask("GET", place.replace("%3D%3D", "==")).status == 404
        assert ask("GET", place).status == 204


def test_harbor_has_projects(tmp_path: Path) -> None:
    """§1.6 "Harbor 401 when the source project does not exist": for a mount as for everything else."""
    with asking(tmp_path, Harbor(LOGIN, "edge")) as ask:
        mount = f"/v2/{REPOSITORY}/blobs/uploads/?mount={FIRST.blobs[0].digest}&from=gone/app"

        assert ask("POST", mount).status == 401
        assert ask("GET", "/v2/_catalog").status == 401


def test_artifactory_looks_at_what_is_accepted(tmp_path: Path) -> None:
    """§1.11 Artifactory "`Accept` validated on push calls": a list of manifest types is no answer to a push."""
    with asking(tmp_path, Artifactory(LOGIN)) as ask:
        assert ask("POST", f"/v2/{REPOSITORY}/blobs/uploads/", accept=OCI_MANIFEST).status == 406
        assert ask("POST", f"/v2/{REPOSITORY}/blobs/uploads/", accept="*/*").status == 202


def test_distribution_3_heals_what_stands_elsewhere(tmp_path: Path) -> None:
    """§1.5 table, 3.x: an older location tells where the upload stands, takes no chunk, and survives a wrong digest."""
    with asking(tmp_path, Distribution3(), "", "") as ask:
        first = ask.begin()
        second = ask("PATCH", first, b"x" * 1000).headers["location"]

        status = ask("GET", first)
        assert (status.status, status.headers["range"]) == (204, "0-999")
        assert ask("PATCH", first, b"x" * 1000).status == 416
        assert ask("PUT", f"{second}&digest={FIRST.root.digest}", b"").status == 400
        assert ask("GET", first).status == 204
