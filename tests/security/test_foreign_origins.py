"""Credentials stay at home: a registry that is after them sends every request elsewhere, and elsewhere hears none.

Home is the configured registry and the token server that belongs to it. Everything else is foreign: another address,
another port of the same address, another server with a certificate that we trust. What foreign servers hear is kept
to the byte, and the bytes of credentials in it are counted: `pytest tests/security/test_foreign_origins.py -rP`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from edgelift.oci.credentials import Credential
from edgelift.store.local import LocalStore
from tests.certificates import Authority
from tests.security.canaries import IDENTITY_LOGIN, LOGIN, PASSWORD, USERNAME, credential_bytes
from tests.security.foreign import Listener, asks, bounces, serves
from tests.security.hostile_registry import HostileRegistry, Kind, Lure
from tests.security.operations import OPERATIONS, THERE, Desk, fill, open_registry, perform
from tests.simulators.http_faults import Answer, Request

LOGINS: dict[Kind, Credential] = {"basic": LOGIN, "bearer": LOGIN, "identity": IDENTITY_LOGIN}
Manner = Callable[[Request], Answer]
# Each kind of login with each foreign server, and each manner of those, at least once; not all with all, for time.
VISITS: dict[Kind, tuple[tuple[str, Manner], ...]] = {
    "basic": (
        ("another port", asks),
        ("another host", asks),
        ("another host", serves),
        ("another host", bounces),
        ("another host over TLS", serves),
    ),
    "bearer": (("another host", serves), ("another port", bounces)),
    "identity": (("another host", asks), ("another host over TLS", bounces)),
}
REALMS: tuple[Lure, ...] = ("token realm", "late realm", "token redirect")
FOLLOWED: tuple[Lure, ...] = ("redirect", "upload location", "chunk location")  # without credentials
IGNORED: tuple[Lure, ...] = ("next page", "layer urls")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority behind every certificate here; the clients trust it."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def few_authorities(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own authorities take a twentieth of a second to load, for each of a thousand clients."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_cert))
    monkeypatch.setenv("SSL_CERT_DIR", str(authority.ca_cert.parent / "none"))


@pytest.fixture(scope="module")
def full_store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """A store that holds the image to be pushed, and the manifests of the one to be copied."""
    return fill(LocalStore(tmp_path_factory.mktemp("full")))


@pytest.fixture
def foreign(authority: Authority) -> Iterator[dict[str, Listener]]:
    """Three foreign servers, by what is foreign about them."""
    certificate = authority.issue("127.0.0.2")
    with ExitStack() as servers:
        yield {
            "another port": servers.enter_context(Listener()),
            "another host": servers.enter_context(Listener(address="127.0.0.2")),
            "another host over TLS": servers.enter_context(Listener(address="127.0.0.2", certificate=certificate)),
        }


def visit(hostile: HostileRegistry, home: Listener, full: LocalStore, folder: Path, ca_cert: Path) -> None:
    """Do everything that a client does, each with a fresh client."""
    home.respond = hostile.respond
    folder.mkdir(exist_ok=True)
    for name in OPERATIONS:
        is_tls = home.certificate is not None
        registry = open_registry(home.host, LOGINS[hostile.kind], ca_cert=ca_cert, tls=is_tls)
        perform(Desk(registry, full, folder), name)
        registry.close()


def tell(case: str, seen: Mapping[str, int], at_home: int) -> None:
    """Print the figure that all this is about."""
    count = f"bytes of credentials seen by foreign origins: {sum(seen.values())}; at home: {at_home:,}"
    print(f"{case}: {count}")  # noqa: T201 - pytest shows it when asked


@pytest.mark.parametrize("kind", LOGINS)
@pytest.mark.parametrize("lure", [*REALMS, *FOLLOWED, *IGNORED])
def test_no_byte_of_a_credential_leaves_home(  # noqa: PLR0917 - fixtures
    lure: Lure,
    kind: Kind,
    foreign: dict[str, Listener],
    authority: Authority,
    full_store: LocalStore,
    tmp_path: Path,
) -> None:
    """Whatever a registry over plain HTTP does with those that it has let in, no other server sees what let them in."""
    with Listener() as home:
        for place, manner in VISITS[kind]:
            if place == "another port" and lure in REALMS:
                continue  # a token server at another port of the registry's own host is taken as its own
            foreign[place].respond = manner
            hostile = HostileRegistry(THERE, kind, lure, foreign[place].url)
            visit(hostile, home, full_store, tmp_path / "desk", authority.ca_cert)
        seen = {place: credential_bytes(bytes(listener.heard)) for place, listener in foreign.items()}
        reached = {place: listener.connections for place, listener in foreign.items()}
        at_home = credential_bytes(bytes(home.heard))

    tell(f"{lure}, {kind}", seen, at_home)
    assert seen == dict.fromkeys(foreign, 0)
    assert (sum(reached.values()) > 0) == (lure in FOLLOWED)
    assert (at_home > 0) == (lure != "token realm")  # who is asked to log in elsewhere at once shows nothing at all


@pytest.mark.parametrize("lure", [*REALMS, *FOLLOWED, *IGNORED])
def test_a_registry_with_tls_leads_nobody_out_of_it(
    lure: Lure, foreign: dict[str, Listener], authority: Authority, full_store: LocalStore, tmp_path: Path
) -> None:
    """From a registry with TLS, servers without get no connection at all, and the one with TLS no credential."""
    with Listener(certificate=authority.issue("127.0.0.1")) as home:
        for place, listener in foreign.items():
            if place == "another port":
                continue
            listener.respond = serves
            hostile = HostileRegistry(THERE, "basic", lure, listener.url)
            visit(hostile, home, full_store, tmp_path / "desk", authority.ca_cert)
        heard = {place: credential_bytes(bytes(listener.heard)) for place, listener in foreign.items()}
        at_home = credential_bytes(bytes(home.heard))

    tell(f"{lure}, TLS", heard, at_home)
    assert heard == dict.fromkeys(foreign, 0)
    assert foreign["another host"].connections == 0
    assert (foreign["another host over TLS"].connections > 0) == (lure in FOLLOWED)


def test_what_is_counted_is_there_to_be_counted() -> None:
    """The count finds a login, a cookie and a secret in a body when they are sent: it cannot be 0 by itself."""
    with Listener() as server, httpx.Client(trust_env=False) as client:
        client.get(server.url, auth=(USERNAME, "x"), headers={"cookie": "a=b"})
        of_headers = credential_bytes(bytes(server.heard))
        client.put(server.url, content=f"password={PASSWORD}".encode())
        of_body = credential_bytes(bytes(server.heard)) - of_headers

    assert of_headers == len("Basic Y291cmllcjp4") + len("a=b")
    assert of_body == len(PASSWORD.encode())
