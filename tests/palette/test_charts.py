"""Charts are found where packs declare them, with the spellings that real packs use."""

import pytest

from edgelift.palette.charts import DeclaredChart, clean_repository, find_charts
from edgelift.palette.values import load_values


def listed(*entries: str) -> str:
    """Values with this list of charts, each a flow mapping."""
    return "pack:\n  content:\n    charts:\n" + "".join(f"      - {{{entry}}}\n" for entry in entries)


DECLARED = {
    "http": ("repo: 'https://charts.example.com', name: web, version: 1.10", "https://charts.example.com"),
    "other key": ("repository: 'https://charts.example.com', name: web, version: 1.10", "https://charts.example.com"),
    "no scheme": ("repo: charts.example.com/v2, name: web, version: 1.10", "charts.example.com/v2"),
    "oci": ("repo: 'oci://ghcr.io/example', name: web, version: 1.10", "oci://ghcr.io/example"),
    "archive": ("repo: 'https://example.com/v1.tar.gz', name: web, version: 1.10", "https://example.com/v1.tar.gz"),
}


@pytest.mark.parametrize(("entry", "repository"), DECLARED.values(), ids=DECLARED)
def test_a_declared_chart_is_found_with_its_path(entry: str, repository: str) -> None:
    """Repository, name and version are the raw text of the values."""
    found = find_charts(load_values(listed(entry)))
    assert found == ([DeclaredChart("pack.content.charts[0]", repository, "web", "1.10")], [])


INCOMPLETE = {
    "no repository": ("name: web, version: 1", "no key 'repo'"),
    "no name": ("repo: example.com, version: 1", "no key 'name'"),
    "no version": ("repo: example.com, name: web", "no key 'version'"),
    "empty version": ("repo: example.com, name: web, version: ''", "no key 'version'"),
    "misspelt version": ("repo: example.com, name: web, verison: 1", "where it says 'verison'"),
}


@pytest.mark.parametrize(("entry", "message"), INCOMPLETE.values(), ids=INCOMPLETE)
def test_an_incomplete_chart_is_named(entry: str, message: str) -> None:
    """A chart that lacks a part is left out and reported; the others are kept."""
    charts, (complaint,) = find_charts(load_values(listed(entry, "repo: example.com, name: db, version: 2")))
    assert ([chart.name for chart in charts], complaint.path) == (["db"], "pack.content.charts[0]")
    assert message in complaint.message


def test_a_slash_at_the_end_of_a_repository_means_nothing() -> None:
    """The same repository with and without the slash is one."""
    assert clean_repository(" https://charts.example.com/stable/ ") == "https://charts.example.com/stable"
