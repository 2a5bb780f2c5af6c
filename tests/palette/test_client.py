"""The Palette client against a real listening API: profiles by uid and name, scopes, keys, and servers in trouble."""

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from edgelift.demo.images import PROFILE_IMAGES
from edgelift.demo.palette_api import DEMO_PROJECT, demo_profiles
from edgelift.demo.profiles import ADD_ON_UID, INFRASTRUCTURE_UID
from edgelift.errors import ConfigurationError, PaletteError
from edgelift.palette.client import PaletteClient
from edgelift.palette.models import ClusterProfile, Pack
from edgelift.palette.resolve import resolve_profiles
from tests.certificates import Authority
from tests.palette.builders import references
from tests.simulators.palette import PaletteSimulator

KEY = "a1b2c3d4e5f6-secret-key"
REGISTRY = "127.0.0.1:5001"
INFRASTRUCTURE, ADD_ON, LOGGING = demo_profiles(REGISTRY)
NEXT_UID = "65c90f2d0a1b2c3d4e5f6a72"
NEXT_ADD_ON = ADD_ON.model_copy(update={"uid": NEXT_UID, "version": "1.5.0"})


@pytest.fixture
def palette() -> Iterator[PaletteSimulator]:
    """The API over the demo's profiles, one of them in two versions."""
    with PaletteSimulator([INFRASTRUCTURE, ADD_ON, NEXT_ADD_ON, LOGGING], KEY) as simulator:
        yield simulator


def connect(palette: PaletteSimulator, key: str = KEY, project: str | None = "demo") -> PaletteClient:
    """A client of this API that waits for nothing."""
    return PaletteClient(palette.url, SecretStr(key), project=project, sleep=lambda _seconds: None)


def fail(client: PaletteClient, profile: str = INFRASTRUCTURE_UID) -> PaletteError:
    """The error that reading this profile gives."""
    with client, pytest.raises(PaletteError) as caught:
        client.read_profile(profile)
    return caught.value


def in_project(profile: ClusterProfile) -> ClusterProfile:
    """The profile as a client that works in the demo's project should see it."""
    return profile.model_copy(update={"project_uid": DEMO_PROJECT.uid, "project_name": DEMO_PROJECT.name})


SELECTORS = {
    "uid": (INFRASTRUCTURE_UID, INFRASTRUCTURE),
    "uid and its version": (f"{INFRASTRUCTURE_UID}@1.0.0", INFRASTRUCTURE),
    "name": ("edge-infra", INFRASTRUCTURE),
    "name and version": ("edge-infra@1.0.0", INFRASTRUCTURE),
    "uid of one version": (ADD_ON_UID, ADD_ON),
    "name and one version": ("hello-site@1.4.0", ADD_ON),
    "name and the other version": ("hello-site@1.5.0", NEXT_ADD_ON),
}


@pytest.mark.parametrize(("selector", "expected"), SELECTORS.values(), ids=SELECTORS)
def test_a_profile_is_read_whole(palette: PaletteSimulator, selector: str, expected: ClusterProfile) -> None:
    """Packs, values, contents of pack manifests, variables and project come with the profile, however it is named."""
    with connect(palette) as client:
        assert client.read_profile(selector) == in_project(expected)


@pytest.mark.parametrize("project", [DEMO_PROJECT.uid, DEMO_PROJECT.name])
def test_a_project_is_known_by_uid_or_name(palette: PaletteSimulator, project: str) -> None:
    """Requests carry the project's uid, whichever was given, but for the one that asks for projects."""
    with connect(palette, project=project) as client:
        client.read_profile(INFRASTRUCTURE_UID)
    scopes = [exchange.headers.get("projectuid") for exchange in palette.exchanges]
    assert scopes == [None, *[DEMO_PROJECT.uid] * 3]


def test_the_key_is_checked_once(palette: PaletteSimulator) -> None:
    """Reading many profiles asks for the projects just once."""
    with connect(palette) as client:
        client.read_profile(INFRASTRUCTURE_UID)
        client.read_profile(ADD_ON_UID)
    assert palette.paths.count("/v1/dashboard/projects/metadata") == 1


def test_the_demo_profiles_resolve_to_the_demo_images(palette: PaletteSimulator) -> None:
    """From the API to references: every image that profiles are to declare, no other, and no problem."""
    with connect(palette) as client:
        resolution = resolve_profiles([client.read_profile(each.uid) for each in (INFRASTRUCTURE, ADD_ON, LOGGING)])
    assert references(resolution) == sorted(image.reference(REGISTRY) for image in PROFILE_IMAGES)
    assert resolution.problems == ()


def test_a_draft_is_read_with_a_notice() -> None:
    """A version that was never published is read as its draft."""
    with PaletteSimulator([ADD_ON], KEY, drafts=frozenset({ADD_ON_UID})) as palette, connect(palette) as client:
        profile = client.read_profile(ADD_ON_UID)
    assert (profile.packs, profile.notices) == (ADD_ON.packs, ("this version is not published: its draft was read",))


def test_the_default_of_a_sensitive_variable_is_not_used(palette: PaletteSimulator) -> None:
    """Palette masks it, and a mask is no tag."""
    (variable,) = ADD_ON.variables
    secret = ADD_ON.model_copy(update={"variables": (variable.model_copy(update={"is_sensitive": True}),)})
    with PaletteSimulator([secret], KEY) as other, connect(other) as client:
        resolution = resolve_profiles([client.read_profile(ADD_ON_UID)])
    assert "sensitive" in resolution.problems[0].message


def test_an_older_palette_has_no_variables(palette: PaletteSimulator) -> None:
    """A self-hosted Palette that does not know the question still gives its profiles."""
    palette.answers_with(404, body=b'{"code":"ResourceNotFound"}', path="/variables$")
    with connect(palette) as client:
        assert client.read_profile(ADD_ON_UID).variables == ()


def test_values_that_the_profile_leaves_out_come_from_its_packs(palette: PaletteSimulator) -> None:
    """Where the profile's answer has no values, those of the packs are taken."""
    pack = Pack(name="web", values="pack:\n  namespace: web\n")
    profile = ClusterProfile(name="x", uid=NEXT_UID, type="add-on", packs=(pack,))
    bare = b'{"metadata":{"name":"x"},"spec":{"published":{"type":"add-on","packs":[{"name":"web"}]}}}'
    with PaletteSimulator([profile], KEY) as other, connect(other) as client:
        other.answers_with(200, body=bare, path=f"/{NEXT_UID}$")
        assert client.read_profile(NEXT_UID).packs[0].values == pack.values


def test_a_pack_that_stands_twice_is_known_by_its_turn() -> None:
    """Where the profile's answer has no values, each use of a pack gets its own."""
    packs = tuple(Pack(name="web", values=f"pack:\n  namespace: {name}\n") for name in ("front", "back"))
    profile = ClusterProfile(name="x", uid=NEXT_UID, type="add-on", packs=packs)
    bare = b'{"metadata":{"name":"x"},"spec":{"published":{"type":"add-on","packs":[{"name":"web"},{"name":"web"}]}}}'
    with PaletteSimulator([profile], KEY) as other, connect(other) as client:
        other.answers_with(200, body=bare, path=f"/{NEXT_UID}$")
        assert [pack.values for pack in client.read_profile(NEXT_UID).packs] == [pack.values for pack in packs]


def test_lists_that_are_null_are_empty(palette: PaletteSimulator) -> None:
    """Palette is written in Go, where an empty list and none are the same, at every level."""
    contents = b'{"spec":{"packs":[{"spec":{"name":"edge-k3s","values":null,"manifests":null}}]}}'
    palette.answers_with(200, body=contents, path="/packs/manifests$")
    with connect(palette) as client:
        assert client.read_profile(INFRASTRUCTURE_UID).packs == INFRASTRUCTURE.packs


def test_values_of_the_profile_win_over_those_of_its_packs(palette: PaletteSimulator) -> None:
    """What the profile says about a pack is what counts."""
    other = b'{"spec":{"packs":[{"spec":{"name":"edge-k3s","values":"pack: {}"}}]}}'
    palette.answers_with(200, body=other, path="/packs/manifests$")
    with connect(palette) as client:
        assert client.read_profile(INFRASTRUCTURE_UID).packs == INFRASTRUCTURE.packs


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_is_called_a_wrong_key(status: int) -> None:
    """Also where Palette says "not found" and repeats the key: the error blames the key and does not show it."""
    with PaletteSimulator([INFRASTRUCTURE], KEY, denied_status=status) as palette:
        error = fail(connect(palette, key="wrong-key-0123456789"))
    assert error.message == f"Palette at {palette.host} refused the API key ({status})"
    assert (error.status, error.retryable, "wrong-key" in f"{error!r}{error}") == (status, False, False)


def test_a_key_that_expires_in_between_is_told_apart(palette: PaletteSimulator) -> None:
    """A refusal after the key was good names the status and the next step."""
    palette.answers_with(401, path=f"/{INFRASTRUCTURE_UID}$")
    error = fail(connect(palette))
    assert (error.status, "expired" in str(error)) == (401, True)


def test_an_unknown_project_is_named_with_the_known_ones(palette: PaletteSimulator) -> None:
    """The error says which project is missing, and which the key may see."""
    error = fail(connect(palette, project="stores"))
    assert ("'stores'" in error.message, error.hint) == (True, "it shows: demo")


UNKNOWN = {
    "uid": ("f" * 24, "has no cluster profile 'ffffffffffffffffffffffff' in project demo"),
    "name": ("nope", "has no cluster profile 'nope' in project demo"),
    "version of a name": ("hello-site@9.9.9", "profile hello-site has no version 9.9.9\n  → it has: 1.4.0, 1.5.0"),
    "version of a uid": (f"{ADD_ON_UID}@1.5.0", "is version 1.4.0, not 1.5.0"),
    "name of two versions": ("hello-site", f"1.4.0 ({ADD_ON_UID}), 1.5.0 ({NEXT_UID})"),
}


@pytest.mark.parametrize(("selector", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_profile_is_named(palette: PaletteSimulator, selector: str, message: str) -> None:
    """The error says what there is instead, where Palette tells."""
    assert message in str(fail(connect(palette), selector))


def test_a_profile_of_a_project_is_not_found_from_the_tenant(palette: PaletteSimulator) -> None:
    """Without a project the error says that one may be missing."""
    error = fail(connect(palette, project=None))
    assert error.hint == "name its project with --project-id"


def test_a_server_in_trouble_is_waited_for(palette: PaletteSimulator) -> None:
    """Too many requests, a bad gateway, a server error and a reset connection in turn, and the profile is read."""
    palette.answers_with(429, {"Retry-After": "1"}, path="/packs/manifests$")
    palette.answers_with(502, body=b"<html>bad gateway</html>", path="/packs/manifests$")
    palette.answers_with(500, path="/variables$")
    palette.resets(path=f"/{INFRASTRUCTURE_UID}$", times=2)
    with connect(palette) as client:
        assert client.read_profile(INFRASTRUCTURE_UID) == in_project(INFRASTRUCTURE)
    assert len(palette.paths) == 9


def test_a_retried_request_leaves_a_line_in_the_log(
    palette: PaletteSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Operators see why nothing happens for a while, and no key."""
    palette.answers_with(429, body=f'{{"message":"slow down, {KEY}"}}'.encode())
    with caplog.at_level(logging.DEBUG), connect(palette) as client:
        client.check()
    assert ("with 429 (slow down, ***); trying again in 2 s" in caplog.text, KEY in caplog.text) == (True, False)


def test_a_silent_server_ends_in_an_error(palette: PaletteSimulator) -> None:
    """A server that takes the question and never answers is given up."""
    palette.stalls(times=None)
    http = httpx.Client(timeout=0.2, trust_env=False)
    client = PaletteClient(palette.url, SecretStr(KEY), http=http, sleep=lambda _seconds: None)
    with http, pytest.raises(PaletteError, match="broke off GET /v1/dashboard/projects/metadata") as caught:
        client.check()
    assert caught.value.retryable is True


def test_nobody_listening_is_an_error(palette: PaletteSimulator) -> None:
    """A connection that is refused is reported at once, with the address."""
    client = PaletteClient("http://127.0.0.1:1", SecretStr(KEY), sleep=lambda _seconds: None)
    with client, pytest.raises(PaletteError, match=r"cannot reach Palette at 127\.0\.0\.1:1"):
        client.check()


def test_a_redirect_is_not_followed(palette: PaletteSimulator) -> None:
    """The key goes to the endpoint that was named and nowhere else."""
    with PaletteSimulator([], KEY) as elsewhere:
        palette.answers_with(302, {"Location": f"{elsewhere.url}/v1/dashboard/projects/metadata"})
        error = fail(connect(palette))
        assert (error.status, elsewhere.paths) == (302, [])


NONSENSE = {
    "projects are no list": ("/projects/metadata$", b'{"items": 7}', "something else: items"),
    "a project uid that would split a header": (
        "/projects/metadata$",
        b'{"items": [{"metadata": {"uid": "a\\r\\nX: y", "name": "demo"}}]}',
        "something else: items",
    ),
    "profile is a list": (f"/{INFRASTRUCTURE_UID}$", b"[]", "holds no cluster profile"),
    "profile was emptied": (f"/{INFRASTRUCTURE_UID}$", b'{"spec":{"published":null}}', "holds no cluster profile"),
    "packs are no list": ("/packs/manifests$", b'{"spec": {"packs": "x"}}', "something else"),
    "a page": (f"/{INFRASTRUCTURE_UID}$", b"<html>", "that is not JSON"),
}


@pytest.mark.parametrize(("path", "body", "message"), NONSENSE.values(), ids=NONSENSE)
def test_an_answer_that_makes_no_sense_is_palettes_error(
    palette: PaletteSimulator, path: str, body: bytes, message: str
) -> None:
    """Whatever a server answers, what comes out is an error that says what was wrong with it."""
    palette.answers_with(200, body=body, path=path)
    assert message in fail(connect(palette)).message


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that no machine trusts."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure_palette(authority: Authority) -> Iterator[PaletteSimulator]:
    """The API over TLS, with a certificate of that authority."""
    with PaletteSimulator([ADD_ON], KEY, certificate=authority.issue("127.0.0.1")) as simulator:
        yield simulator


def test_an_unknown_authority_is_not_trusted(secure_palette: PaletteSimulator) -> None:
    """The key is not sent to a server that cannot prove who it is, and the error names the option that helps."""
    asked_before = len(secure_palette.paths)
    error = fail(PaletteClient(secure_palette.url, SecretStr(KEY)))
    assert error.message.startswith(f"cannot trust Palette at {secure_palette.host}: ")
    assert ("--ca-cert" in str(error), len(secure_palette.paths)) == (True, asked_before)


TRUST = {"its authority is named": False, "trust is not asked for": True}


@pytest.mark.parametrize("insecure", TRUST.values(), ids=TRUST)
def test_a_server_over_tls_is_read(secure_palette: PaletteSimulator, authority: Authority, insecure: bool) -> None:
    """With the authority's certificate, or with checks switched off, the profile is read."""
    ca_cert = None if insecure else authority.ca_cert
    client = PaletteClient(secure_palette.url, SecretStr(KEY), project="demo", ca_cert=ca_cert, insecure=insecure)
    with client:
        assert client.read_profile(ADD_ON_UID) == in_project(ADD_ON)


def test_a_file_that_is_no_certificate_is_a_configuration_error(
    secure_palette: PaletteSimulator, tmp_path: Path
) -> None:
    """The wrong file for an authority is the caller's to mend."""
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    with PaletteClient(secure_palette.url, SecretStr(KEY), ca_cert=wrong) as client, pytest.raises(ConfigurationError):
        client.check()


def test_a_client_shows_no_key(palette: PaletteSimulator) -> None:
    """Neither the client nor what it holds prints the key."""
    with connect(palette) as client:
        assert KEY not in f"{client!r}{vars(client)!r}{client._api!r}"
