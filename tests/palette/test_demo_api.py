"""The stand-in Palette API: shapes and refusals as Palette's, for the questions that edgelift asks or will ask."""

import io
import json
import tarfile
from collections.abc import Iterator

import httpx
import pytest
import yaml

from edgelift.demo.images import DEMO_IMAGES
from edgelift.demo.palette_api import DEMO_PROJECT, demo_profiles
from edgelift.demo.palette_limits import RateLimits
from edgelift.demo.palette_tenant import TENANT_UID, DemoRegistry, DemoService, DemoTenant
from edgelift.demo.profiles import ADD_ON_UID
from edgelift.oci.reference import ImageReference
from edgelift.palette.export import parse_exported_profile
from edgelift.palette.resolve import resolve_profiles
from tests.simulators.palette import PaletteSimulator

KEY = "demo-key"
PROFILES = demo_profiles("registry.example.com")
TENANT = DemoTenant(
    macros={"zone": "z1"},
    services=[DemoService("stylus", "4.7.9", {"manifest.yaml": "kind: X\n"})],
    registries=[
        DemoRegistry("r1", "charts", "helm", "https://charts.example", is_private=True),
        DemoRegistry("r2", "packs", "oci", "https://registry.example", base_path="base", is_private=True),
        DemoRegistry("r3", "open", "oci", "https://open.example", provider="helm"),
    ],
)
SCOPED = {"ApiKey": KEY, "ProjectUid": DEMO_PROJECT.uid}


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    """A plain client of the stand-in, without key or scope."""
    with (
        PaletteSimulator(PROFILES, KEY, macros={"region": "north"}, tenant=TENANT) as palette,
        httpx.Client(base_url=palette.url, trust_env=False) as client,
    ):
        yield client


def test_the_demo_images_are_distinct_and_well_formed() -> None:
    """Each is named once, and is a reference."""
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
    "tenant macros": f"/v1/tenants/{TENANT_UID}/macros",
    "system macros": "/v1/users/system/macros",
    "user": "/v1/users/info",
    "service version": "/v1/services/stylus/version",
    "service manifests": "/v1/services/stylus/versions/4.7.9/manifest?action=resources",
    "registries": "/v1/registries/metadata",
    "helm registries": "/v1/registries/helm",
    "OCI registries": "/v1/registries/oci/summary",
    "one OCI registry": "/v1/registries/oci/r2/basic",
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
    for uid in (profile.uid for profile in PROFILES):
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


def test_an_oci_registry_is_listed_and_shown(http: httpx.Client) -> None:
    """The list says what each holds; the base path stands in its own settings, beside a masked login."""
    listed = http.get("/v1/registries/oci/summary", headers=SCOPED).json()["items"]
    shown = http.get("/v1/registries/oci/r2/basic", headers=SCOPED).json()["spec"]
    paths = ("r2/ecr", "r4/basic")
    unknown = [http.get(f"/v1/registries/oci/{path}", headers=SCOPED).status_code for path in paths]

    assert [(each["metadata"]["uid"], each["spec"]["providerType"]) for each in listed] == [
        ("r2", "pack"),
        ("r3", "helm"),
    ]
    assert (shown["endpoint"], shown["baseContentPath"]) == ("https://registry.example", "base")
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


def test_macros_of_the_tenant_are_no_projects(http: httpx.Client) -> None:
    """Asked for in the scope of a project, the tenant's list is empty: Palette looks elsewhere then."""
    answers = [http.get(PATHS["tenant macros"], headers=scope).json()["macros"] for scope in ({"ApiKey": KEY}, SCOPED)]
    assert answers == [[{"name": "zone", "value": "z1"}], None]


def test_registries_are_listed_without_their_secrets(http: httpx.Client) -> None:
    """Passwords are masked, as Palette masks them: nobody can log in with what it answers."""
    helm = http.get(PATHS["helm registries"], headers=SCOPED).json()["items"]
    oci = http.get(PATHS["one OCI registry"], headers=SCOPED).json()
    listed = http.get(PATHS["registries"], headers=SCOPED).json()["items"]
    summary = http.get(PATHS["OCI registries"], headers=SCOPED).json()["items"]

    assert [(each["uid"], each["kind"]) for each in listed] == [("r1", "helm"), ("r2", "oci"), ("r3", "oci")]
    assert [each["spec"]["endpoint"] for each in helm] == ["https://charts.example"]
    assert [each["spec"]["auth"]["password"] for each in (*helm, oci)] == ["abc***def"] * 2
    assert (oci["spec"]["baseContentPath"], oci["spec"]["providerType"]) == ("base", "pack")
    assert [(each["metadata"]["uid"], each["spec"]["providerType"]) for each in summary] == [
        ("r2", "pack"),
        ("r3", "helm"),
    ]


UNKNOWN = {
    "service": "/v1/services/none/version",
    "version": "/v1/services/stylus/versions/9/manifest?action=resources",
    "tenant": "/v1/tenants/other/macros",
    "registry": "/v1/registries/oci/r1/basic",
}


@pytest.mark.parametrize("path", UNKNOWN.values(), ids=UNKNOWN)
def test_what_the_tenant_does_not_have_is_not_found(http: httpx.Client, path: str) -> None:
    """With Palette's words for it."""
    response = http.get(path, headers=SCOPED)
    assert (response.status_code, response.json()["code"]) == (404, "ResourceNotFound")


SEARCHES = {
    "no JSON": (b"<", "", 400),
    "no filter": (b"{}", "", 400),
    "a token that is none": (b'{"filter": {}}', "?continue=x", 400),
    "too many at once": (b'{"filter": {}}', "?limit=51", 422),
    "everything": (b'{"filter": {}}', "", 200),
}


@pytest.mark.parametrize(("body", "query", "status"), SEARCHES.values(), ids=SEARCHES)
def test_a_search_is_refused_where_it_is_none(http: httpx.Client, body: bytes, query: str, status: int) -> None:
    """As strict as Palette about the limit of a page."""
    assert http.post(f"/v1/dashboard/edgehosts/search{query}", content=body, headers=SCOPED).status_code == status


@pytest.mark.parametrize("retry_after", [None, 3])
def test_who_asks_too_often_is_told_so(retry_after: int | None) -> None:
    """Fifty at once of one resource, ten a second from then on; other resources have their own count."""
    now = [0.0]
    limits = RateLimits(retry_after, clock=lambda: now[0])
    with (
        PaletteSimulator(PROFILES, KEY, limits=limits) as palette,
        httpx.Client(base_url=palette.url, trust_env=False, headers=SCOPED) as client,
    ):
        first = [client.get(PATHS["projects"]).status_code for _ in range(50)]
        refused = client.get(PATHS["profiles"])
        other = client.get(PATHS["variables"]).status_code
        now[0] = 0.2
        later = [client.get(PATHS["projects"]).status_code for _ in range(3)]

    assert (set(first), refused.status_code, other, later) == ({200}, 429, 200, [200, 200, 429])
    assert refused.json()["code"] == "TooManyRequests"
    assert refused.headers.get("Retry-After") == (None if retry_after is None else "3")
