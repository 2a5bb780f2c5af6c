"""The transport: bodies, time-outs, TLS, proxies and addresses, against servers that misbehave on the wire."""

import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from edgelift.errors import ConfigurationError
from edgelift.transport import ForbiddenAddressError, TransportSettings, open_client
from tests.certificates import Authority
from tests.simulators.http_faults import Answer, HttpFaults, Request

BODY = bytes(range(256)) * 8192  # 2 MiB
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


def read_until_error(client: httpx.Client, url: str) -> tuple[bytes, type[Exception] | None]:
    """What arrived of the body at `url`, and how it ended."""
    received = b""
    try:
        with client.stream("GET", url) as response:
            for chunk in response.iter_raw():
                received += chunk
    except httpx.HTTPError as error:
        return received, type(error)
    return received, None


BROKEN_BODIES = {
    "reset": (Answer(body=BODY[:1_000_000], length=len(BODY), ending="reset"), BODY[:1_000_000]),
    "ended early": (Answer(body=BODY[:1_000_000], length=len(BODY), ending="close"), BODY[:1_000_000]),
    "chunks without an end": (Answer(raw=CHUNKED, ending="close"), b"hello"),
    "a chunk cut in its middle": (Answer(raw=CHUNKED + b"9\r\nwor", ending="close"), b"hellowor"),
    "a chunk without a size": (Answer(raw=CHUNKED + b"zz\r\n", ending="close"), b"hello"),
}


@pytest.mark.parametrize(("answer", "arrived"), BROKEN_BODIES.values(), ids=BROKEN_BODIES)
def test_bytes_before_a_broken_end_are_given(answer: Answer, arrived: bytes) -> None:
    """Whatever arrived before a body broke is handed on, then the break is raised."""
    with HttpFaults(lambda _: answer) as server, open_client(TransportSettings(), server.host) as client:
        received, error = read_until_error(client, server.url)

    assert (received, error is not None and issubclass(error, httpx.TransportError)) == (arrived, True)


WHOLE_BODIES = {
    "with a length": Answer(body=BODY),
    "until the connection closes": Answer(body=BODY, length=None, ending="close"),
    "in chunks": Answer(raw=CHUNKED + b"0\r\n\r\n"),
    "empty": Answer(body=b""),
}


@pytest.mark.parametrize("answer", WHOLE_BODIES.values(), ids=WHOLE_BODIES)
def test_whole_bodies_are_given_whole(answer: Answer) -> None:
    """However a body is framed, all of it arrives and no error does."""
    with HttpFaults(lambda _: answer) as server, open_client(TransportSettings(), server.host) as client:
        received, error = read_until_error(client, server.url)

    assert (received, error) == (b"hello" if answer.raw else answer.body, None)


def test_connections_are_used_again() -> None:
    """Answers that are read to their end leave the connection for the next request, HEAD and 204 among them."""
    answers = iter([Answer(204, length=None), Answer(body=b"x"), Answer(raw=CHUNKED + b"0\r\n\r\n"), Answer(length=9)])
    with HttpFaults(lambda _: next(answers)) as server, open_client(TransportSettings(), server.host) as client:
        for method in ("GET", "GET", "GET", "HEAD"):
            client.request(method, server.url)
        used = {request.connection for request in server.requests}

    assert used == {1}


def test_a_body_is_sent_as_it_comes_with_its_length() -> None:
    """A body made on the way is sent with the length it was announced with, not in chunks."""
    with HttpFaults() as server, open_client(TransportSettings(), server.host) as client:
        client.put(server.url, content=iter([b"one", b"two"]), headers={"content-length": "6"})
        sent = server.requests[0]

    assert (sent.body, sent.headers["content-length"], "transfer-encoding" in sent.headers) == (b"onetwo", "6", False)


def test_an_answer_sent_before_the_body_was_taken_is_read() -> None:
    """A server that refuses a large upload early and hangs up is still heard."""

    def refuse(request: Request) -> Answer:
        return Answer(413, body=b"too large", ending="close")

    with HttpFaults(refuse) as server, open_client(TransportSettings(), server.host) as client:
        response = client.put(server.url, content=BODY, headers={"content-length": str(len(BODY))})

    assert (response.status_code, response.content) == (413, b"too large")


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip", "zstd"])
def test_compressed_answers_are_refused(encoding: str) -> None:
    """An answer that would have to be inflated is refused, and nothing of it is."""
    answer = Answer(headers=(("Content-Encoding", encoding),), body=b"not even looked at")
    with (
        HttpFaults(lambda _: answer) as server,
        open_client(TransportSettings(), server.host) as client,
        pytest.raises(httpx.DecodingError, match="compressed"),
    ):
        client.get(server.url)


def test_identity_is_what_is_asked_for() -> None:
    """Servers are told not to compress; `Content-Encoding: identity` is no compression."""
    answer = Answer(headers=(("Content-Encoding", "identity"),), body=b"plain")
    with HttpFaults(lambda _: answer) as server, open_client(TransportSettings(), server.host) as client:
        response = client.get(server.url)
        asked = server.requests[0].headers["accept-encoding"]

    assert (response.content, asked) == (b"plain", "identity")


def test_silence_in_a_body_ends_the_wait() -> None:
    """A server that stops sending is given up after the idle time-out, with what it sent before."""
    answer = Answer(body=b"some", length=100, ending="stall")
    settings = TransportSettings(idle_timeout=0.2)
    with HttpFaults(lambda _: answer) as server, open_client(settings, server.host) as client:
        started = time.monotonic()
        received, error = read_until_error(client, server.url)
        took = time.monotonic() - started

    assert (received, error, took < 10) == (b"some", httpx.ReadTimeout, True)


def test_silence_before_the_answer_ends_the_wait() -> None:
    """A server that takes a request and says nothing is given up after the idle time-out."""
    settings = TransportSettings(idle_timeout=0.2)
    with (
        HttpFaults(lambda _: Answer(raw=b"", ending="stall")) as server,
        open_client(settings, server.host) as client,
        pytest.raises(httpx.ReadTimeout),
    ):
        client.get(server.url)


def test_silence_in_a_tls_handshake_ends_the_wait() -> None:
    """A server that accepts the connection and never speaks TLS is given up after the connect time-out."""
    settings = TransportSettings(connect_timeout=0.2, idle_timeout=60)
    started = time.monotonic()
    with (
        HttpFaults(silent=True) as server,
        open_client(settings, server.host) as client,
        pytest.raises(httpx.TimeoutException),
    ):
        client.get(f"https://{server.host}/")

    assert time.monotonic() - started < 30


def test_a_slow_taker_of_an_upload_is_not_held_to_the_connect_timeout() -> None:
    """While a body is sent, silence counts by the idle time-out, not by the shorter one for connecting."""
    large = BODY * 12  # more than the sockets' buffers hold
    settings = TransportSettings(connect_timeout=0.2, idle_timeout=30)
    with HttpFaults(pause=0.5) as server, open_client(settings, server.host) as client:
        for _ in range(2):  # on a fresh connection, and on one that is used again
            client.put(server.url, content=iter([large]), headers={"content-length": str(len(large))})

    assert [len(request.body) for request in server.requests] == [len(large), len(large)]


def test_a_slow_line_has_time_for_a_large_piece() -> None:
    """A large body in one piece is sent bit by bit: progress counts, not the time that all of it takes."""
    large = BODY * 12
    settings = TransportSettings(idle_timeout=0.5)
    with HttpFaults(pace=0.05) as server, open_client(settings, server.host) as client:
        client.put(server.url, content=large, timeout=30)

    assert [request.body == large for request in server.requests] == [True]


def test_redirects_are_handed_on() -> None:
    """Where a redirect leads is for the caller to judge."""
    answer = Answer(302, headers=(("Location", "/elsewhere"),))
    with HttpFaults(lambda _: answer) as server, open_client(TransportSettings(), server.host) as client:
        response = client.get(server.url)

    assert (response.status_code, len(server.requests)) == (302, 1)


def test_cookies_are_not_kept() -> None:
    """A cookie is never sent back, to nobody."""
    answer = Answer(headers=(("Set-Cookie", "session=1; Path=/"),))
    with HttpFaults(lambda _: answer) as server, open_client(TransportSettings(), server.host) as client:
        client.get(server.url)
        client.get(server.url)

    assert ["cookie" in request.headers for request in server.requests] == [False, False]


def test_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a proxy in the environment nor a login in ~/.netrc is used."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with HttpFaults() as server, open_client(TransportSettings(), server.host) as client:
        client.get(server.url)

    assert "authorization" not in server.requests[0].headers


def test_queries_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """At the most talkative level neither library writes the query of a URL, which may be a signature."""
    with (
        caplog.at_level(logging.DEBUG),
        HttpFaults() as server,
        open_client(TransportSettings(), server.host) as client,
    ):
        client.get(f"{server.url}/blob?X-Amz-Signature=canary")

    assert ("/blob" in caplog.text, "canary" in caplog.text) == (True, False)


# TLS


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that this machine does not trust."""
    return Authority(tmp_path)


def test_an_unknown_authority_is_refused(authority: Authority) -> None:
    """Without being told to, a certificate of an unknown authority is not accepted."""
    with (
        HttpFaults(certificate=authority.issue("127.0.0.1")) as server,
        open_client(TransportSettings(), server.host) as client,
        pytest.raises(httpx.ConnectError),
    ):
        client.get(server.url)

    assert server.requests == []


TRUSTING: dict[str, Callable[[Authority, str], TransportSettings]] = {
    "its authority is named": lambda authority, host: TransportSettings(ca_cert=authority.ca_cert),
    "the host of the client is insecure": lambda authority, host: TransportSettings(insecure=True),
    "the host is named as insecure": lambda authority, host: TransportSettings(insecure_hosts=frozenset({host})),
}


@pytest.mark.parametrize("trust", TRUSTING.values(), ids=TRUSTING)
def test_a_certificate_is_accepted_where(
    trust: Callable[[Authority, str], TransportSettings], authority: Authority
) -> None:
    """Each way to accept an unknown certificate works."""
    with (
        HttpFaults(certificate=authority.issue("127.0.0.1")) as server,
        open_client(trust(authority, server.host), server.host) as client,
    ):
        assert client.get(server.url).status_code == 200


def test_insecure_is_for_the_clients_own_host_only(authority: Authority) -> None:
    """Leaving one host's certificate unchecked does not leave another's unchecked that it sends us to."""
    with (
        HttpFaults(certificate=authority.issue("127.0.0.1")) as home,
        HttpFaults(certificate=authority.issue("127.0.0.1")) as other,
        open_client(TransportSettings(insecure=True), home.host) as client,
        pytest.raises(httpx.ConnectError),
    ):
        client.get(other.url)

    assert other.requests == []


def test_a_certificate_for_another_host_is_refused(authority: Authority) -> None:
    """The right authority does not make up for the wrong name."""
    with (
        HttpFaults(certificate=authority.issue("registry.example.com")) as server,
        open_client(TransportSettings(ca_cert=authority.ca_cert), server.host) as client,
        pytest.raises(httpx.ConnectError),
    ):
        client.get(server.url)


UNUSABLE_CERTIFICATES = {"no such file": None, "not a certificate": "hello", "empty": ""}


@pytest.mark.parametrize("content", UNUSABLE_CERTIFICATES.values(), ids=UNUSABLE_CERTIFICATES)
def test_an_unusable_certificate_file_is_named(content: str | None, tmp_path: Path) -> None:
    """A file that holds no certificate is a mistake in the settings, told with its name."""
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content)
    client = open_client(TransportSettings(ca_cert=path), "registry.example.com")

    with pytest.raises(ConfigurationError, match=r"authority\.pem"):
        client.get("https://registry.example.com/")


# Addresses


def resolver(**addresses: str) -> Callable[[str, int], list[str]]:
    """Names as the test has them; `_` in a keyword stands for a dot."""
    table = {name.replace("_", "."): address for name, address in addresses.items()}

    def resolve(name: str, port: int) -> list[str]:
        return [table.get(name, name)]

    return resolve


def test_a_name_that_means_a_forbidden_address_is_not_connected_to() -> None:
    """The address counts that a name resolves to, not how it is written."""
    resolve = resolver(registry_example="127.0.0.1", storage_example="169.254.169.254")
    with (
        HttpFaults() as home,
        open_client(TransportSettings(), f"registry.example:{home.port}", resolve=resolve) as client,
        pytest.raises(ForbiddenAddressError, match=r"storage\.example"),
    ):
        client.get("http://storage.example/latest/meta-data/")


def test_a_public_registry_does_not_reach_this_machine() -> None:
    """A server that a public registry sends us to cannot be one on loopback; not a byte reaches it."""
    resolve = resolver(registry_example="93.184.216.34")
    with (
        HttpFaults() as local,
        open_client(TransportSettings(), "registry.example", resolve=resolve) as client,
        pytest.raises(ForbiddenAddressError),
    ):
        client.get(local.url)

    assert local.connections == 0


def test_a_host_that_the_caller_named_is_reached_wherever_it_is() -> None:
    """Naming a host in the settings is permission enough."""
    resolve = resolver(registry_example="93.184.216.34")
    with HttpFaults() as local:
        settings = TransportSettings(plain_http=frozenset({local.host}))
        with open_client(settings, "registry.example", resolve=resolve) as client:
            assert client.get(local.url).status_code == 200


def test_the_clients_own_host_is_reached_under_its_name() -> None:
    """The host that the client is for needs no permission, whatever its address."""
    resolve = resolver(registry_example="127.0.0.1")
    with HttpFaults() as server:
        host = f"registry.example:{server.port}"
        with open_client(TransportSettings(), host, resolve=resolve) as client:
            assert client.get(f"http://{host}/").status_code == 200


def test_a_name_that_nobody_knows_is_a_connect_error() -> None:
    """What the resolver does not know ends as an error of the client, not of the socket."""

    def resolve(name: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with (
        open_client(TransportSettings(), "registry.example", resolve=resolve) as client,
        pytest.raises(httpx.ConnectError),
    ):
        client.get("https://registry.example/")


# Proxies


def test_the_proxy_carries_requests_with_its_own_login() -> None:
    """A request for another machine goes to the proxy, which gets its login; the settings do not show it."""
    with HttpFaults(lambda _: Answer(body=b"by proxy")) as proxy:
        settings = TransportSettings(proxy=f"http://courier:canary@{proxy.host}")
        with open_client(settings, "registry.example") as client:
            response = client.get("http://registry.example/v2/")
        seen = proxy.requests[0]

    assert response.content == b"by proxy"
    assert (seen.target, seen.headers["proxy-authorization"]) == (
        "http://registry.example/v2/",
        "Basic Y291cmllcjpjYW5hcnk=",
    )
    assert "canary" not in repr(settings)


DIRECT = {"this machine": (), "a listed network": ("127.0.0.0/8",), "everything": ("*",)}


@pytest.mark.parametrize("no_proxy", DIRECT.values(), ids=DIRECT)
def test_the_proxy_is_left_out_for(no_proxy: tuple[str, ...]) -> None:
    """Hosts that are near are reached directly."""
    with HttpFaults() as proxy, HttpFaults() as server:
        settings = TransportSettings(proxy=proxy.url, no_proxy=no_proxy)
        with open_client(settings, server.host) as client:
            client.get(server.url)

    assert (len(proxy.requests), len(server.requests)) == (0, 1)


def test_a_proxy_is_not_asked_for_forbidden_addresses() -> None:
    """Where the proxy would resolve names itself, addresses as such are still refused."""
    with (
        HttpFaults() as proxy,
        open_client(TransportSettings(proxy=proxy.url), "registry.example") as client,
        pytest.raises(ForbiddenAddressError),
    ):
        client.get("http://169.254.169.254/latest/meta-data/")

    assert proxy.requests == []


@pytest.mark.parametrize("proxy", ["ftp://proxy.example", "http://", ""])
def test_an_unusable_proxy_is_a_mistake_in_the_settings(proxy: str) -> None:
    """A proxy's address that means nothing is told as such."""
    with (
        open_client(TransportSettings(proxy=proxy), "registry.example") as client,
        pytest.raises(ConfigurationError, match="proxy"),
    ):
        client.get("http://registry.example/")
