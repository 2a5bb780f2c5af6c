"""Finding charts in HTTP repositories and in registries, and what such repositories do wrong."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.charts.artifact import CHART_PROVENANCE
from edgelift.charts.finder import ChartFinder, FoundChart
from edgelift.demo.charts import DemoChart, build_registry_charts, make_chart
from edgelift.errors import (
    ConfigurationError,
    DeniedError,
    EdgeliftError,
    IntegrityError,
    NotFoundError,
    RefusedError,
    RegistryError,
    UnreachableError,
)
from edgelift.oci.credentials import Credentials
from edgelift.oci.digest import Digest
from edgelift.oci.mirrors import Mirrors
from edgelift.oci.registries import Registries
from edgelift.transport import TransportSettings
from tests.oci.clocks import Hands
from tests.simulators.charts import ChartRepositorySimulator
from tests.simulators.http_faults import Answer
from tests.simulators.registry import RegistrySimulator

WEB = make_chart("web", "1.2.3")
SIGNED = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nname: web\n"


@pytest.fixture
def charts() -> Iterator[ChartRepositorySimulator]:
    """A repository with one chart in two versions."""
    with ChartRepositorySimulator() as simulator:
        simulator.add(WEB)
        simulator.add(make_chart("web", "1.10.0"))
        yield simulator


@pytest.fixture
def elsewhere() -> Iterator[ChartRepositorySimulator]:
    """Another server, with files."""
    with ChartRepositorySimulator() as simulator:
        yield simulator


def finder(*logins: tuple[str, str, str], mirrors: Mirrors | None = None) -> ChartFinder:
    """A finder with these logins, whose waiting takes no time."""
    credentials = Credentials.of(logins)
    return ChartFinder(Registries(TransportSettings(), credentials, mirrors=mirrors or Mirrors(), clock=Hands().clock))


def find(charts: ChartRepositorySimulator, version: str = "1.2.3", chart: str = "web") -> FoundChart:
    """The chart in the repository."""
    return finder().find(charts.url, chart, version)


def archive_in(found: FoundChart) -> set[Digest]:
    """The digests of what a chart consists of."""
    assert found.archive is not None
    return set(found.archive.artifact().blobs)


# HTTP repositories


@pytest.mark.parametrize(
    ("version", "tag"), {"1.2.3": "1.2.3", "v1.2.3": "1.2.3", "^1.2": "1.10.0", "*": "1.10.0"}.items()
)
def test_a_chart_of_an_http_repository_is_found(charts: ChartRepositorySimulator, version: str, tag: str) -> None:
    """It is named after its repository, and its version is the tag; its layer is the archive as it is."""
    found = find(charts, version)

    assert str(found.reference) == f"{charts.host}/stable/web:{tag}"
    assert Digest.of(charts.files[f"/stable/web-{tag}.tgz"]) in archive_in(found)


ADDRESSES = {
    "relative": ("web-2.0.0.tgz", "/stable/web-2.0.0.tgz"),
    "relative with a folder": ("files/web-2.0.0.tgz", "/stable/files/web-2.0.0.tgz"),
    "from the server's root": ("/other/web-2.0.0.tgz", "/other/web-2.0.0.tgz"),
    "absolute": ("http://{host}/other/web-2.0.0.tgz", "/other/web-2.0.0.tgz"),
    "at another server": ("http://{elsewhere}/web-2.0.0.tgz", "/web-2.0.0.tgz"),
}


@pytest.mark.parametrize(("url", "path"), ADDRESSES.values(), ids=ADDRESSES)
def test_archives_may_be_anywhere(
    charts: ChartRepositorySimulator, elsewhere: ChartRepositorySimulator, url: str, path: str
) -> None:
    """Addresses in an index are relative to it, or absolute."""
    archive = make_chart("web", "2.0.0")
    digest = charts.add(archive, url=url.format(host=charts.host, elsewhere=elsewhere.host))
    del charts.files["/stable/web-2.0.0.tgz"]
    server = elsewhere if "elsewhere" in url else charts
    server.files[path] = archive

    assert digest in archive_in(find(charts, "2.0.0"))
    assert path in server.asked


def test_an_index_is_read_once(charts: ChartRepositorySimulator) -> None:
    """However many charts of a repository are asked for."""
    one = finder()
    for version in ("1.2.3", "1.10.0", "^1"):
        one.find(charts.url, "web", version)

    assert charts.asked.count("/stable/index.yaml") == 1


def test_a_repository_that_is_not_there_is_asked_once() -> None:
    """Its charts all fail, and only the first waits for that."""
    with ChartRepositorySimulator() as charts:
        url = charts.url
    hands = Hands()
    one = ChartFinder(Registries(TransportSettings(), Credentials(), clock=hands.clock))
    waited = []
    for _ in range(2):
        with pytest.raises(UnreachableError, match="connection refused"):
            one.find(url, "web", "1.0.0")
        waited.append(len(hands.slept))

    assert waited[0] == waited[1] > 0


def test_the_name_may_stand_in_the_repository(charts: ChartRepositorySimulator) -> None:
    """A repository that already ends with the chart's name, and is none, is looked for one level up."""
    found = finder().find(f"{charts.url}/web/", "web", "1.2.3")

    assert str(found.reference) == f"{charts.host}/stable/web:1.2.3"


def test_a_single_archive(charts: ChartRepositorySimulator) -> None:
    """The address of an archive is as good as a repository, where it holds what is asked for."""
    found = finder().find(f"{charts.url}/web-1.2.3.tgz", "web", "v1.2.3")

    assert (str(found.reference), charts.asked[0]) == (f"{charts.host}/stable/web:1.2.3", "/stable/web-1.2.3.tgz")
    for name, version in (("web", "1.2.4"), ("db", "1.2.3")):
        with pytest.raises(NotFoundError, match=r"is the archive of web 1\.2\.3, not of"):
            finder().find(f"{charts.url}/web-1.2.3.tgz", name, version)


def test_provenance_is_kept(charts: ChartRepositorySimulator) -> None:
    """A signature beside the archive is a layer of its own, byte for byte."""
    charts.files["/stable/web-1.2.3.tgz.prov"] = SIGNED
    found = find(charts)

    assert found.archive is not None
    assert any(blob.media_type == CHART_PROVENANCE for blob in found.archive.artifact().manifest.blobs)
    assert Digest.of(SIGNED) in archive_in(found)


NO_PROVENANCE = {
    "a page": Answer(body=b"<html>not found</html>"),
    "403": Answer(403),
    "401": Answer(401, (("WWW-Authenticate", "Basic"),)),
}


@pytest.mark.parametrize("answer", NO_PROVENANCE.values(), ids=NO_PROVENANCE)
def test_what_is_no_provenance_is_left(charts: ChartRepositorySimulator, answer: Answer) -> None:
    """Servers say in many ways that there is none."""
    charts.answers["/stable/web-1.2.3.tgz.prov"] = answer

    assert len(archive_in(find(charts))) == 2


def test_an_index_may_lead_to_a_registry(charts: ChartRepositorySimulator, tmp_path: Path) -> None:
    """Some repositories keep only their index, and their charts in a registry: then it is a registry's chart."""
    with RegistrySimulator(tmp_path) as registry:
        registry.put_image(*build_registry_charts([DemoChart("app", "2.0.0", "team")]))
        charts.entries["app"] = [{"version": "2.0.0", "urls": [f"oci://{registry.host}/team/app:2.0.0"]}]
        found = find(charts, "2.0.0", "app")

    assert (str(found.reference), found.archive) == (f"{registry.host}/team/app:2.0.0", None)


# Logins


def test_a_login_goes_to_the_repository(charts: ChartRepositorySimulator) -> None:
    """To its index, its archives and their provenance."""
    charts.login = ("ann", "secret")
    found = finder((charts.host, "ann", "secret")).find(charts.url, "web", "1.2.3")

    assert len(archive_in(found)) == 2
    assert all("authorization" in each.headers for each in charts.requests[1:])


def test_a_login_for_a_path(charts: ChartRepositorySimulator) -> None:
    """One for another folder of that server is not used."""
    charts.login = ("ann", "secret")
    finder((f"{charts.host}/stable", "ann", "secret")).find(charts.url, "web", "1.2.3")
    with pytest.raises(DeniedError, match="wants a login"):
        finder((f"{charts.host}/other", "ann", "secret")).find(charts.url, "web", "1.2.3")


def test_without_a_login(charts: ChartRepositorySimulator) -> None:
    """The error says where to put one."""
    charts.login = ("ann", "secret")
    with pytest.raises(DeniedError) as caught:
        find(charts)
    assert "credentials file" in str(caught.value)


def test_a_wrong_login_is_not_sent_twice(charts: ChartRepositorySimulator) -> None:
    """It could lock the account, and it is not shown."""
    charts.login = ("ann", "secret")
    with pytest.raises(DeniedError) as caught:
        finder((charts.host, "ann", "wr0ng")).find(charts.url, "web", "1.2.3")
    assert len(charts.requests) == 2
    assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize("way", ["an absolute address", "a redirect"])
def test_a_login_goes_to_no_other_server(
    charts: ChartRepositorySimulator, elsewhere: ChartRepositorySimulator, way: str
) -> None:
    """Wherever a repository sends us, its login stays with it; one that we have for the other server is not used."""
    elsewhere.add(WEB)
    archive = f"{elsewhere.url}/web-1.2.3.tgz"
    if way == "a redirect":
        charts.answers["/stable/web-1.2.3.tgz"] = Answer(302, (("Location", archive),))
    else:
        charts.entries["web"][0]["urls"] = [archive]
    charts.login = ("ann", "secret")
    logins = [(host, "ann", "secret") for host in (charts.host, elsewhere.host)]
    found = finder(*logins).find(charts.url, "web", "1.2.3")

    assert Digest.of(WEB) in archive_in(found)
    assert elsewhere.asked[0] == "/stable/web-1.2.3.tgz"
    assert not any("authorization" in each.headers for each in elsewhere.requests)


# What repositories do wrong


def test_a_wrong_digest_is_refused(charts: ChartRepositorySimulator) -> None:
    """The archive has to be what the index says."""
    charts.entries["web"][0]["digest"] = "0" * 64
    with pytest.raises(IntegrityError, match="is not what its index says"):
        find(charts)


def test_an_index_need_not_give_digests(charts: ChartRepositorySimulator) -> None:
    """Then the archive counts as it is."""
    digest = charts.add(make_chart("web", "3.0.0"), digest=None)

    assert digest in archive_in(find(charts, "3.0.0"))


ARCHIVES = {
    "cut by the server": (Answer(body=WEB[:200], length=len(WEB), ending="close"), UnreachableError, "cut"),
    "cut in the repository": (Answer(body=WEB[:200]), IntegrityError, "no whole archive"),
    "gone": (Answer(404), NotFoundError, "404"),
    "a page": (Answer(body=b"<html></html>"), IntegrityError, "no whole archive"),
    "of another chart": (Answer(body=make_chart("db", "1.2.3")), IntegrityError, "an archive of db"),
    "of another version": (Answer(body=make_chart("web", "9.9.9")), IntegrityError, "an archive of web 9.9.9"),
    "a redirect to a file": (
        Answer(302, (("Location", "file:///etc/passwd"),)),
        RegistryError,
        "is not a plain web address",
    ),
    "redirects without end": (Answer(302, (("Location", "/stable/web-1.2.3.tgz"),)), RegistryError, "redirected more"),
}


@pytest.mark.parametrize(("answer", "kind", "message"), ARCHIVES.values(), ids=ARCHIVES)
def test_a_bad_archive_is_refused(
    charts: ChartRepositorySimulator, answer: Answer, kind: type[EdgeliftError], message: str
) -> None:
    """Each with the reason."""
    del charts.entries["web"][0]["digest"]
    charts.answers["/stable/web-1.2.3.tgz"] = answer
    with pytest.raises(kind, match=message):
        find(charts)


INDEXES = {
    "not there": (Answer(404), NotFoundError, "404"),
    "a page": (Answer(body=b"<!DOCTYPE html>\n<p>log in: now</p>"), RegistryError, "is not YAML|no entries"),
    "nested": (Answer(body=b"entries: " + b"{a: " * 10_000), RegistryError, "nested"),
}


@pytest.mark.parametrize(("answer", "kind", "message"), INDEXES.values(), ids=INDEXES)
def test_a_bad_index_is_refused(
    charts: ChartRepositorySimulator, answer: Answer, kind: type[EdgeliftError], message: str
) -> None:
    """Each with the reason, and nothing of what it holds."""
    charts.answers["/stable/index.yaml"] = answer
    with pytest.raises(kind, match=message):
        find(charts)


@pytest.mark.parametrize("limit", ["finder.INDEX_LIMIT", "source.ARCHIVE_LIMIT"])
def test_what_is_far_too_large_is_not_read(
    charts: ChartRepositorySimulator, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """Neither index nor archive fill the memory."""
    monkeypatch.setattr(f"edgelift.charts.{limit}", 100)
    with pytest.raises(RegistryError, match="larger than 100 bytes"):
        find(charts)


def test_a_busy_repository_is_waited_for(charts: ChartRepositorySimulator) -> None:
    """As registries are: what passes is not an error."""
    charts.answers["/stable/index.yaml"] = [Answer(503), Answer(429, (("Retry-After", "1"),))]

    assert str(find(charts).reference).endswith("web:1.2.3")
    assert charts.asked.count("/stable/index.yaml") == 3


ABSENT = {
    "chart": ("db", "1.0.0", "has no chart db; it has web"),
    "version": ("web", "2.x", r"has no version 2\.x of web; it has 1\.2\.3, 1\.10\.0"),
}


@pytest.mark.parametrize(("chart", "version", "message"), ABSENT.values(), ids=ABSENT)
def test_what_is_not_there(charts: ChartRepositorySimulator, chart: str, version: str, message: str) -> None:
    """The error says what is."""
    with pytest.raises(NotFoundError, match=message):
        find(charts, version, chart)


def test_a_signed_address_is_refused(charts: ChartRepositorySimulator) -> None:
    """It would be kept in the lock, and a lock has no secrets; it is not shown either."""
    charts.entries["web"][0]["urls"] = ["web-1.2.3.tgz?X-Amz-Signature=abcdef"]
    with pytest.raises(RefusedError, match="signed, or holds a token") as caught:
        find(charts)
    assert "abcdef" not in str(caught.value)


# Registries


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry with a chart in several versions, and an image."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        versions = ("1.2.3", "1.10.0", "2.0.0-rc.1", "1.4.0+edge.1")
        simulator.put_image(*build_registry_charts([DemoChart("web", version, "team") for version in versions]))
        yield simulator


TAGS = {
    "its version": ("", "1.2.3", "1.2.3"),
    "with v": ("", "v1.2.3", "1.2.3"),
    "a plus": ("", "1.4.0+edge.1", "1.4.0_edge.1"),
    "a range": ("", "^1.2", "1.10.0"),
    "any": ("", "*", "1.10.0"),
    "a range with a plus": ("", "~1.4", "1.4.0_edge.1"),
    "a pre-release": ("", ">=2.0.0-0", "2.0.0-rc.1"),
    "its name in the path": ("/web", "1.2.3", "1.2.3"),
    "its name in the path, a range": ("/web/", "1.x", "1.10.0"),
}


@pytest.mark.parametrize(("suffix", "version", "tag"), TAGS.values(), ids=TAGS)
def test_a_chart_of_a_registry_is_found(registry: RegistrySimulator, suffix: str, version: str, tag: str) -> None:
    """Under the repository and its name, or the repository alone; `+` is `_` in a tag."""
    found = finder().find(f"oci://{registry.host}/team{suffix}", "web", version)

    assert (str(found.reference), found.archive) == (f"{registry.host}/team/web:{tag}", None)


@pytest.mark.parametrize(
    ("chart", "version"), [("web", "3.x"), ("web", "1.2.4"), ("db", "1.2.3"), ("web", "not a tag")]
)
def test_what_a_registry_does_not_have(registry: RegistrySimulator, chart: str, version: str) -> None:
    """The error says what was asked for."""
    with pytest.raises(NotFoundError):
        finder().find(f"oci://{registry.host}/team", chart, version)


def test_a_rewrite_holds_for_charts(registry: RegistrySimulator) -> None:
    """Charts of a registry come from where its images come from; the registry itself is not asked."""
    rewrites = Mirrors.parse((), (f"ghcr.example/charts={registry.host}/team",))
    for version in ("1.2.3", "^1.2"):
        found = finder(mirrors=rewrites).find("oci://ghcr.example/charts", "web", version)
        assert found.reference.name == "ghcr.example/charts/web"


def test_a_repository_that_can_be_none() -> None:
    """It is found out before anything is asked."""
    with pytest.raises(ConfigurationError, match="not read over 's3'"):
        finder().find("s3://bucket/charts", "web", "1.0.0")
