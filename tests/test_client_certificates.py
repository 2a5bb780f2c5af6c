"""Client certificates and certificates by host, against servers over real TLS that ask for them."""

import os
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization

from edgelift.access import open_registries, transport_settings
from edgelift.errors import ConfigurationError, EdgeliftError, UnreachableError
from edgelift.oci.credentials import Credentials
from edgelift.oci.registry import Registry
from edgelift.site import RegistryAccess
from edgelift.transport import ClientCertificate, TransportSettings, open_client
from tests.certificates import Authority, ServerCertificate
from tests.oci.clocks import Hands
from tests.simulators.http_faults import Answer, HttpFaults, Request


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that signs servers and clients."""
    folder = tmp_path / "authority"
    folder.mkdir()
    return Authority(folder)


def demanding(authority: Authority, *, demands: bool = True, **options: object) -> HttpFaults:
    """A server that asks every client for a certificate of `authority`."""
    return HttpFaults(
        certificate=authority.issue("127.0.0.1"),
        client_authority=authority.ca_cert,
        demands_certificate=demands,
        **options,  # type: ignore[arg-type]  # its own fields
    )


def shown_by(authority: Authority, issued: ServerCertificate | None = None) -> ClientCertificate:
    """A certificate for us."""
    issued = issued or authority.issue("courier")
    return ClientCertificate.read(issued.cert, issued.key)


def lay_out(folder: Path, host: str, authority: Authority | None, issued: ServerCertificate | None) -> Path:
    """A folder of certificates for `host` as Docker keeps them."""
    own = folder / host
    own.mkdir(parents=True)
    if authority is not None:
        (own / "ca.crt").write_bytes(authority.ca_cert.read_bytes())
    if issued is not None:
        (own / "client.cert").write_bytes(issued.cert.read_bytes())
        (own / "client.key").write_bytes(issued.key.read_bytes())
    return folder


# Showing one


def test_a_server_that_demands_a_certificate_gets_it(authority: Authority) -> None:
    """The certificate in the settings is shown to the host of the client."""
    settings = TransportSettings(ca_cert=authority.ca_cert, client_certificate=shown_by(authority))
    with demanding(authority) as server, open_client(settings, server.host) as client:
        status = client.get(server.url).status_code

    assert (status, server.shown) == (200, [True])


def test_certificates_by_host_are_found(authority: Authority, tmp_path: Path) -> None:
    """`HOST:PORT/ca.crt`, `client.cert` and `client.key`, as Docker reads them, are trusted and shown there."""
    with demanding(authority) as server:
        folder = lay_out(tmp_path / "certs.d", server.host, authority, authority.issue("courier"))
        with open_client(TransportSettings(certs_dir=folder), server.host) as client:
            status = client.get(server.url).status_code

    assert (status, server.shown) == (200, [True])


def test_an_authority_by_host_is_trusted_there_only(authority: Authority, tmp_path: Path) -> None:
    """A private authority of one host vouches for no other."""
    with demanding(authority, demands=False) as home, demanding(authority, demands=False) as other:
        folder = lay_out(tmp_path / "certs.d", home.host, authority, None)
        with open_client(TransportSettings(certs_dir=folder), home.host) as client:
            assert client.get(home.url).status_code == 200
            with pytest.raises(httpx.ConnectError):
                client.get(other.url)

    assert other.requests == []


def test_nothing_is_shown_where_nothing_is_asked_for(authority: Authority) -> None:
    """A client certificate changes nothing at a server that wants none."""
    settings = TransportSettings(ca_cert=authority.ca_cert, client_certificate=shown_by(authority))
    with (
        HttpFaults(certificate=authority.issue("127.0.0.1")) as server,
        open_client(settings, server.host) as client,
    ):
        assert client.get(server.url).status_code == 200

    assert server.shown == [False]


# To nobody else


@pytest.mark.parametrize("way", ["settings", "folder"])
def test_a_foreign_server_is_shown_nothing(way: str, authority: Authority, tmp_path: Path) -> None:
    """A redirect or a token realm that asks for a certificate, even one of the same authority, does not get ours."""
    with demanding(authority) as home, demanding(authority, demands=False) as other:
        settings = TransportSettings(ca_cert=authority.ca_cert, client_certificate=shown_by(authority))
        if way == "folder":
            folder = lay_out(tmp_path / "certs.d", home.host, authority, authority.issue("courier"))
            settings = TransportSettings(ca_cert=authority.ca_cert, certs_dir=folder)
        with open_client(settings, home.host) as client:
            client.get(home.url)
            client.get(other.url)
            client.get(home.url)

    assert (home.shown, other.shown) == ([True], [False])


@pytest.mark.parametrize("sends", ["redirect", "realm"])
def test_a_registry_cannot_send_the_certificate_elsewhere(sends: str, authority: Authority) -> None:
    """The whole client, following a redirect or asking a token server, shows it to the registry alone."""
    with demanding(authority, demands=False) as other:

        def respond(request: Request) -> Answer:
            if sends == "redirect" and "/manifests/" in request.target:
                return Answer(307, headers=(("Location", f"{other.url}/elsewhere"),))
            if sends == "realm" and "authorization" not in request.headers:
                return Answer(401, headers=(("WWW-Authenticate", f'Bearer realm="{other.url}/token",service="s"'),))
            return Answer(body=b"{}")

        with demanding(authority, respond=respond) as home:
            settings = TransportSettings(ca_cert=authority.ca_cert, client_certificate=shown_by(authority), attempts=1)
            registry = Registry(home.host, settings, Credentials(), clock=Hands().clock)
            with pytest.raises(EdgeliftError):  # a redirect to no manifest, a realm without a token
                registry.read_manifest("team/app", "1.0")
            registry.close()

    assert (set(home.shown), set(other.shown)) == ({True}, {False})


# What goes wrong


def test_a_missing_certificate_is_named(authority: Authority) -> None:
    """A server that wants one says so in an alert, and we in words, with the way to give one; it is not tried again."""
    hands = Hands()
    with demanding(authority) as server:
        registry = Registry(server.host, TransportSettings(ca_cert=authority.ca_cert), Credentials(), clock=hands.clock)
        with pytest.raises(UnreachableError, match="wants a client certificate") as caught:
            registry.log_in()
        registry.close()

    assert "--cert-dir" in str(caught.value.hint)
    assert (server.requests, hands.slept, caught.value.retryable) == ([], [], False)


def test_a_certificate_of_a_stranger_is_named(authority: Authority, tmp_path: Path) -> None:
    """A certificate that the server does not accept is told apart from none."""
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    settings = TransportSettings(ca_cert=authority.ca_cert, client_certificate=shown_by(Authority(stranger, "other")))
    with demanding(authority) as server:
        registry = Registry(server.host, settings, Credentials(), clock=Hands().clock)
        with pytest.raises(UnreachableError, match="does not accept our client certificate"):
            registry.log_in()
        registry.close()


def encrypt(key: Path) -> None:
    """Protect the private key in the file `key` with a passphrase."""
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"canary")
    key.write_bytes(loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))


def test_an_encrypted_key_is_named(authority: Authority, tmp_path: Path) -> None:
    """Nobody is asked for a passphrase: the error says whose key it is, and how to store it instead."""
    issued = authority.issue("courier")
    encrypt(issued.key)
    with demanding(authority) as server:
        folder = lay_out(tmp_path / "certs.d", server.host, authority, issued)
        with (
            open_client(TransportSettings(certs_dir=folder), server.host) as client,
            pytest.raises(ConfigurationError, match=r"client\.cert is encrypted") as caught,
        ):
            client.get(server.url)

    assert "without a passphrase" in str(caught.value.hint)


def test_a_key_that_belongs_to_another_is_named(authority: Authority, tmp_path: Path) -> None:
    """Certificate and key have to be a pair."""
    mixed = ServerCertificate(authority.issue("one").cert, authority.issue("two").key)
    with demanding(authority) as server:
        folder = lay_out(tmp_path / "certs.d", server.host, authority, mixed)
        with (
            open_client(TransportSettings(certs_dir=folder), server.host) as client,
            pytest.raises(ConfigurationError, match=r"client\.cert and its key do not belong together"),
        ):
            client.get(server.url)


def test_a_certificate_without_a_key_is_named(authority: Authority, tmp_path: Path) -> None:
    """Half of a pair is a mistake, not a reason to come without."""
    with demanding(authority) as server:
        folder = lay_out(tmp_path / "certs.d", server.host, authority, authority.issue("courier"))
        (folder / server.host / "client.key").unlink()
        with (
            open_client(TransportSettings(certs_dir=folder), server.host) as client,
            pytest.raises(ConfigurationError, match=r"cannot read .*client\.key"),
        ):
            client.get(server.url)


def test_keys_are_shown_nowhere(authority: Authority, tmp_path: Path) -> None:
    """Settings can be printed, and no copy of the key stays behind."""
    issued = authority.issue("courier")
    settings = TransportSettings(ca_cert=authority.ca_cert, client_certificate=shown_by(authority, issued))
    before = set(Path(os.environ.get("TMPDIR", "/tmp")).iterdir())
    with demanding(authority) as server, open_client(settings, server.host) as client:
        client.get(server.url)

    assert "PRIVATE KEY" not in repr(settings) + repr(settings.client_certificate)
    left = [path for path in Path(os.environ.get("TMPDIR", "/tmp")).iterdir() if path not in before and path.is_file()]
    assert [path for path in left if b"PRIVATE KEY" in path.read_bytes()] == []


# By the settings of a run


def test_the_access_leads_to_the_folder(authority: Authority, tmp_path: Path) -> None:
    """`certs_dir` of the access serves every registry that has a folder there."""
    with demanding(authority) as server:
        folder = lay_out(tmp_path / "certs.d", server.host, authority, authority.issue("courier"))
        access = RegistryAccess(docker_config=False, certs_dir=str(folder))
        with open_registries(access) as connections:
            connections.registry(server.host).log_in()

    assert server.shown == [True]


def test_insecure_hosts_are_the_only_ones(authority: Authority) -> None:
    """Naming one host as insecure leaves the others' certificates checked."""
    with demanding(authority, demands=False) as named, demanding(authority, demands=False) as other:
        access = RegistryAccess(docker_config=False, insecure_hosts=(named.host,))
        assert transport_settings(access).insecure_hosts == {named.host}
        with open_registries(access) as connections:
            connections.registry(named.host).log_in()
            with pytest.raises(UnreachableError, match="not trusted"):
                connections.registry(other.host).log_in()

    assert ("/v2/" in [request.target for request in named.requests], other.requests) == (True, [])
