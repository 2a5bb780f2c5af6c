"""Repositories of charts, as people write them, and the names that their charts get among images."""

import pytest

from edgelift.charts.repository import ChartName, ChartRepository, from_tag, may_stand_for, to_tag
from edgelift.errors import ConfigurationError, MalformedReferenceError
from edgelift.oci.reference import ImageReference

REPOSITORIES = {
    "https://charts.bitnami.com/bitnami": ("http", "charts.bitnami.com", "bitnami"),
    "http://Charts.Example:8080/a/b/": ("http", "charts.example:8080", "a/b"),
    "helm.coder.com/v2": ("http", "helm.coder.com", "v2"),
    "https://charts.example": ("http", "charts.example", ""),
    "https://charts.example/index.yaml": ("http", "charts.example", ""),
    "https://charts.example/a/index.yaml": ("http", "charts.example", "a"),
    "oci://ghcr.io/nvidia": ("oci", "ghcr.io", "nvidia"),
    "oci://registry-1.docker.io/bitnamicharts/": ("oci", "docker.io", "bitnamicharts"),
    "https://github.com/a/b/releases/download/v1/web-1.0.0.tgz": (
        "archive",
        "github.com",
        "a/b/releases/download/v1/web-1.0.0.tgz",
    ),
    "https://charts.example/web-1.0.0.tar.gz": ("archive", "charts.example", "web-1.0.0.tar.gz"),
}


@pytest.mark.parametrize(("text", "expected"), REPOSITORIES.items(), ids=REPOSITORIES)
def test_repositories_are_written_in_many_ways(text: str, expected: tuple[str, str, str]) -> None:
    """With a scheme or without, slashes and the name of the index at the end, or one archive alone."""
    found = ChartRepository.parse(text)
    assert (found.kind, found.host, found.path) == expected


MALFORMED = {
    "s3://bucket/charts": "not read over 's3'",
    "https://user:secret@charts.example/a": "holds a login",
    "https://charts.example/a?token=secret": "no plain address",
    "https://charts.example/a b": "no plain address",
    "bitnami": "no plain address",
    "https://": "no plain address",
    "": "no plain address",
}


@pytest.mark.parametrize(("text", "message"), MALFORMED.items(), ids=MALFORMED)
def test_what_is_no_repository_is_refused(text: str, message: str) -> None:
    """The error says why, and shows neither a login nor a query."""
    with pytest.raises(ConfigurationError) as caught:
        ChartRepository.parse(text)
    assert message in caught.value.message
    assert "secret" not in str(caught.value)


NAMES = {
    "a folder": (
        "https://charts.bitnami.com/bitnami",
        "wordpress",
        "15.2.1",
        "charts.bitnami.com/bitnami/wordpress:15.2.1",
    ),
    "no folder": ("https://charts.example", "web", "v1.0.0", "charts.example/web:v1.0.0"),
    "a port": ("http://charts.example:8080/a", "web", "1.0.0", "charts.example:8080/a/web:1.0.0"),
    "a plus": ("https://charts.example", "web", "1.0.0+k3s1", "charts.example/web:1.0.0_k3s1"),
    "capitals": (
        "https://raw.githubusercontent.com/Org/Charts/main",
        "web",
        "1",
        "raw.githubusercontent.com/org/charts/main/web:1",
    ),
    "an archive": ("https://charts.example/a/web-1.0.0.tgz", "web", "1.0.0", "charts.example/a/web:1.0.0"),
    "a registry": ("oci://ghcr.io/nvidia", "kai", "v1.0.0", "ghcr.io/nvidia/kai:v1.0.0"),
    "Docker Hub": ("oci://registry-1.docker.io/bitnamicharts", "redis", "1.0.0", "docker.io/bitnamicharts/redis:1.0.0"),
}


@pytest.mark.parametrize(("repository", "chart", "version", "expected"), NAMES.values(), ids=NAMES)
def test_a_chart_has_a_name_like_an_image(repository: str, chart: str, version: str, expected: str) -> None:
    """Host and path of the repository, the chart, and its version as the tag: where it lands at the target."""
    assert str(ChartRepository.parse(repository).reference(chart, version)) == expected


@pytest.mark.parametrize("repository", ["https://charts.example/~ann", "https://charts.example/a%20b"])
def test_a_path_that_no_registry_takes_is_refused(repository: str) -> None:
    """The error names the chart and the repository, and what to do."""
    with pytest.raises(MalformedReferenceError, match=r"chart web 1\.0\.0 of c.*can have no name") as caught:
        ChartRepository.parse(repository).reference("web", "1.0.0")
    assert caught.value.hint


def test_the_name_may_be_in_the_path_already() -> None:
    """Some write the chart's name at the end of its repository: both places are looked at, the written one first."""
    asked = ChartRepository.parse("https://charts.example/stable/web")
    assert [str(each) for each in asked.candidates("web")] == ["charts.example/stable/web", "charts.example/stable"]
    assert [str(each) for each in asked.candidates("db")] == ["charts.example/stable/web"]


@pytest.mark.parametrize("version", ["1.2.3", "v1.0.0-rc.1+build.5"])
def test_tags_lead_back_to_versions(version: str) -> None:
    """A tag has no plus; nothing else changes."""
    assert from_tag(to_tag(version)) == version


BY_HAND = {
    "oci://ghcr.io/nvidia/kai:v1.0.0": ("oci://ghcr.io/nvidia", "kai", "v1.0.0"),
    "oci://127.0.0.1:5000/charts/web:^1.2": ("oci://127.0.0.1:5000/charts", "web", "^1.2"),
    "https://charts.example/stable#web:>=1 <2": ("https://charts.example/stable", "web", ">=1 <2"),
    "charts.example#web:1.x": ("charts.example", "web", "1.x"),
    "https://charts.example/web-1.0.0.tgz#web:1.0.0": ("https://charts.example/web-1.0.0.tgz", "web", "1.0.0"),
}


@pytest.mark.parametrize(("text", "expected"), BY_HAND.items(), ids=BY_HAND)
def test_charts_are_asked_for_by_hand(text: str, expected: tuple[str, str, str]) -> None:
    """A registry's chart by its reference, any other by the address of its repository, its name and its version."""
    found = ChartName.parse(text)
    assert (found.repository, found.name, found.version) == expected


@pytest.mark.parametrize(
    "text", ["web", "oci://ghcr.io/web", "oci://ghcr.io:5000", "https://charts.example#web", "oci://h.io/", ""]
)
def test_what_names_no_chart_is_refused(text: str) -> None:
    """Repository, name and version are all needed: a bundle is made of what somebody decided on."""
    with pytest.raises(ConfigurationError):
        ChartName.parse(text)


ASKERS = {
    "by its version": ("https://c.example/a", "web", "1.2.3", "c.example/a/web:1.2.3", True),
    "by a range": ("https://c.example/a", "web", "^1", "c.example/a/web:1.2.3", True),
    "without v": ("https://c.example/a", "web", "1.2.3", "c.example/a/web:v1.2.3", True),
    "with its name in the path": ("oci://c.example/a/web", "web", "1.2.3", "c.example/a/web:1.2.3", True),
    "through an index that leads on": ("https://c.example/a", "web", "1.2.3", "docker.io/charts/web:1.2.3", True),
    "another version": ("https://c.example/a", "web", "^2", "c.example/a/web:1.2.3", False),
    "another registry": ("oci://c.example/a", "web", "1.2.3", "d.example/a/web:1.2.3", False),
    "another chart": ("https://c.example/a", "db", "1.2.3", "c.example/a/web:1.2.3", False),
    "no repository": ("s3://c.example/a", "web", "1.2.3", "c.example/a/web:1.2.3", False),
}


@pytest.mark.parametrize(("repository", "chart", "version", "reference", "expected"), ASKERS.values(), ids=ASKERS)
def test_who_asked_for_a_chart_is_found_again(
    repository: str,
    chart: str,
    version: str,
    reference: str,
    expected: bool,
) -> None:
    """The lock has a chart under its name among images: requests that can have led there are its origins."""
    assert may_stand_for(ImageReference.parse(reference), repository, chart, version) is expected
