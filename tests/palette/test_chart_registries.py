"""Packs of type helm: their charts are found where Palette says that their registry is."""

from typing import Any

import pytest

from edgelift.errors import PaletteError
from edgelift.palette.chart_registries import ChartRegistries
from edgelift.palette.resolve import resolve_profiles
from tests.palette.builders import make_pack, make_profile, messages

STABLE = {"metadata": {"uid": "stable", "name": "Stable"}, "spec": {"endpoint": "https://charts.example/stable"}}
LAST = {"metadata": {"uid": "last"}, "spec": {"endpoint": "https://last.example"}}
OCI = {"metadata": {"uid": "oci"}, "spec": {"endpoint": "https://ghcr.io", "basePath": "/charts/", "auth": None}}


def answer(path: str) -> Any:
    """An API with two pages of Helm registries, and one of kind OCI."""
    answers = {
        "/v1/registries/helm": {"items": [STABLE], "listmeta": {"continue": "a b"}},
        "/v1/registries/helm?continue=a%20b": {"items": [LAST], "listmeta": {"continue": ""}},
        "/v1/registries/oci/oci/basic": OCI,
    }
    if path not in answers:
        raise PaletteError("not there", status=404)
    return answers[path]


@pytest.mark.parametrize(
    ("uid", "address"),
    [
        ("stable", "https://charts.example/stable"),
        ("last", "https://last.example"),
        ("oci", "oci://ghcr.io/charts"),
        ("gone", ""),
        ("", ""),
    ],
)
def test_a_registry_has_an_address(uid: str, address: str) -> None:
    """Of all pages; one of kind OCI is a registry of images, too. What nobody knows has none."""
    assert ChartRegistries(answer).address(uid) == address


def test_the_list_is_read_once_and_only_where_it_is_needed() -> None:
    """However many packs are charts."""
    asked: list[str] = []

    def get(path: str) -> Any:
        asked.append(path)
        return answer(path)

    registries = ChartRegistries(get)
    assert asked == []
    for _ in range(3):
        registries.address("last")
        registries.address("gone")
    assert asked == [
        "/v1/registries/helm",
        "/v1/registries/helm?continue=a%20b",
        "/v1/registries/oci/gone/basic",
    ]


@pytest.mark.parametrize("status", [403, 404])
def test_a_key_that_may_not_see_registries(status: int) -> None:
    """Is no reason to stop: the chart is told of later."""

    def get(path: str) -> Any:
        raise PaletteError(path, status=status)

    assert ChartRegistries(get).address("stable") == ""


def test_other_failures_are_raised() -> None:
    """A Palette that is down says nothing of its registries; neither does an answer that is none."""

    def get(path: str) -> Any:
        raise PaletteError(path, status=503)

    for broken in (get, lambda _path: {"items": 7}):
        with pytest.raises(PaletteError):
            ChartRegistries(broken).address("stable")


def helm_pack(**fields: str) -> Any:
    """A pack that is a chart."""
    return make_pack(name="redis", type="helm", tag="18.0.0", registry_uid="stable", **fields)


def test_a_pack_of_type_helm_is_a_chart() -> None:
    """Its name and tag are the chart's; it is asked for by the pack as a whole."""
    (chart,) = resolve_profiles([make_profile(helm_pack(chart_repository="https://charts.example/stable/"))]).charts

    assert (chart.repository, chart.name, chart.version) == ("https://charts.example/stable", "redis", "18.0.0")
    assert [str(origin) for origin in chart.origins] == ["site@1.0.0 > redis"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "only Palette knows"),
        ({"chart_repository": "https://c.example", "tag": "", "version": ""}, "has no version"),
    ],
)
def test_a_chart_that_cannot_be_found_is_told(fields: dict[str, str], message: str) -> None:
    """An exported profile does not say where the registry is: a warning tells what to do."""
    resolution = resolve_profiles([make_profile(make_pack(**{"type": "helm", "name": "redis", **fields}))])

    assert resolution.charts == ()
    (warning,) = messages(resolution, "warning")
    assert message in warning
