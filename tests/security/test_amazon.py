"""Amazon ECR: the login that AWS gives goes to its registry alone, and the AWS credentials to the API of AWS alone.

The API is a server on loopback, and so is the registry, which is reached as a proxy for its name. Foreign servers have
names that others can rent beside it. The login that the API gives is the canary of the other tests.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from edgelift.errors import EdgeliftError
from edgelift.oci.auth_ecr import EcrLogin
from edgelift.oci.credentials import Credentials
from edgelift.oci.gate import UrlGate
from edgelift.oci.registry import Registry
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.oci.clocks import Hands
from tests.security.canaries import (
    AWS_KEY_ID,
    AWS_SECRET,
    AWS_SESSION,
    BASIC,
    OF_AWS,
    OF_HOME,
    bytes_of,
    credential_bytes,
)
from tests.security.foreign import Listener, asks, bounces, serves
from tests.security.hostile_registry import HostileRegistry, Kind, Lure
from tests.security.operations import MIB, OPERATIONS, THERE, Desk, fill, perform
from tests.simulators.amazon import HOST, PUBLIC
from tests.simulators.http_faults import Answer, Request

REALMS: tuple[Lure, ...] = ("token realm", "late realm", "token redirect")
FOLLOWED: tuple[Lure, ...] = ("redirect", "upload location", "chunk location")  # without credentials
LURES: tuple[Lure, ...] = (*REALMS, *FOLLOWED, "next page")
KINDS: dict[str, Kind] = {HOST: "basic", PUBLIC: "bearer"}
# Whose names are beside the registry's: anybody's, who pays for them.
NEIGHBOURS = {
    "an API of somebody": "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com",
    "storage of somebody": "bucket.s3.eu-west-1.amazonaws.com",
    "the registry of somebody": "999999999999.dkr.ecr.eu-west-1.amazonaws.com",
}


def gives_a_login(request: Request) -> Answer:
    """The API of AWS, which gives the canary as the login for ECR, and takes every new repository."""
    if "GetAuthorizationToken" not in request.headers.get("x-amz-target", ""):
        return Answer(body=b"{}")
    data = {"authorizationToken": BASIC, "expiresAt": time.time() + 12 * 3600}
    is_public = "Spencer" in request.headers["x-amz-target"]
    return Answer(body=json.dumps({"authorizationData": data if is_public else [data]}).encode())


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Listener]:
    """The API, and AWS credentials in the environment; nothing else that boto3 could find."""
    with Listener(gives_a_login) as listener:
        environment = {
            "AWS_ACCESS_KEY_ID": AWS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": AWS_SECRET,
            "AWS_SESSION_TOKEN": AWS_SESSION,
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_ECR": listener.url,
            "AWS_ENDPOINT_URL_ECR_PUBLIC": listener.url,
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION"):
            monkeypatch.delenv(name, raising=False)
        yield listener


@pytest.fixture(scope="module")
def full_store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """A store that holds the image to be pushed, and the manifests of the one to be copied."""
    return fill(LocalStore(tmp_path_factory.mktemp("full")))


@dataclass(frozen=True)
class Region:
    """What is where: the registry, as the proxy for its name, and the foreign servers, by what is foreign."""

    home: Listener
    foreign: Mapping[str, Listener]
    folder: Path

    def url(self, place: str) -> str:
        """Where the foreign server `place` is, by its name."""
        return f"http://{self._netloc(place)}"

    def _netloc(self, place: str) -> str:
        return f"{NEIGHBOURS.get(place, self.foreign[place].address)}:{self.foreign[place].port}"

    def visit(self, host: str, hostile: HostileRegistry, full: LocalStore, *, trusts: str = "") -> None:
        """Do everything that a client does with the registry `host`, each with a fresh client."""
        self.home.respond = lambda request: hostile.respond(_without_host(request))
        settings = TransportSettings(
            plain_http=frozenset({host}),
            proxy=self.home.url,
            no_proxy=tuple(self._netloc(place) for place in self.foreign),
            trusted_realms=frozenset({self._netloc(trusts)} if trusts else ()),
            idle_timeout=10,
            attempts=3,
            largest_request=MIB,
        )
        ecr = EcrLogin()
        desk = self.folder / "desk"
        desk.mkdir(exist_ok=True)
        for name in OPERATIONS:
            registry = Registry(host, settings, Credentials(ecr.find, renew=[ecr.renew]), clock=Hands().clock)
            registry.create_missing(lambda repository: ecr.create_repository(host, repository))
            perform(Desk(registry, full, desk), name)
            registry.close()


def _without_host(request: Request) -> Request:
    """A request as the registry sees it that was sent to its proxy."""
    return replace(request, target="/" + request.target.partition("://")[2].partition("/")[2])


@pytest.fixture
def region(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Region]:
    """The registry and its neighbours, each at an address of its own; the names mean this machine."""
    with ExitStack() as servers:
        foreign = {
            place: servers.enter_context(Listener(address=f"127.0.0.{number}"))
            for number, place in enumerate((*NEIGHBOURS, "another host"), 2)
        }
        known = {name: [foreign[place].address] for place, name in NEIGHBOURS.items()}
        known |= {HOST: ["127.0.0.1"], PUBLIC: ["127.0.0.1"]}
        monkeypatch.setattr("edgelift.transport.client.resolve_addresses", lambda name, _: known.get(name, [name]))
        yield Region(servers.enter_context(Listener()), foreign, tmp_path)


@pytest.mark.parametrize("host", KINDS)
@pytest.mark.parametrize("lure", LURES)
def test_no_byte_of_a_login_leaves_its_registry(
    lure: Lure, host: str, api: Listener, region: Region, full_store: LocalStore
) -> None:
    """The login goes to the registry that it was fetched for; AWS credentials go to the API, and the secret nowhere."""
    for place, manner in zip(region.foreign, (serves, asks, bounces, serves), strict=True):
        region.foreign[place].respond = manner
        region.visit(host, HostileRegistry(THERE, KINDS[host], lure, region.url(place)), full_store)
    seen = {place: credential_bytes(bytes(listener.heard)) for place, listener in region.foreign.items()}
    at_home = bytes_of(bytes(region.home.heard), OF_HOME)
    at_api = bytes_of(bytes(api.heard), (AWS_KEY_ID, AWS_SESSION))

    print(f"{lure}, {host}: seen by foreign origins: {seen}; at home: {at_home:,}; at the API: {at_api:,}")  # noqa: T201
    assert seen == dict.fromkeys(region.foreign, 0)
    assert {listener.connections > 0 for listener in region.foreign.values()} == {lure in FOLLOWED}
    assert (at_home > 0) == (lure != "token realm")  # who is asked to log in elsewhere at once shows nothing at all
    assert bytes_of(bytes(region.home.heard), OF_AWS) == 0
    assert at_api > 0
    assert bytes_of(bytes(api.heard), (AWS_SECRET, *OF_HOME)) == 0


def test_a_realm_that_is_trusted_is_counted(api: Listener, region: Region, full_store: LocalStore) -> None:
    """Were a neighbour taken for the registry's token server, as one that is named is, the figures would say so."""
    place = "an API of somebody"
    region.foreign[place].respond = serves
    region.visit(HOST, HostileRegistry(THERE, "basic", "late realm", region.url(place)), full_store, trusts=place)

    assert credential_bytes(bytes(region.foreign[place].heard)) > 0


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("do", ["log in", "make a repository"])
def test_an_api_that_redirects_is_not_followed(do: str, status: int, api: Listener) -> None:
    """AWS credentials, and what is signed with them, are not passed on by whoever stands in for the API."""
    with Listener(gives_a_login, address="127.0.0.2") as other:
        api.respond = lambda _: Answer(status, (("Location", f"{other.url}/"),))
        with pytest.raises(EdgeliftError):
            EcrLogin().find(HOST, "a") if do == "log in" else EcrLogin().create_repository(HOST, "team/app")

    assert other.connections == 0
    assert bytes_of(bytes(api.heard), (AWS_KEY_ID, AWS_SESSION)) > 0


def test_a_registry_that_aws_does_not_run_hears_of_no_login(api: Listener, region: Region) -> None:
    """A name like that of Amazon's registry, and one at a port, ask for a login, and AWS is not asked for any."""
    ecr = EcrLogin()
    region.home.respond = asks
    for host in (f"{HOST}.evil.example", f"{HOST}:5000", f"evil.{PUBLIC}"):
        settings = TransportSettings(plain_http=frozenset({host}), proxy=region.home.url, attempts=1)
        with pytest.raises(EdgeliftError):
            Registry(host, settings, Credentials(ecr.find, renew=[ecr.renew]), clock=Hands().clock).log_in()

    assert len(region.home.requests) >= 3
    assert (credential_bytes(bytes(region.home.heard)), api.connections) == (0, 0)


STRANGERS = {
    **{place: (HOST, name) for place, name in NEIGHBOURS.items()},
    "by its new name": ("123456789012.dkr-ecr.eu-west-1.on.aws", "a1b2.lambda-url.eu-west-1.on.aws"),
    "in China": ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "a1b2.execute-api.cn-north-1.amazonaws.com.cn"),
    "a registry behind a load balancer": ("ours.eu-west-1.elb.amazonaws.com", "evil.eu-west-1.elb.amazonaws.com"),
    "a registry on a virtual machine": ("ours.eastus.cloudapp.azure.com", "evil.eastus.cloudapp.azure.com"),
}


@pytest.mark.parametrize(("registry", "realm"), STRANGERS.values(), ids=STRANGERS)
def test_a_region_of_a_cloud_belongs_to_nobody(registry: str, realm: str) -> None:
    """That two names are in one region of a cloud does not make one the token server of the other."""
    gate = UrlGate(f"https://{registry}")

    assert not gate.admit(f"https://{realm}/token", "token realm", base=gate.origin).has_credentials
