"""Pack registries as Palette describes them, as places for a registry client."""

from typing import Any

import pytest

from edgelift.demo.palette_tenant import DemoRegistry
from edgelift.errors import PaletteError
from edgelift.palette.pack_registries import PackRegistry, find_pack_registries, place_of

ENDPOINTS = {
    "as it is": ("registry.example", "edge", "registry.example/edge"),
    "a scheme": ("https://registry.example", "", "registry.example"),
    "plain HTTP": ("http://127.0.0.1:5000", "edge", "127.0.0.1:5000/edge"),
    "the path of the API": ("https://registry.example/v2", "edge", "registry.example/edge"),
    "the path of the API and a slash": ("https://registry.example/v2/", "/edge/packs/", "registry.example/edge/packs"),
    "a slash at the end": ("https://registry.example/", "", "registry.example"),
    "slashes without end": ("https://registry.example//project//", "//edge//", "registry.example/project/edge"),
    "a project": ("https://harbor.example/project", "edge", "harbor.example/project/edge"),
    "Artifactory": ("https://art.example/artifactory/api/docker/packs", "edge", "art.example/packs/edge"),
    "spaces": (" registry.example ", " edge ", "registry.example/edge"),
}


@pytest.mark.parametrize(("endpoint", "base", "expected"), ENDPOINTS.values(), ids=ENDPOINTS)
def test_an_endpoint_becomes_a_place(endpoint: str, base: str, expected: str) -> None:
    """Scheme, `/v2` and doubled slashes are Palette's; a client takes host and path."""
    assert place_of(endpoint, base) == expected


@pytest.mark.parametrize("macro", ["{{.spectro.system.aws.region}}", "{{ .spectro.system.aws.region }}"])
def test_the_region_of_an_endpoint_is_filled_in(macro: str) -> None:
    """An ECR registry may name its region by a macro; its default is what the bundle is built from."""
    endpoint = f"1234.dkr.ecr.{macro}.amazonaws.com"

    assert place_of(endpoint, "edge", "eu-west-1") == "1234.dkr.ecr.eu-west-1.amazonaws.com/edge"


def palette(*registries: DemoRegistry) -> dict[str, Any]:
    """The documents of these registries by path."""
    documents: dict[str, Any] = {f"/v1/registries/oci/{each.uid}/{each.login}": each.settings() for each in registries}
    return documents | {"/v1/registries/oci/summary": {"items": [each.summary() for each in registries] or None}}


def test_only_registries_that_are_asked_for_are_looked_at() -> None:
    """One question for the list, and one for each of those; of an ECR registry at its own path."""
    documents = palette(
        DemoRegistry("a", "A", "oci", "https://a.example", base_path="edge"),
        DemoRegistry("b", "B", "oci", "b.{{.spectro.system.aws.region}}.example", login="ecr", region="eu-1"),
        DemoRegistry("c", "C", "oci", "https://c.example"),
        DemoRegistry("d", "D", "oci", "https://d.example", provider="helm"),
    )
    asked: list[str] = []

    def get(path: str) -> Any:
        asked.append(path)
        return documents[path]

    found = find_pack_registries(get, {"a", "b", "d", "unknown"})

    assert found == {
        "a": PackRegistry("A", "a.example/edge"),
        "b": PackRegistry("B", "b.eu-1.example"),
        "d": PackRegistry("D", None),
    }
    assert asked == ["/v1/registries/oci/summary", "/v1/registries/oci/a/basic", "/v1/registries/oci/b/ecr"]


def test_a_palette_without_registries() -> None:
    """A list of nothing comes as null."""
    assert find_pack_registries(palette().__getitem__, {"a"}) == {}


def test_an_unknown_description_is_an_error() -> None:
    """What is missing is named, and nothing of what stands there."""
    documents = palette(DemoRegistry("a", "A", "oci", "https://a.example"))
    documents["/v1/registries/oci/a/basic"] = {"spec": {"url": "hunter2"}}
    with pytest.raises(PaletteError, match=r"its registry A in an unknown way: spec.endpoint") as caught:
        find_pack_registries(documents.__getitem__, {"a"})

    assert "hunter2" not in str(caught.value)
