"""The stand-in Palette API: shapes and refusals as Palette's, for the questions that edgelift asks or will ask."""

import io
import json
import tarfile
from collections.abc import Iterator

import httpx
import pytest
import yaml

from edgelift.demo.images import DEMO_IMAGES
from edgelift.demo.packs import DemoPackRegistry
from edgelift.demo.palette_api import DEMO_PROJECT, demo_profiles
from edgelift.demo.profiles import ADD_ON_UID, INFRASTRUCTURE_UID
from edgelift.oci.reference import ImageReference
from edgelift.palette.export import parse_exported_profile
from edgelift.palette.resolve import resolve_profiles
from tests.simulators.palette import PaletteSimulator

KEY = "demo-key"
PROFILES = demo_profiles("registry.example.com")
SCOPED = {"ApiKey": KEY, "ProjectUid": DEMO_PROJECT.uid}


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    """A plain client of the stand-in, without key or scope."""
    with (
        PaletteSimulator(PROFILES, KEY, macros={"region": "north"}) as palette,
        httpx.Client(base_url=palette.url, trust_env=False) as client,
    ):
        yield client


def test_the_demo_images_are_distinct_and_well_formed() -> None:
    """Ten images, each named once, each a reference."""
    names = [image.reference("127.0.0.1:5001") for image in DEMO_IMAGES]
    assert [str(ImageReference.parse(name)) for name in names] == list(dict.fromkeys(names))


PATHS = {
    "projects": "/v1/dashboard/projects/metadata",
    "profiles": "/v1/dashboard/clusterprofiles/metadata",
    "profile": f"/v1/clusterprofiles/{ADD_ON_UID}",
    "packs": f"/v1/clusterprofiles/{ADD_ON_UID}/packs",
    "pack manifests": f"/v1/clusterprofiles/{ADD_ON_UID}/packs/manifests",
    "variables": f"/v1/clusterprofiles/{ADD_ON_UID}/variables",
    "export": f"/v1/clusterprofiles/{ADD_ON_UID}/export",
    "macros": "/v1/clusterprofiles/macros",
    "project macros": f"/v1/projects/{DEMO_PROJECT.uid}/macros",
    "tenant macros": "/v1/tenants/any/macros",
    "service version": "/v1/services/stylus/version",
    "OCI registries": "/v1/registries/oci/summary",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_every_question_needs_the_key(http: httpx.Client, path: str) -> None:
    """Without the key no question is answered, with it each one is."""
    statuses = [http.get(path, headers=SCOPED | {"ApiKey": key}).status_code for key in ("wrong", KEY)]
    assert statuses == [401, 200]


@pytest.mark.parametrize("path", ["profile", "packs", "pack manifests", "variables", "export"])
@pytest.mark.parametrize("headers", [{}, {"ProjectUid": "65c90f2d0a1b2c3d4e5f6aff"}], ids=["none", "wrong"])
def test_a_profile_is_seen_from_its_project_only(http: httpx.Client, path: str, headers: dict[str, str]) -> None:
    """Another scope gets Palette's not found."""
    response = http.get(PATHS[path], headers={"ApiKey": KEY} | headers)
    assert (response.status_code, response.json()["code"]) == (404, "ResourceNotFound")


def test_a_path_that_palette_does_not_have_is_not_found(http: httpx.Client) -> None:
    """Errors have the four fields of Palette's."""
    response = http.get("/v1/nothing", headers=SCOPED)
    assert (response.status_code, sorted(response.json())) == (404, ["code", "details", "message", "ref"])


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_an_export_reads_back(http: httpx.Client, form: str) -> None:
    """The exported file of each profile resolves to what the profile itself does."""
    exported = []
    for uid in (INFRASTRUCTURE_UID, ADD_ON_UID):
        response = http.get(f"/v1/clusterprofiles/{uid}/export", params={"format": form}, headers=SCOPED)
        assert response.headers["content-disposition"].endswith(f'.{form}"')
        exported.append(parse_exported_profile(response.text, f"{uid}.{form}"))
    assert resolve_profiles(exported).images == resolve_profiles(PROFILES).images


def asked(uid: str, **metadata: str) -> dict[str, object]:
    """The question for the cluster definition of one profile, as Palette's documentation has it."""
    spec = {"cloudType": "edge-native", "profiles": [{"uid": uid}]}
    return {"metadata": {"name": "cluster-profiles"} | metadata, "spec": spec}


def test_a_cluster_definition_is_a_gzipped_tar(http: httpx.Client) -> None:
    """The same profiles give the same bytes, under the name that was asked for."""
    body = asked(ADD_ON_UID)
    first, second = (http.post("/v1/spectroclusters/spc/download", json=body, headers=SCOPED) for _ in range(2))
    assert first.headers["content-disposition"] == 'attachment; filename="cluster-profiles.tgz"'
    assert first.content == second.content
    with tarfile.open(fileobj=io.BytesIO(first.content), mode="r:gz") as tar:
        assert tar.getnames() == ["cluster-definition.json"]


DEFINITIONS = {
    "no JSON": (b"<", 400),
    "no profiles": (b"{}", 400),
    "another name": (json.dumps(asked(ADD_ON_UID, name="site")).encode(), 400),
    "unknown profile": (json.dumps(asked("x")).encode(), 404),
}


@pytest.mark.parametrize(("body", "status"), DEFINITIONS.values(), ids=DEFINITIONS)
def test_a_wrong_cluster_definition_is_refused(http: httpx.Client, body: bytes, status: int) -> None:
    """A body that asks for nothing that exists gets an error."""
    assert http.post("/v1/spectroclusters/spc/download", content=body, headers=SCOPED).status_code == status


def test_an_oci_registry_is_listed_and_shown() -> None:
    """The list says of which kind each is; the base path stands in its own settings, beside a masked login."""
    registries = [
        DemoPackRegistry("r1", "packs", "https://registry.example", "edge"),
        DemoPackRegistry("r2", "charts", "https://charts.example", provider="helm"),
    ]
    with (
        PaletteSimulator(PROFILES, KEY, pack_registries=registries) as palette,
        httpx.Client(base_url=palette.url, trust_env=False, headers=SCOPED) as client,
    ):
        listed = client.get("/v1/registries/oci/summary").json()["items"]
        shown = client.get("/v1/registries/oci/r1/basic").json()["spec"]
        unknown = [client.get(f"/v1/registries/oci/{path}").status_code for path in ("r1/ecr", "r3/basic")]

    assert [(each["metadata"]["uid"], each["spec"]["providerType"]) for each in listed] == [
        ("r1", "pack"),
        ("r2", "helm"),
    ]
    assert (shown["endpoint"], shown["baseContentPath"]) == ("https://registry.example", "edge")
    assert "***" in shown["auth"]["password"]
    assert unknown == [404, 404]


def test_the_version_of_a_service_is_yaml_inside_json(http: httpx.Client) -> None:
    """As Palette has it."""
    document = http.get("/v1/services/stylus/version", headers=SCOPED).json()
    assert yaml.safe_load(document["spec"]["latestVersion"]["content"])["version"] == "4.7.9"


def test_macros_belong_to_the_project(http: httpx.Client) -> None:
    """The project's scope has them, the tenant's has none."""
    scopes = [SCOPED, {"ApiKey": KEY}]
    assert [http.get("/v1/clusterprofiles/macros", headers=scope).json()["macros"] for scope in scopes] == [
        [{"name": "region", "value": "north"}],
        [],
    ]
