"""Connections: which addresses they may go to, how TLS is checked, and the pools that keep them."""

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import httpx
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.connection import create_connection
from urllib3.util.ssltransport import SSLTransport

from edgelift.addresses import DEFAULT_PORTS, may_send, means, split_host
from edgelift.errors import ConfigurationError
from edgelift.stopping import wake_at_stop
from edgelift.transport.certificates import HostCertificates
from edgelift.transport.settings import TransportSettings

_KEPT = 64  # connections to one host; more are made, and closed after use, when more threads ask

Resolve = Callable[[str, int], list[str]]


class ForbiddenAddressError(httpx.ConnectError):
    """A server sent us to an address that it has no business with."""


class Guard:
    """Makes the connections, and none to an address that the host of the client may not send us to."""

    def __init__(self, settings: TransportSettings, host: str, resolve: Resolve) -> None:
        self._settings = settings
        self._host = host
        self._resolve = resolve

    def check(self, name: str, port: int, addresses: list[str]) -> None:
        """Raise `ForbiddenAddressError` unless the caller named the host, or its addresses are within reach."""
        if any(means(host, name, port) for host in (self._host, *self._settings.named_hosts)):
            return
        if not may_send(self._own_addresses(), addresses):
            raise ForbiddenAddressError(f"{self._host} sends us to {name}, an address it has no business with")

    def _own_addresses(self) -> list[str]:
        name, port = split_host(self._host)
        try:
            return self._resolve(name, port or DEFAULT_PORTS["https"])
        except (socket.gaierror, UnicodeError):  # behind a proxy, names from outside need not be known
            return []

    def connect(self, connection: HTTPConnection) -> socket.socket:
        """A socket for `connection`, its address checked in the same breath as it is resolved."""
        name, port = connection.host, connection.port
        try:
            addresses = self._resolve(name, port)
            if connection.proxy is None:
                self.check(name, port, addresses)
        except (socket.gaierror, UnicodeError) as error:
            unknown = error if isinstance(error, socket.gaierror) else socket.gaierror(socket.EAI_NONAME, str(error))
            raise urllib3.exceptions.NameResolutionError(name, connection, unknown) from None
        return self._connect_to_first(addresses, connection)

    def _connect_to_first(self, addresses: list[str], connection: HTTPConnection) -> socket.socket:
        failure: OSError = OSError("no address")
        for address in addresses:
            try:
                end, patience = (address, connection.port), self._settings.connect_timeout
                opened = create_connection(end, patience, socket_options=connection.socket_options)
            except OSError as error:
                failure = error
                continue
            if not isinstance(connection, HTTPSConnection):  # else the handshake is still to come
                opened.settimeout(self._settings.idle_timeout)
            return opened
        if isinstance(failure, TimeoutError):
            raise urllib3.exceptions.ConnectTimeoutError(connection, "no connection in time") from failure
        raise urllib3.exceptions.NewConnectionError(connection, str(failure)) from failure

    def pool_classes(self) -> dict[str, type[HTTPConnectionPool]]:
        """Pools whose connections are made here: `urllib3` takes no argument for it, only classes."""

        def new_conn(connection: HTTPConnection) -> socket.socket:
            return self.connect(connection)

        def guarded(kind: type[HTTPConnection]) -> type[HTTPConnection]:
            def connect(connection: HTTPConnection) -> None:
                kind.connect(connection)
                wake_at_stop(_socket_of(connection))

            return type(f"Guarded{kind.__name__}", (kind,), {"_new_conn": new_conn, "connect": connect})

        return {
            "http": type("GuardedPool", (HTTPConnectionPool,), {"ConnectionCls": guarded(HTTPConnection)}),
            "https": type("GuardedTlsPool", (HTTPSConnectionPool,), {"ConnectionCls": guarded(HTTPSConnection)}),
        }


def _socket_of(connection: HTTPConnection) -> socket.socket:
    """The socket that is connected; that within, where TLS goes through a proxy that is reached by TLS."""
    connected: socket.socket | SSLTransport = connection.sock
    return connected.socket if isinstance(connected, SSLTransport) else connected


def open_pool(proxy: str | None, context: ssl.SSLContext | None) -> urllib3.PoolManager:
    """A pool of connections, through `proxy` if there is one; raises `ConfigurationError` where that is unusable."""
    if proxy is None:
        return urllib3.PoolManager(maxsize=_KEPT, ssl_context=context)
    try:
        url = httpx.URL(proxy if "://" in proxy else f"http://{proxy}")
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in DEFAULT_PORTS or not url.host:
        raise ConfigurationError("the proxy's address is unusable", hint="write it as http://HOST:PORT")
    login = urllib3.make_headers(proxy_basic_auth=f"{url.username}:{url.password}") if url.username else None
    bare = str(url.copy_with(username="", password=""))
    return urllib3.ProxyManager(bare, proxy_headers=login, maxsize=_KEPT, ssl_context=context)


def make_tls_context(ca_cert: Path | None, own: HostCertificates, *, verified: bool) -> ssl.SSLContext:
    """TLS as the system trusts it, and `ca_cert` besides, with what is the host's `own`.

    Raises `ConfigurationError` where one of the files is unusable.
    """
    context = ssl.create_default_context()
    if not verified:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # it was asked for
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    else:
        for authority in (*filter(None, [ca_cert]), *own.authorities):
            _trust(context, authority)
    for client in own.clients:
        client.load_into(context)
    return context


def _trust(context: ssl.SSLContext, authority: Path) -> None:
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError:
        raise ConfigurationError(f"{authority} holds no certificate in PEM form") from None
    except OSError as error:
        raise ConfigurationError(f"cannot read {authority}: {error.strerror}") from None
