"""Access: from settings, files and the environment to clients, each login in its turn and no secret on the way."""

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.access import (
    NamedCredentials,
    cache_folder,
    default_store,
    open_registries,
    palette_from_environment,
    transport_settings,
)
from edgelift.demo.content import make_image
from edgelift.demo.palette_api import DEMO_PROJECT, demo_profiles
from edgelift.errors import ConfigurationError, DeniedError, PaletteError
from edgelift.oci.credentials import Credentials
from edgelift.serve.access import Login
from edgelift.site import RegistryAccess
from edgelift.transport import TransportSettings
from tests.certificates import Authority
from tests.simulators.amazon import HOST, Amazon
from tests.simulators.http_faults import Answer, HttpFaults
from tests.simulators.palette import PaletteSimulator
from tests.simulators.registry import RegistrySimulator

LOGIN = Login("courier", "a made-up password")
APP = make_image("team/app")


@pytest.fixture(autouse=True)
def environment(tmp_path: Path) -> Iterator[None]:
    """An environment of its own for every test: a home that is empty, and nothing that is ours set."""
    before = dict(os.environ)
    for name in list(os.environ):
        if name.upper() in ("HTTPS_PROXY", "NO_PROXY", "XDG_CACHE_HOME") or name.startswith("PALETTE_"):
            del os.environ[name]
    os.environ["HOME"] = str(tmp_path / "home")
    yield
    os.environ.clear()
    os.environ |= before


def write_docker_config(folder: Path, host: str, password: str = LOGIN.password) -> Path:
    """A Docker configuration with one login."""
    folder.mkdir(parents=True)
    token = base64.b64encode(f"{LOGIN.username}:{password}".encode()).decode()
    path = folder / "config.json"
    path.write_text(json.dumps({"auths": {host: {"auth": token}}}))
    return path


def write_palette_edge_file(path: Path, host: str, password: str = LOGIN.password) -> Path:
    """A credentials file of Palette's edge CLI with one login."""
    login = {"endpoint": host, "username": LOGIN.username, "password": password}
    path.write_text(json.dumps({"image": [login]}))
    return path


# Logins


def test_dockers_own_login_gets_us_in(tmp_path: Path) -> None:
    """What `docker login` has left in the home folder serves without being named."""
    with RegistrySimulator(tmp_path / "registry", login=LOGIN) as sim:
        path = write_docker_config(tmp_path / "home" / ".docker", sim.host)
        with open_registries(RegistryAccess()) as connections:
            connections.registry(sim.host).log_in()
            source = connections.source_of(sim.host, "team/app")

    assert source == str(path)


def test_docker_config_may_lie_elsewhere(tmp_path: Path) -> None:
    """DOCKER_CONFIG names the folder, as for Docker."""
    path = write_docker_config(tmp_path / "elsewhere", "registry.example")
    os.environ["DOCKER_CONFIG"] = str(path.parent)
    with open_registries(RegistryAccess()) as connections:
        assert connections.source_of("registry.example", "app") == str(path)


def test_dockers_login_can_be_left_out(tmp_path: Path) -> None:
    """Without it we come anonymously, and say so."""
    with RegistrySimulator(tmp_path / "registry", login=LOGIN) as sim:
        write_docker_config(tmp_path / "home" / ".docker", sim.host)
        with open_registries(RegistryAccess(docker_config=False)) as connections:
            source = connections.source_of(sim.host, "team/app")
            with pytest.raises(DeniedError):
                connections.registry(sim.host).log_in()

    assert source == "anonymous"


def test_blocks_come_before_files_and_dockers_login_last(tmp_path: Path) -> None:
    """The first source that knows a host decides, and is named."""
    docker = write_docker_config(tmp_path / "home" / ".docker", "three.example")
    path = write_palette_edge_file(tmp_path / "creds.json", "two.example")
    block = NamedCredentials("block mirror", Credentials.of([("one.example", "robot", "secret")]))
    for host in ("two.example", "one.example"):
        Path(docker).write_text(json.dumps({"auths": {each: {"auth": "eDp5"} for each in (host, "three.example")}}))
    with open_registries(RegistryAccess(credentials_file=str(path)), blocks=[block]) as connections:
        sources = [connections.source_of(f"{name}.example", "app") for name in ("one", "two", "three", "four")]

    assert sources == ["block mirror", str(path), str(docker), "anonymous"]


def test_a_wrong_password_of_an_earlier_source_decides(tmp_path: Path) -> None:
    """A refused login is an error, not a reason to try the next one: accounts lock after a few."""
    with RegistrySimulator(tmp_path / "registry", login=LOGIN) as sim:
        write_docker_config(tmp_path / "home" / ".docker", sim.host)
        path = write_palette_edge_file(tmp_path / "creds.json", sim.host, "a wrong password")
        access = RegistryAccess(credentials_file=str(path))
        with open_registries(access) as connections, pytest.raises(DeniedError) as caught:
            connections.registry(sim.host).log_in()

    assert caught.value.message.startswith(f"{sim.host}: cannot log in: 401")
    assert "a wrong password" not in str(caught.value)


# AWS


@pytest.fixture
def amazon() -> Iterator[Amazon]:
    """Amazon's registry behind what passes for a proxy, and AWS credentials in the environment."""
    with Amazon() as amazon:
        os.environ |= {
            "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": "canary",
            "AWS_ENDPOINT_URL_ECR": amazon.url,
            "HTTPS_PROXY": amazon.url,
        }
        yield amazon


def test_aws_credentials_are_not_used_unasked(amazon: Amazon) -> None:
    """That they are in the environment is no reason to use them: the error says how to allow it."""
    with open_registries(RegistryAccess(plain_http=(HOST,))) as connections, pytest.raises(DeniedError) as caught:
        connections.registry(HOST).log_in()

    assert (amazon.calls, "--aws" in (caught.value.hint or "")) == ([], True)


def test_aws_credentials_that_are_allowed_log_in_at_amazon(amazon: Amazon) -> None:
    """They get us into Amazon's registry, are named, and are nobody else's business."""
    with open_registries(RegistryAccess(plain_http=(HOST,), aws=True)) as connections:
        connections.registry(HOST).log_in()
        sources = [connections.source_of(host, "team/app") for host in (HOST, "registry.example")]

    assert (sources, amazon.names()) == (["AWS", "anonymous"], ["GetAuthorizationToken"])


def test_a_login_that_is_named_comes_before_aws(amazon: Amazon, tmp_path: Path) -> None:
    """Who has logged in at Amazon's registry another way stays logged in that way."""
    path = write_docker_config(tmp_path / "home" / ".docker", HOST)
    with open_registries(RegistryAccess(aws=True)) as connections:
        assert (connections.source_of(HOST, "team/app"), amazon.calls) == (str(path), [])


def test_repositories_are_created_with_aws_credentials_that_are_allowed(amazon: Amazon) -> None:
    """A push to Amazon's registry makes what is missing where it is asked for and allowed, and else says so."""
    blob = APP.blobs[0]
    with open_registries(RegistryAccess(plain_http=(HOST,), aws=True)) as connections:
        registry = connections.target(HOST, create_repositories=True)
        registry.upload_blob("team/app", blob, lambda: iter([APP.contents[blob.digest]]))

    assert amazon.repositories == {"team/app"}
    with open_registries(RegistryAccess()) as connections, pytest.raises(ConfigurationError, match="AWS credentials"):
        connections.target(HOST, create_repositories=True)


BROKEN = {"no file": None, "no JSON": "{", "no login": '{"image": [{"endpoint": "x"}]}'}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_credentials_file_is_named(text: str | None, tmp_path: Path) -> None:
    """Nothing is opened with half of the logins."""
    path = tmp_path / "creds.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"creds\.json"):
        open_registries(RegistryAccess(credentials_file=str(path)))


# Transport


def test_settings_reach_the_transport() -> None:
    """Every setting of the access is one of the transport."""
    access = RegistryAccess(
        ca_cert="ca.pem",
        insecure=True,
        insecure_hosts=("b:5000",),
        certs_dir="certs.d",
        plain_http=("a:80",),
        trusted_realms=("auth.example",),
        docker_config=False,
    )
    expected = TransportSettings(
        ca_cert=Path("ca.pem"),
        insecure=True,
        insecure_hosts=frozenset({"b:5000"}),
        certs_dir=Path("certs.d"),
        plain_http=frozenset({"a:80"}),
        trusted_realms=frozenset({"auth.example"}),
    )

    assert transport_settings(access) == expected


@pytest.mark.parametrize("case", [str.upper, str.lower], ids=["upper case", "lower case"])
def test_the_proxy_comes_from_the_environment(case: "type[str]") -> None:
    """HTTPS_PROXY and NO_PROXY are read in either spelling."""
    os.environ |= {case("https_proxy"): "http://proxy.example:3128", case("no_proxy"): "edge.local, 10.0.0.0/8,"}
    settings = transport_settings(RegistryAccess())

    assert (settings.proxy, settings.no_proxy) == ("http://proxy.example:3128", ("edge.local", "10.0.0.0/8"))


def test_single_hosts_have_settings_of_their_own(tmp_path: Path) -> None:
    """A registry with its own authority is reached beside one over plain HTTP."""
    authority = Authority(tmp_path)
    own = {}
    with (
        RegistrySimulator(tmp_path / "one", certificate=authority.issue("127.0.0.1")) as tls,
        RegistrySimulator(tmp_path / "two") as open_one,
    ):
        own[tls.host] = TransportSettings(ca_cert=authority.ca_cert)
        with open_registries(RegistryAccess(docker_config=False), hosts=own) as connections:
            connections.registry(tls.host).log_in()
            connections.registry(open_one.host).log_in()
            seen = [sim.count("GET", "^/v2/$", 200) for sim in (tls, open_one)]

    assert seen == [1, 1]


def test_mirrors_and_rewrites_are_where_content_is_read_from(tmp_path: Path) -> None:
    """The rules of the access decide what a source asks, and in which order."""
    access = RegistryAccess(
        docker_config=False,
        mirrors=("docker.io=one.example/hub", "docker.io=two.example"),
        rewrites=("docker.io/team=three.example",),
    )
    with open_registries(access) as connections:
        places = {name: connections.places("docker.io", name) for name in ("library/nginx", "team/app")}

    assert {name: [str(place) for place in asked] for name, asked in places.items()} == {
        "library/nginx": ["one.example/hub/library/nginx", "two.example/library/nginx", "docker.io/library/nginx"],
        "team/app": ["one.example/hub/team/app", "two.example/team/app", "three.example/app"],
    }


def test_a_mirror_that_is_none_is_told_before_anything_is_opened() -> None:
    """A rule that means nothing is a mistake in the settings."""
    with pytest.raises(ConfigurationError, match="names no mirror"):
        open_registries(RegistryAccess(docker_config=False, mirrors=("docker.io",)))


# Palette


def test_palette_is_reached_as_the_environment_says(tmp_path: Path) -> None:
    """Key and endpoint come from the environment, the authority from the access."""
    authority = Authority(tmp_path)
    profiles = demo_profiles("registry.example")
    with PaletteSimulator(profiles, "a key", certificate=authority.issue("127.0.0.1")) as palette:
        os.environ |= {"PALETTE_API_KEY": "a key", "PALETTE_ENDPOINT": palette.url}
        access = RegistryAccess(ca_cert=str(authority.ca_cert))
        with palette_from_environment(DEMO_PROJECT.name, access) as client:
            profile = client.read_profile("edge-infra")

    assert profile.name == "edge-infra"


def test_palettes_certificate_is_checked(tmp_path: Path) -> None:
    """Without its authority Palette is not believed, and does not get the key."""
    certificate = Authority(tmp_path).issue("127.0.0.1")
    with PaletteSimulator((), "a key", certificate=certificate) as palette:
        os.environ |= {"PALETTE_API_KEY": "a key", "PALETTE_ENDPOINT": palette.url}
        with palette_from_environment(None) as client, pytest.raises(PaletteError) as caught:
            client.check()

    assert palette.exchanges == []
    assert "a key" not in str(caught.value)


PROXIED = {"through it": ("", ["CONNECT palette.invalid:443"]), "past it": (".invalid", [])}


@pytest.mark.parametrize(("no_proxy", "tunnels"), PROXIED.values(), ids=PROXIED)
def test_palette_is_reached_through_the_proxy(no_proxy: str, tunnels: list[str]) -> None:
    """HTTPS_PROXY and NO_PROXY hold for Palette as they do for registries."""
    tunnel = Answer(raw=b"HTTP/1.1 200 OK\r\n\r\nno TLS at its end", ending="close")
    with HttpFaults(lambda request: tunnel) as proxy:
        os.environ |= {"HTTPS_PROXY": proxy.url, "NO_PROXY": no_proxy}
        os.environ |= {"PALETTE_API_KEY": "a key", "PALETTE_ENDPOINT": "https://palette.invalid"}
        with palette_from_environment(None) as client, pytest.raises(PaletteError):
            client.check()
        seen = [f"{request.method} {request.target}" for request in proxy.requests]

    assert seen[:1] == tunnels


def test_a_missing_key_says_what_to_set() -> None:
    """Without a key the two ways on are named."""
    with pytest.raises(ConfigurationError, match="no API key") as caught:
        palette_from_environment(None)

    assert all(way in str(caught.value.hint) for way in ("PALETTE_API_KEY", "--profile-file"))


# Folders


def test_the_store_lies_in_the_cache(tmp_path: Path) -> None:
    """Below the home folder, or where XDG_CACHE_HOME says."""
    assert default_store() == tmp_path / "home" / ".cache" / "edgelift" / "store"

    os.environ["XDG_CACHE_HOME"] = "/var/cache/x"

    assert (cache_folder(), default_store()) == (Path("/var/cache/x/edgelift"), Path("/var/cache/x/edgelift/store"))
