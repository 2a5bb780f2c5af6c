"""Where a registry may send us (facts §3.1): realm, redirect, upload location, judged by name and by address.

Names are resolved by the test. A registry with a public and a loopback address counts as public, since of several
addresses the one that may least decides; it is reached on loopback all the same.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from edgelift.demo.content import make_image
from edgelift.errors import DeniedError, RegistryError, UnreachableError
from edgelift.oci.artifact import push_artifact
from edgelift.oci.credentials import Credentials
from edgelift.oci.digest import Digest
from edgelift.oci.registry import Registry
from edgelift.transport import TransportSettings
from tests.certificates import Authority
from tests.oci.clocks import Hands
from tests.security.canaries import BASIC, LOGIN, PASSWORD, STATE, TOKEN, USERNAME, credential_bytes
from tests.security.foreign import Listener, asks, serves
from tests.simulators.http_faults import Answer, Request

BLOB = make_image("team/app").blobs[-1]
PUBLIC = "93.184.216.34"
HOME = "registry.corp.example"

Say = Callable[[str], Callable[[Request], Answer]]


def login_for(host: str) -> Credentials:
    """The login, for exactly `host`."""
    return Credentials(lambda asked, _: LOGIN if asked == host else None)


def client_of(host: str, *, credentials: Credentials | None = None, **settings: object) -> Registry:
    """A client that never waits; `settings` are those of the transport."""
    transport = TransportSettings(idle_timeout=5, **settings)  # type: ignore[arg-type]
    return Registry(host, transport, credentials or login_for(host), clock=Hands().clock)


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, list[str]]], None]:
    """Takes the addresses of names; addresses stand for themselves, and no other name is known."""

    def take(names: Mapping[str, list[str]]) -> None:
        monkeypatch.setattr("edgelift.transport.client.resolve_addresses", lambda host, port: names.get(host, [host]))

    return take


@pytest.fixture
def public_home(name_server: Callable[[Mapping[str, list[str]]], None]) -> Iterator[Listener]:
    """A registry that counts as public; `inside.corp.example` is a name for this machine, `auth` too."""
    local = {
        "inside.corp.example": ["127.0.0.1"],
        "mapped.corp.example": ["::ffff:127.0.0.1"],
        "2130706433": ["127.0.0.1"],
    }
    name_server({HOME: ["127.0.0.1", PUBLIC], **local, "twofold.corp.example": [PUBLIC, "127.0.0.1"]})
    with Listener() as home:
        yield home


def public_client(home: Listener, credentials: Credentials | None = None) -> Registry:
    """A client for the public registry, which is spoken to without TLS."""
    host = f"{HOME}:{home.port}"
    return client_of(host, credentials=credentials, plain_http=frozenset({host}))


# What a registry says to send us somewhere; where to is filled in


def realm(url: str) -> Callable[[Request], Answer]:
    """Wants a token from `url`."""
    return lambda _: Answer(401, (("WWW-Authenticate", f'Bearer realm="{url}",service="x"'),))


def redirect(url: str) -> Callable[[Request], Answer]:
    """Redirects everything to `url`."""
    return _let_in(lambda _: Answer(307, (("Location", url), ("Set-Cookie", "session=1; Path=/"))))


def location(url: str) -> Callable[[Request], Answer]:
    """Takes uploads at `url`; knows no blob."""

    def respond(request: Request) -> Answer:
        return Answer(404) if request.method == "HEAD" else Answer(202, (("Location", url),))

    return _let_in(respond)


def _let_in(respond: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
    def ask_first(request: Request) -> Answer:
        is_known = request.headers.get("authorization") == f"Basic {BASIC}"
        return respond(request) if is_known else Answer(401, (("WWW-Authenticate", "Basic realm=x"),))

    return ask_first


def upload(registry: Registry) -> object:
    """Bring a blob to the registry."""
    content = make_image("team/app").contents[BLOB.digest]
    return registry.upload_blob("team/app", BLOB, lambda: iter([content]))


def read(registry: Registry) -> object:
    """Read a blob."""
    return list(registry.read_blob("team/app", BLOB).chunks)


WAYS: dict[str, tuple[Say, Callable[[Registry], object]]] = {
    "a realm": (realm, lambda registry: registry.log_in()),
    "a redirect": (redirect, read),
    "an upload location": (location, upload),
}
INSIDE = {
    "loopback": "http://127.0.0.1:{port}/x",
    "a name for loopback": "http://inside.corp.example:{port}/x",
    "a name for loopback as IPv6": "http://mapped.corp.example:{port}/x",
    "a name with a public address besides": "http://twofold.corp.example:{port}/x",
    "loopback as a number": "http://2130706433:{port}/x",
    "nowhere in particular": "http://0.0.0.0:{port}/x",
    "the cloud's metadata": "http://169.254.169.254/latest/meta-data/",
    "Azure's wire server": "http://168.63.129.16/?comp=versions",
    "metadata over IPv6": "http://[fd00:ec2::254]/latest/meta-data/",
    "a private network": "http://10.0.0.5/x",
    "another private network": "http://192.168.1.1/x",
    "a neighbour": "http://[fe80::1]/x",
}


@pytest.mark.parametrize("url", INSIDE.values(), ids=INSIDE)
@pytest.mark.parametrize(("say", "ask"), WAYS.values(), ids=WAYS)
def test_a_public_registry_leads_nobody_inside(
    say: Say, ask: Callable[[Registry], object], url: str, public_home: Listener
) -> None:
    """Neither realm nor redirect nor location reach what only we can reach, however it is written or named.

    The realm is tried without a login: with one it is refused for its name already.
    """
    with Listener(serves) as inside:
        public_home.respond = say(url.format(port=inside.port))
        with pytest.raises(UnreachableError, match="an address it has no business with") as caught:
            ask(public_client(public_home, Credentials() if say is realm else None))

    assert (inside.connections, len(inside.heard)) == (0, 0)
    assert not caught.value.retryable


def test_a_realm_next_door_that_means_this_machine_gets_nothing(public_home: Listener) -> None:
    """A name that may have the login is no help where its address is ours: the error names it."""
    with Listener(serves) as inside:
        public_home.respond = realm(f"http://inside.corp.example:{inside.port}/token")
        with pytest.raises(UnreachableError, match=r"inside\.corp\.example") as caught:
            public_client(public_home).log_in()

    assert (inside.connections, caught.value.retryable) == (0, False)


def test_a_realm_that_redirects_is_not_followed() -> None:
    """A token server may not pass our login on: a redirect is no token, and where it leads is not asked."""
    with Listener(asks, address="127.0.0.2") as metadata, Listener() as home:

        def respond(request: Request) -> Answer:
            if request.target.startswith("/token"):
                return Answer(302, (("Location", f"{metadata.url}/latest/meta-data/"),))
            return realm(f"{home.url}/token")(request)

        home.respond = respond
        with pytest.raises(RegistryError, match="cannot get a token: 302"):
            client_of(home.host).log_in()

    assert metadata.connections == 0
    assert credential_bytes(bytes(home.heard)) > 0


@pytest.mark.parametrize("url", ["http://127.0.0.2:{port}/token", "http://127.0.0.1.:{port}/token"])
def test_an_error_about_a_realm_names_it(url: str) -> None:
    """Who reads the error knows which server was after the login, and what allows it."""
    with Listener(serves, address="127.0.0.2") as other, Listener() as home:
        where = url.format(port=other.port)
        home.respond = realm(where)
        with pytest.raises(RegistryError, match="does not look like its own") as caught:
            client_of(home.host).log_in()

    assert where.removesuffix("/token") in str(caught.value)
    assert "--trusted-realm" in str(caught.value)
    assert other.connections == 0


OUT_OF_TLS = {
    "the same host": "http://127.0.0.1:{port}/x",
    "another host": "http://127.0.0.2:{port}/x",
}


@pytest.mark.parametrize("url", OUT_OF_TLS.values(), ids=OUT_OF_TLS)
@pytest.mark.parametrize(("say", "ask"), WAYS.values(), ids=WAYS)
def test_nothing_leads_out_of_tls(say: Say, ask: Callable[[Registry], object], url: str, tmp_path: Path) -> None:
    """A registry with TLS cannot send us to a server without: in plain text nothing arrives there."""
    authority = Authority(tmp_path)
    with ExitStack() as servers:
        home = servers.enter_context(Listener(certificate=authority.issue("127.0.0.1")))
        plain = servers.enter_context(Listener(serves, address=url.split("/")[2].partition(":")[0]))
        home.respond = say(url.format(port=plain.port))
        with pytest.raises(RegistryError):
            ask(client_of(home.host, ca_cert=authority.ca_cert))

    # The same host is tried with TLS, as a registry behind a TLS proxy means it: never with a login, nor in plain text.
    assert credential_bytes(bytes(plain.heard)) == 0
    assert b"HTTP/1.1" not in plain.heard


FOLLOWED: dict[str, tuple[Say, Callable[[Registry], object]]] = {
    "a redirect": (redirect, read),
    "an upload location": (location, upload),
}


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"], ids=["another port", "another host"])
@pytest.mark.parametrize(("say", "ask"), FOLLOWED.values(), ids=FOLLOWED)
def test_elsewhere_is_asked_without_login_and_cookie(say: Say, ask: Callable[[Registry], object], address: str) -> None:
    """Storage elsewhere gets the request and nothing that lets one in, not even when it asks for it."""
    with Listener(asks, address=address) as other, Listener() as home:
        home.respond = say(f"{other.url}/bucket/x?_state={STATE}")
        with pytest.raises(DeniedError, match=other.host):
            ask(client_of(home.host))

        assert other.requests
        assert [{"authorization", "cookie"} & set(each.headers) for each in other.requests] == [set()] * len(
            other.requests
        )
        assert all(STATE in each.target for each in other.requests)


def test_an_artifact_is_uploaded_elsewhere_without_login(tmp_path: Path) -> None:
    """oras-py's upload goes through the same gate: no login, and the location to the letter, in PATCH and PUT."""
    path = tmp_path / "edge.tar.zst"
    path.write_bytes(b"a bundle")
    query = f"_state={STATE}%2Fb==&empty=&twice=1&twice=2"
    with Listener(address="127.0.0.2") as other, Listener() as home:
        other.respond = lambda request: Answer(
            202 if request.method == "PATCH" else 201, (("Location", f"/upload/2?{query}"),)
        )
        home.respond = location(f"{other.url}/upload/1?{query}")
        with pytest.raises(RegistryError):  # the blob is not at the registry in the end
            push_artifact(
                client_of(home.host), "site", "june", path, digest=Digest.of(b"a bundle"), media_type="application/zstd"
            )
        asked = [
            (each.method, each.target) for each in other.requests if each.body == b"a bundle" or each.method == "PUT"
        ]

    assert credential_bytes(bytes(other.heard)) == 0
    assert ("PATCH", f"/upload/1?{query}") in asked
    assert ("PUT", f"/upload/2?{query}&digest={Digest.of(b'a bundle')}") in asked


NO_LOCATIONS = {
    "none": (),
    "no address": (("Location", "http://[::1/x"),),
    "another protocol": (("Location", "httpx://127.0.0.1/x"),),
    "the cloud's metadata": (("Location", "http://169.254.169.254/x"),),
}


@pytest.mark.parametrize("content", [b"a bundle", b""], ids=["a file", "an empty file"])
@pytest.mark.parametrize("headers", NO_LOCATIONS.values(), ids=NO_LOCATIONS)
def test_a_location_that_is_none_ends_an_artifact_as_our_error(
    headers: tuple[tuple[str, str], ...], content: bytes, tmp_path: Path
) -> None:
    """What oras-py would stumble over, or would go to, is an error of ours before it gets there."""
    path = tmp_path / "edge.tar.zst"
    path.write_bytes(content)

    def respond(request: Request) -> Answer:
        return Answer(404) if request.method in {"HEAD", "GET"} else Answer(202, headers)

    with Listener(respond) as home, pytest.raises(RegistryError):
        push_artifact(client_of(home.host), "site", "june", path, digest=Digest.of(content), media_type="text/plain")


# Whose login, and whose certificate, it is


def test_insecure_is_for_the_registry_and_not_for_its_token_server(tmp_path: Path) -> None:
    """Leaving the registry's certificate unchecked leaves the token server's checked: it gets no byte of the login."""
    authority = Authority(tmp_path)
    with (
        Listener(serves, certificate=authority.issue("127.0.0.1")) as token_server,
        Listener(certificate=authority.issue("127.0.0.1")) as home,
    ):
        home.respond = realm(f"{token_server.url}/token")
        with pytest.raises(UnreachableError, match=f"{token_server.host}.*certificate is not trusted"):
            client_of(home.host, insecure=True).log_in()

        assert (len(home.requests) > 0, token_server.requests, bytes(token_server.heard)) == (True, [], b"")


def bearer_home(home: Listener) -> Callable[[Request], Answer]:
    """A registry with a token server of its own."""

    def respond(request: Request) -> Answer:
        if request.target.startswith("/token"):
            return Answer(body=b'{"token":"%s"}' % TOKEN.encode())
        is_known = request.headers.get("authorization") == f"Bearer {TOKEN}"
        return Answer(body=b'{"tags":["1"]}') if is_known else realm(f"{home.url}/token")(request)

    return respond


OTHER_NAMES: dict[str, Callable[[int, int], tuple[str, str]]] = {
    "another port": lambda mine, other: (f"{HOME}:{mine}", f"{HOME}:{other}"),
    "a longer name": lambda mine, other: (f"{HOME}:{other}", f"{HOME}.evil.example:{other}"),
    "a subdomain": lambda mine, other: (f"{HOME}:{other}", f"evil.{HOME}:{other}"),
    "the name without its port": lambda mine, other: (HOME, f"{HOME}:{other}"),
}


@pytest.mark.parametrize("names", OTHER_NAMES.values(), ids=OTHER_NAMES)
@pytest.mark.parametrize("respond", [asks, None], ids=["asks", "has a token server of its own"])
def test_a_login_is_for_its_host_and_port(
    names: Callable[[int, int], tuple[str, str]],
    respond: Callable[[Request], Answer] | None,
    name_server: Callable[[Mapping[str, list[str]]], None],
) -> None:
    """A login for one registry is not shown to another of a similar name, in no form."""
    with Listener() as other:
        mine, theirs = names(other.port + 1, other.port)
        name_server({theirs.partition(":")[0]: ["127.0.0.1"]})
        other.respond = respond or bearer_home(other)
        credentials = Credentials.of([(mine, USERNAME, PASSWORD)])
        registry = client_of(theirs, credentials=credentials, plain_http=frozenset({theirs}))
        with suppress(RegistryError):  # the one with a token server lets anyone in
            registry.list_tags("evil/a")

        assert other.requests
        headers = {each.headers.get("authorization", "") for each in other.requests}
        assert headers <= {"", f"Bearer {TOKEN}"}
        assert (BASIC.encode() in other.heard, PASSWORD.encode() in other.heard) == (False, False)


def test_a_host_in_a_repository_has_no_login() -> None:
    """The login for `a` is not one for the repository `a` of another registry."""
    credentials = Credentials.of([("registry.corp.example", USERNAME, PASSWORD)])

    assert credentials.find("evil.example", "registry.corp.example/app") is None
    assert credentials.find("docker.io", "registry.corp.example") is None
