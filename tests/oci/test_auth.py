"""Challenges, tokens, and who is let in where: against a token server, and against servers that are after our login."""

import base64
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from pydantic import SecretStr

from edgelift.demo.content import make_image
from edgelift.errors import ConfigurationError, DeniedError, EdgeliftError, RegistryError
from edgelift.oci.auth import parse_challenges, parse_token
from edgelift.oci.credentials import Credential, Credentials
from edgelift.oci.registry import Registry
from edgelift.serve.access import Login
from edgelift.transport import TransportSettings
from tests.certificates import Authority
from tests.oci.clocks import Hands
from tests.simulators.http_faults import Answer, HttpFaults, Request
from tests.simulators.registry import RegistrySimulator
from tests.simulators.token_server import TokenServer

LOGIN = Login("courier", "canary-password")
APP = make_image("team/app")
ENCODED = base64.b64encode(b"courier:canary-password").decode()


def open_registry(host: str, credentials: Credentials | None = None, hands: Hands | None = None) -> Registry:
    """A client that does not wait."""
    return Registry(host, TransportSettings(), credentials or Credentials(), clock=(hands or Hands()).clock)


def login_for(host: str) -> Credentials:
    """The right login for `host`."""
    return Credentials.of([(host, LOGIN.username, LOGIN.password)])


# What servers say

CHALLENGES: dict[str, tuple[list[str], list[tuple[str, dict[str, str]]]]] = {
    "bearer": (
        ['Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push"'],
        [
            (
                "bearer",
                {"realm": "https://auth.example/token", "service": "registry", "scope": "repository:a/b:pull,push"},
            )
        ],
    ),
    "basic": (['Basic realm="a registry"'], [("basic", {"realm": "a registry"})]),
    "capitals and spaces": (['BEARER  Realm = "x" ,  SERVICE=y'], [("bearer", {"realm": "x", "service": "y"})]),
    "two in one line": (
        ['Bearer realm="x",service="y", Basic realm="z"'],
        [("bearer", {"realm": "x", "service": "y"}), ("basic", {"realm": "z"})],
    ),
    "two lines": (['Basic realm="z"', 'Bearer realm="x"'], [("basic", {"realm": "z"}), ("bearer", {"realm": "x"})]),
    "a scheme without parameters": (['Negotiate, Basic realm="z"'], [("negotiate", {}), ("basic", {"realm": "z"})]),
    "a token of another scheme": (['NTLM TlRMTVNT==, Basic realm="z"'], [("ntlm", {}), ("basic", {"realm": "z"})]),
    "quoted characters": ([r'Basic realm="say \"hi\", a\\b"'], [("basic", {"realm": r'say "hi", a\b'})]),
    "the first of two values counts": (['Bearer realm="x",realm="y"'], [("bearer", {"realm": "x"})]),
    "nonsense in between": (['"?", Basic realm="z"'], [("basic", {"realm": "z"})]),
    "an open quote": (['Bearer realm="x'], [("bearer", {}), ("realm", {})]),
    "nothing": ([""], []),
    "no header": ([], []),
}


@pytest.mark.parametrize(("lines", "expected"), CHALLENGES.values(), ids=CHALLENGES)
def test_challenges(lines: list[str], expected: list[tuple[str, dict[str, str]]]) -> None:
    """Every challenge is found, in one line or several, and nonsense costs only itself."""
    assert expected == [(each.scheme, each.parameters) for each in parse_challenges(lines)]


TOKENS = {
    "token": ({"token": "t"}, ("t", 54.0)),
    "access token": ({"access_token": "t", "expires_in": 300}, ("t", 270.0)),
    "a life of an hour": ({"token": "t", "expires_in": 3600}, ("t", 3570.0)),
    "a life too short to be meant": ({"token": "t", "expires_in": 1}, ("t", 54.0)),
    "a life without end": ({"token": "t", "expires_in": 10**400}, ("t", 86370.0)),
    "a life that is no number": ({"token": "t", "expires_in": "300"}, ("t", 54.0)),
    "a clock that is far off": ({"token": "t", "expires_in": 300, "issued_at": "1999-01-01T00:00:00Z"}, ("t", 270.0)),
}


@pytest.mark.parametrize(("document", "expected"), TOKENS.values(), ids=TOKENS)
def test_tokens(document: dict[str, object], expected: tuple[str, float]) -> None:
    """A token has either name, lives a minute at least by our own clock, and is renewed a little early."""
    token = parse_token(json.dumps(document).encode(), now=0.0)

    assert expected == (token.value, token.stale_at)


NO_TOKENS = {
    "not JSON": b"<html>",
    "not an object": b'["token"]',
    "no token": b'{"expires_in": 300}',
    "not a text": b'{"token": 5}',
    "a line break": b'{"token": "x\\r\\nEvil: 1"}',
}


@pytest.mark.parametrize("body", NO_TOKENS.values(), ids=NO_TOKENS)
def test_what_is_no_token(body: bytes) -> None:
    """An answer without a usable token is none; a header cannot be made of it."""
    with pytest.raises(ValueError, match=r".*"):
        parse_token(body, now=0.0)


# A registry with a token server


def test_an_anonymous_token_is_fetched_once_for_a_repository(tmp_path: Path) -> None:
    """The first request learns what is wanted; the token then serves all requests to that repository."""
    tokens = TokenServer(anonymous=True)
    with RegistrySimulator(tmp_path, tokens=tokens) as sim:
        sim.put_image(APP, make_image("other/app"))
        registry = open_registry(sim.host)
        for repository in ("team/app", "team/app", "other/app"):
            registry.read_manifest(repository, "1.0")
        refused = sim.count(status=401)

    assert tokens.requested == [["repository:team/app:pull"], ["repository:other/app:pull"]]
    assert refused == 1


def test_the_login_goes_to_the_token_server_alone(tmp_path: Path) -> None:
    """The password is shown to the token server; the registry sees tokens."""
    with RegistrySimulator(tmp_path, tokens=TokenServer(LOGIN)) as sim:
        sim.put_image(APP)
        registry = open_registry(sim.host, login_for(sim.host))
        registry.log_in()
        registry.read_manifest("team/app", "1.0")
        shown = {each.path: each.headers.get("authorization", "").partition(" ")[0] for each in sim.requests}

    assert shown == {"/token": "Basic", "/v2/": "Bearer", "/v2/team/app/manifests/1.0": "Bearer"}


@pytest.mark.parametrize("member", ["token", "access_token"])
def test_a_token_that_ends_is_renewed_before_it_is_refused(member: str, tmp_path: Path) -> None:
    """By our own clock a token is replaced shortly before its end; no request is wasted on the old one."""
    tokens, hands = TokenServer(LOGIN, expires_in=300, member=member), Hands()
    with RegistrySimulator(tmp_path, tokens=tokens) as sim:
        sim.put_image(APP)
        registry = open_registry(sim.host, login_for(sim.host), hands)
        asked = []
        for seconds in (0, 269, 2):
            hands.time += seconds
            registry.read_manifest("team/app", "1.0")
            asked.append(len(tokens.requested))

        assert (asked, sim.count(status=401)) == ([1, 1, 2], 1)


def test_a_token_that_was_revoked_is_replaced_and_the_request_repeated(tmp_path: Path) -> None:
    """A 401 in the middle of a run costs one new token, for uploads with their body as well."""
    tokens = TokenServer(LOGIN)
    blob = APP.blobs[-1]
    with RegistrySimulator(tmp_path, tokens=tokens) as sim:
        registry = open_registry(sim.host, login_for(sim.host))
        registry.check_push("team/app")
        sim.fail("PUT", "/uploads/", status=401)
        outcome = registry.upload_blob("team/app", blob, lambda: iter([APP.contents[blob.digest]]))
        tokens.revoke_all()
        size = registry.blob_size("team/app", blob.digest)

        assert (outcome, size, sim.count("PUT")) == ("uploaded", blob.size, 2)


def test_tokens_that_are_never_good_enough_end_the_attempt(tmp_path: Path) -> None:
    """Where every token is refused the request is made twice, not for ever."""
    tokens = TokenServer(LOGIN)
    tokens.withhold("team/app", "push")
    with RegistrySimulator(tmp_path, tokens=tokens) as sim:
        registry = open_registry(sim.host, login_for(sim.host))
        with pytest.raises(DeniedError, match="cannot push to team/app: 401"):
            registry.check_push("team/app")

        assert (sim.count("POST"), len(tokens.requested)) == (2, 1)


def test_a_wrong_password_is_told_and_shown_to_the_token_server_once(tmp_path: Path) -> None:
    """Accounts lock after a few wrong passwords: one attempt is enough to know."""
    tokens = TokenServer(LOGIN)
    with RegistrySimulator(tmp_path, tokens=tokens) as sim:
        registry = open_registry(sim.host, Credentials.of([(sim.host, "courier", "canary-wrong")]))
        with pytest.raises(DeniedError, match="cannot get a token: 401") as caught:
            registry.log_in()

    assert (len(tokens.requested), "canary" in str(caught.value)) == (1, False)
    assert "user name and password" in (caught.value.hint or "")


def test_a_wrong_password_is_shown_to_a_basic_registry_once(tmp_path: Path) -> None:
    """With basic authentication, too, the same wrong password is not sent again."""
    with RegistrySimulator(tmp_path, login=LOGIN) as sim:
        registry = open_registry(sim.host, Credentials.of([(sim.host, "courier", "canary-wrong")]))
        with pytest.raises(DeniedError, match="401") as caught:
            registry.log_in()

        assert (len([each for each in sim.requests if each.had_authorization]), len(sim.requests)) == (1, 2)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_a_missing_login_is_told(kind: str, tmp_path: Path) -> None:
    """A registry that wants a login where there is none says whose is missing, and how to give it."""
    access = {"login": LOGIN} if kind == "basic" else {"tokens": TokenServer(LOGIN)}
    with RegistrySimulator(tmp_path, **access) as sim, pytest.raises(DeniedError) as caught:
        open_registry(sim.host).log_in()

    assert f"there are no credentials for {sim.host}" in (caught.value.hint or "")


def test_a_refusal_without_a_login_says_that_there_is_none(tmp_path: Path) -> None:
    """An anonymous token is often given for what it does not open: the missing login is named, not a wrong one."""
    with (
        RegistrySimulator(tmp_path, tokens=TokenServer(LOGIN, anonymous=True)) as sim,
        pytest.raises(DeniedError, match="cannot push to team/app: 401") as caught,
    ):
        open_registry(sim.host).check_push("team/app")

    assert f"there are no credentials for {sim.host}" in (caught.value.hint or "")


def test_a_scope_that_is_only_an_example_is_not_asked_for() -> None:
    """Some registries name a made-up repository at their root; a login that needs none asks for none."""
    queries: list[str] = []

    def respond(request: Request) -> Answer:
        path, _, query = request.target.partition("?")
        if path == "/token":
            queries.append(query)
            return GOOD
        challenge = f'Bearer realm="http://{request.headers["host"]}/token",scope="repository:user/image:pull"'
        known = request.headers.get("authorization") == "Bearer good"
        return Answer(200 if known else 401, (("WWW-Authenticate", challenge),))

    with HttpFaults(respond) as server:
        open_registry(server.host).log_in()

    assert queries == [""]


def test_a_scope_that_the_registry_wants_beyond_ours_comes_first() -> None:
    """What a registry asks for besides is asked for, before ours, for this request and not for others."""
    seen: list[list[str]] = []

    def respond(request: Request) -> Answer:
        path, _, query = request.target.partition("?")
        if path == "/token":
            seen.append(parse_qs(query)["scope"])
            return GOOD
        if request.headers.get("authorization") == "Bearer good":
            return Answer(200, body=b'{"tags":[]}')
        challenge = f'Bearer realm="http://{request.headers["host"]}/token",scope="repository:base:pull"'
        return Answer(401, (("WWW-Authenticate", challenge),))

    with HttpFaults(respond) as server:
        registry = open_registry(server.host)
        registry.list_tags("team/app")
        registry.list_tags("team/tool")

    assert seen == [["repository:base:pull", "repository:team/app:pull"], ["repository:team/tool:pull"]]


def test_threads_share_one_token(tmp_path: Path) -> None:
    """Many threads that need the same token at once fetch it once."""
    tokens = TokenServer(LOGIN)
    with RegistrySimulator(tmp_path, tokens=tokens) as sim:
        sim.put_image(APP)
        registry = open_registry(sim.host, login_for(sim.host))
        registry.log_in()
        tokens.requested.clear()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: registry.read_manifest("team/app", "1.0"), range(16)))

    assert tokens.requested == [["repository:team/app:pull"]]


def test_a_mount_asks_for_both_repositories(tmp_path: Path) -> None:
    """A token for a mount covers the source as well, in one request."""
    tokens = TokenServer(LOGIN)
    blob = APP.blobs[-1]
    with RegistrySimulator(tmp_path, tokens=tokens) as sim:
        sim.put_image(APP)
        registry = open_registry(sim.host, login_for(sim.host))
        outcome = registry.upload_blob("team/copy", blob, lambda: iter([]), mount_from="team/app")

    assert (outcome, tokens.requested[-1]) == (
        "mounted",
        ["repository:team/copy:pull,push", "repository:team/app:pull"],
    )


def test_neither_passwords_nor_tokens_nor_upload_states_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At the most talkative level, through a login, an upload and a failure, nothing that lets one in is written."""
    blob, tokens = APP.blobs[-1], TokenServer(LOGIN)
    location = {"Location": "/v2/team/app/blobs/uploads/1?_state=canary"}
    with caplog.at_level(logging.DEBUG), RegistrySimulator(tmp_path, tokens=tokens) as sim:
        sim.reply("POST", "/uploads/", status=202, headers=location)
        sim.fail("PUT", "/uploads/", status=503)
        registry = open_registry(sim.host, login_for(sim.host))
        registry.log_in()
        registry.upload_blob("team/app", blob, lambda: iter([APP.contents[blob.digest]]))

    secrets = ("canary", ENCODED, *(f"token-{number + 1}" for number in range(len(tokens.requested))))
    assert "/v2/team/app/blobs/uploads/1" in caplog.text
    assert [secret for secret in secrets if secret in caplog.text] == []


# Token servers of all kinds


def bearer_registry(realm: str) -> Callable[[Request], Answer]:
    """A registry that takes the token `good`, from `realm`."""

    def respond(request: Request) -> Answer:
        if request.headers.get("authorization") == "Bearer good":
            return Answer(200, body=b"{}")
        challenge = f'Bearer realm="{realm}",service="the registry"'
        return Answer(401, (("WWW-Authenticate", challenge),), b"{}")

    return respond


GOOD = Answer(200, body=b'{"token":"good"}')


def test_an_identity_token_is_exchanged() -> None:
    """An identity token goes to the realm in a form, and never into a header or a URL."""
    with HttpFaults(lambda _: GOOD) as realm, HttpFaults(bearer_registry(f"{realm.url}/token")) as server:
        credential = Credential("<token>", SecretStr(""), SecretStr("canary-refresh"))
        open_registry(server.host, Credentials(lambda host, _: credential if host == server.host else None)).log_in()
        asked = realm.requests[0]

    assert (asked.method, asked.target, "authorization" in asked.headers) == ("POST", "/token", False)
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["refresh_token"],
        "service": ["the registry"],
        "client_id": ["edgelift"],
        "refresh_token": ["canary-refresh"],
    }


def test_a_token_server_that_knows_no_identity_tokens_gets_the_login() -> None:
    """Where the form is unknown, the token is asked for in the older way."""

    def old(request: Request) -> Answer:
        return GOOD if request.method == "GET" else Answer(404)

    with HttpFaults(old) as realm, HttpFaults(bearer_registry(f"{realm.url}/token")) as server:
        credential = Credential("courier", SecretStr("canary-password"), SecretStr("refresh"))
        open_registry(server.host, Credentials(lambda host, _: credential)).log_in()
        asked = [(each.method, each.headers.get("authorization")) for each in realm.requests]

    assert asked == [("POST", None), ("GET", f"Basic {ENCODED}")]


BAD_ANSWERS = {
    "no token": (Answer(body=b"{}"), "holds none"),
    "endless": (Answer(body=b" " * 2_000_000), "larger than"),
    "compressed": (Answer(headers=(("Content-Encoding", "gzip"),), body=b"x"), "compressed"),
    "a redirect": (Answer(302, (("Location", "http://169.254.169.254/latest/"),)), "302"),
    "an error that repeats the login": (Answer(400, body=f"bad {ENCODED} canary-password".encode()), "400"),
}


@pytest.mark.parametrize(("answer", "told"), BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_token_servers_that_give_no_token(answer: Answer, told: str) -> None:
    """Whatever a token server answers in place of a token ends as an error without our login in it."""
    with HttpFaults(lambda _: answer) as realm, HttpFaults(bearer_registry(f"{realm.url}/token")) as server:
        with pytest.raises(RegistryError, match=told) as caught:
            open_registry(server.host, login_for(server.host)).log_in()
        asked = len(realm.requests)

    assert (asked, "canary" in str(caught.value), ENCODED in str(caught.value)) == (1, False, False)


def test_a_token_server_that_is_busy_is_asked_again() -> None:
    """A 503 of the token server is retried like any other."""
    answers = iter([Answer(503), GOOD])
    with HttpFaults(lambda _: next(answers)) as realm, HttpFaults(bearer_registry(f"{realm.url}/token")) as server:
        open_registry(server.host, login_for(server.host)).log_in()

    assert len(realm.requests) == 2


def test_a_registry_that_says_only_at_its_root_what_it_wants() -> None:
    """Some registries answer 401 without a challenge; their root has it."""

    def respond(request: Request) -> Answer:
        if request.headers.get("authorization") == f"Basic {ENCODED}":
            return Answer(200, body=b'{"tags":["1.0"]}')
        return Answer(401, (("WWW-Authenticate", "Basic realm=x"),) if request.target == "/v2/" else ())

    with HttpFaults(respond) as server:
        tags = open_registry(server.host, login_for(server.host)).list_tags("team/app")

    assert tags == ("1.0",)


# Servers that are after our login

AFTER_OUR_LOGIN = {
    "another server": "http://127.0.0.2:{port}/token",
    "another server, cleverly written": "http://127.0.0.1@127.0.0.2:{port}/token",
    "the cloud's metadata": "http://169.254.169.254/token",
    "a file": "file:///etc/passwd",
}


@pytest.mark.parametrize("realm", AFTER_OUR_LOGIN.values(), ids=AFTER_OUR_LOGIN)
def test_a_realm_elsewhere_gets_no_byte_of_our_login(realm: str) -> None:
    """A registry cannot have its credentials sent to a server of another name; the error names that server."""
    with HttpFaults(lambda _: GOOD, address="127.0.0.2") as thief:
        realm = realm.format(port=thief.port)
        with HttpFaults(bearer_registry(realm)) as server, pytest.raises(RegistryError) as caught:
            open_registry(server.host, login_for(server.host)).log_in()

    assert (thief.connections, thief.received) == (0, 0)
    assert "/token" in str(caught.value) or "/etc/passwd" in str(caught.value)


def test_a_realm_elsewhere_may_give_anonymous_tokens() -> None:
    """Without a login there is nothing to steal: other names are asked, with no credentials."""
    with (
        HttpFaults(lambda _: GOOD, address="127.0.0.2") as realm,
        HttpFaults(bearer_registry(f"{realm.url}/token")) as server,
    ):
        open_registry(server.host).log_in()

    assert [("authorization" in each.headers) for each in realm.requests] == [False]


def test_a_realm_out_of_tls_is_not_asked(tmp_path: Path) -> None:
    """A registry with TLS cannot have its credentials sent in plain text."""
    authority = Authority(tmp_path)
    with (
        HttpFaults(lambda _: GOOD) as plain,
        HttpFaults(bearer_registry(f"{plain.url}/token"), authority.issue("127.0.0.1")) as server,
    ):
        settings = TransportSettings(ca_cert=authority.ca_cert)
        with pytest.raises(RegistryError, match="leaves TLS"):
            Registry(server.host, settings, login_for(server.host), clock=Hands().clock).log_in()

    assert plain.connections == 0


def test_a_login_is_not_shown_to_another_port() -> None:
    """Credentials of one port of a host are not those of another."""
    challenge = Answer(401, (("WWW-Authenticate", "Basic realm=x"),))
    with (
        HttpFaults(lambda _: challenge) as mine,
        HttpFaults(lambda _: challenge) as other,
        pytest.raises(DeniedError),
    ):
        open_registry(other.host, login_for(mine.host)).log_in()

    assert [("authorization" in each.headers) for each in other.requests] == [False]


# Logins of machines

MACHINES = {
    "a Google key over many lines": (
        "_json_key",
        '{\n  "private_key": "-----BEGIN\\nMII+/=:canary",\n  "type": "x"\n}',
    ),
    "a robot of Harbor": ("robot$edge+courier", "canary: $%2B+/=?&#'\"\\ä"),
}


@pytest.mark.parametrize(("username", "password"), MACHINES.values(), ids=MACHINES)
@pytest.mark.parametrize("is_token", [False, True], ids=["basic", "token"])
def test_logins_of_machines_get_in(username: str, password: str, is_token: bool, tmp_path: Path) -> None:
    """User names and passwords with every kind of character arrive as they are, at a registry or its token server."""
    login = Login(username, password)
    who = {"tokens": TokenServer(login)} if is_token else {"login": login}
    with RegistrySimulator(tmp_path, **who) as sim:  # type: ignore[arg-type]  # one of the two
        open_registry(sim.host, Credentials.of([(sim.host, username, password)])).check_push("team/app")


@pytest.mark.parametrize(("username", "password"), MACHINES.values(), ids=MACHINES)
def test_logins_of_machines_are_not_repeated_by_messages(username: str, password: str) -> None:
    """A server that quotes what it was sent does not get it into our errors, whatever characters are in it."""

    def respond(request: Request) -> Answer:
        if "authorization" not in request.headers:
            return Answer(401, (("WWW-Authenticate", "Basic realm=x"),))
        message = f"no entry for {password} ({request.headers['authorization']})"
        return Answer(403, body=json.dumps({"errors": [{"code": "DENIED", "message": message}]}).encode())

    with HttpFaults(respond) as server, pytest.raises(DeniedError, match="403 DENIED") as caught:
        open_registry(server.host, Credentials.of([(server.host, username, password)])).log_in()

    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("error", [RegistryError("AWS gives none"), ConfigurationError("the helper failed")])
def test_a_login_that_cannot_be_had_does_not_hide_a_refusal(error: EdgeliftError, tmp_path: Path) -> None:
    """What a registry says to somebody unknown is told, and not what went wrong when a hint was looked for."""

    def find(host: str, repository: str) -> Credential | None:
        raise error

    with RegistrySimulator(tmp_path) as sim:
        sim.deny("/manifests/")
        with pytest.raises(DeniedError, match=f"{sim.host}: cannot read team/app:1.0: 403"):
            open_registry(sim.host, Credentials(find)).read_manifest("team/app", "1.0")
