"""HTTP for the whole library: the `httpx` API, carried by `urllib3`.

What it is: TLS, proxies, time-outs, the connection pool, and the guard on the addresses that a server can send us to.
What it is not: retries, credentials and redirects, which belong to the clients that know their protocol.
"""

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path

import httpx
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.connection import create_connection

from edgelift.addresses import (
    DEFAULT_PORTS,
    is_address,
    is_listed,
    is_loopback,
    may_send,
    means,
    resolve_addresses,
    split_host,
)
from edgelift.errors import ConfigurationError

READ_SIZE = 256 * 1024  # bytes; larger reads fall out of the processor's cache
_CONNECTIONS = 32  # kept open to one host; more are made, and closed after use, when more threads ask
Resolve = Callable[[str, int], list[str]]


@dataclass(frozen=True)
class TransportSettings:
    """How servers are reached. Hosts are written as in references: `registry.example.com`, `10.0.0.5:5000`.

    `ca_cert` is trusted besides what the system trusts. `insecure` leaves the certificate of the host a client is
    opened for unchecked, `insecure_hosts` those of the hosts named, wherever they are met. `plain_http` names hosts
    spoken to without TLS; loopback needs no naming. `trusted_realms` names token servers that get a registry's
    credentials although their names have nothing in common. `no_proxy` lists hosts, domains and networks that are
    reached without the `proxy`, as this machine always is. Time-outs are in seconds; `idle_timeout` is the longest
    silence.
    """

    ca_cert: Path | None = None
    insecure: bool = False
    insecure_hosts: frozenset[str] = frozenset()
    plain_http: frozenset[str] = frozenset()
    trusted_realms: frozenset[str] = frozenset()
    proxy: str | None = field(default=None, repr=False)
    no_proxy: tuple[str, ...] = ()
    connect_timeout: float = 10.0
    idle_timeout: float = 60.0

    @property
    def named_hosts(self) -> frozenset[str]:
        """Every host that the caller named: reachable wherever it is."""
        return self.insecure_hosts | self.plain_http | self.trusted_realms


class ForbiddenAddressError(httpx.ConnectError):
    """A server sent us to an address that it has no business with."""


def open_client(settings: TransportSettings, host: str, *, resolve: Resolve | None = None) -> httpx.Client:
    """A client for `host` and for where `host` sends us; safe to share between threads.

    It follows no redirect, keeps no cookie, reads no environment and refuses compressed answers. `resolve` gives the
    addresses of a host and port. A certificate file that cannot be used raises `ConfigurationError` at the first
    request over TLS.
    """
    for name in ("httpx", "urllib3.connectionpool", "urllib3.connection"):
        logging.getLogger(name).addFilter(_hide_queries)
    return httpx.Client(
        transport=Transport(settings, host, resolve or resolve_addresses),
        trust_env=False,
        follow_redirects=False,
        cookies=httpx.Cookies(CookieJar(DefaultCookiePolicy(allowed_domains=[]))),
        headers={"accept-encoding": "identity", "user-agent": "edgelift"},
        timeout=httpx.Timeout(settings.idle_timeout),
    )


class Transport(httpx.BaseTransport):
    """Carries the requests of one client."""

    def __init__(self, settings: TransportSettings, host: str, resolve: Resolve) -> None:
        self._settings = settings
        self._host = host
        self._guard = _Guard(settings, host, resolve)
        self._pools: dict[tuple[str, bool, bool], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request` once; raises `httpx` errors only."""
        settings = self._settings
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        read_timeout = request.extensions.get("timeout", {}).get("read", settings.idle_timeout)
        try:
            response = self._pool(request.url).urlopen(
                request.method,
                str(request.url),
                body=request.stream if has_body else None,
                headers=urllib3.HTTPHeaderDict(request.headers.multi_items()),
                timeout=urllib3.Timeout(connect=settings.idle_timeout, read=read_timeout),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise _translate(error) from error
        encoding = response.headers.get("content-encoding", "identity")
        if encoding.strip().lower() != "identity" and request.method != "HEAD":
            response.close()
            raise httpx.DecodingError(f"a compressed answer ({encoding[:40]!r}), which was not asked for")
        return httpx.Response(response.status, headers=list(response.headers.items()), stream=_Body(response))

    def close(self) -> None:
        """Close the connections that are not in use."""
        for pools in self._pools.values():
            pools.clear()

    def _pool(self, url: httpx.URL) -> urllib3.PoolManager:
        """The connections for `url`: with TLS verified or not, through the proxy or not."""
        name, port = host_and_port(url)
        verified = not self._is_insecure(name, port)
        is_direct = is_loopback(name) or is_listed(name, port, self._settings.no_proxy)
        proxied = self._settings.proxy is not None and not is_direct
        if proxied and is_address(name):
            self._guard.check(name, port, [name])  # a name is resolved by the proxy, where we cannot see it
        key = (url.scheme, verified, proxied)
        with self._lock:
            if key not in self._pools:
                context = _tls_context(self._settings.ca_cert, verified=verified) if url.scheme == "https" else None
                self._pools[key] = _open_pool(self._settings.proxy if proxied else None, context)
                self._pools[key].pool_classes_by_scheme = self._guard.pool_classes()
            return self._pools[key]

    def _is_insecure(self, name: str, port: int) -> bool:
        hosts = {*self._settings.insecure_hosts, *({self._host} if self._settings.insecure else ())}
        return any(means(host, name, port) for host in hosts)


def host_and_port(url: httpx.URL) -> tuple[str, int]:
    """The host of `url` as it goes over the wire, and its port, which is the scheme's own where none is written."""
    return url.raw_host.decode("ascii").strip("[]"), url.port or DEFAULT_PORTS.get(url.scheme, 0)


class _Body(httpx.SyncByteStream):
    """A body in chunks as they arrive: what came before a reset is given before the reset is raised."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        try:
            while chunk := self._response.read1(READ_SIZE, decode_content=False):
                yield chunk
        except urllib3.exceptions.HTTPError as error:
            raise _translate(error) from error

    def close(self) -> None:
        if self._response.length_remaining == 0:
            self._response.drain_conn()  # nothing is left to read: the connection can serve again
            self._response.release_conn()
        else:
            self._response.close()


class _Guard:
    """Makes the connections, and none to an address that the host of the client may not send us to."""

    def __init__(self, settings: TransportSettings, host: str, resolve: Resolve) -> None:
        self._settings = settings
        self._host = host
        self._resolve = resolve

    def check(self, name: str, port: int, addresses: list[str]) -> None:
        """Raise `ForbiddenAddressError` unless the caller named the host, or its addresses are within reach."""
        if any(means(host, name, port) for host in (self._host, *self._settings.named_hosts)):
            return
        home = split_host(self._host)
        if not may_send(self._resolve(home[0], home[1] or DEFAULT_PORTS["https"]), addresses):
            raise ForbiddenAddressError(f"{self._host} sends us to {name}, an address it has no business with")

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

        plain = type("GuardedConnection", (HTTPConnection,), {"_new_conn": new_conn})
        tls = type("GuardedTlsConnection", (HTTPSConnection,), {"_new_conn": new_conn})
        return {
            "http": type("GuardedPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("GuardedTlsPool", (HTTPSConnectionPool,), {"ConnectionCls": tls}),
        }


def _open_pool(proxy: str | None, context: ssl.SSLContext | None) -> urllib3.PoolManager:
    if proxy is None:
        return urllib3.PoolManager(maxsize=_CONNECTIONS, ssl_context=context)
    url = httpx.URL(proxy)
    login = f"{url.username}:{url.password}" if url.username else None
    headers = urllib3.make_headers(proxy_basic_auth=login)
    bare = str(url.copy_with(username="", password=""))
    return urllib3.ProxyManager(bare, proxy_headers=headers, maxsize=_CONNECTIONS, ssl_context=context)


def _tls_context(ca_cert: Path | None, *, verified: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verified:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # it was asked for
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif ca_cert is not None:
        try:
            context.load_verify_locations(ca_cert)
        except ssl.SSLError:
            raise ConfigurationError(f"{ca_cert} holds no certificate in PEM form") from None
        except OSError as error:
            raise ConfigurationError(f"cannot read {ca_cert}: {error.strerror}") from None
    return context


def _translate(error: urllib3.exceptions.HTTPError) -> httpx.TransportError:
    """The `httpx` error that says the same; the original stays its cause."""
    for theirs, ours in _TRANSLATIONS.items():
        if isinstance(error, theirs):
            return ours(str(error))
    return httpx.ReadError(str(error))


_TRANSLATIONS: dict[type[Exception], type[httpx.TransportError]] = {
    urllib3.exceptions.NewConnectionError: httpx.ConnectError,  # before what it is a kind of
    urllib3.exceptions.ConnectTimeoutError: httpx.ConnectTimeout,
    urllib3.exceptions.SSLError: httpx.ConnectError,
    urllib3.exceptions.ReadTimeoutError: httpx.ReadTimeout,
    urllib3.exceptions.ProxyError: httpx.ProxyError,
    urllib3.exceptions.ProtocolError: httpx.RemoteProtocolError,
}


def _hide_queries(record: logging.LogRecord) -> bool:
    """Both libraries log whole URLs, and queries hold signatures and upload states."""
    if isinstance(record.args, tuple):
        shown = (str(each) if isinstance(each, httpx.URL) else each for each in record.args)
        record.args = tuple(each.partition("?")[0] if isinstance(each, str) else each for each in shown)
    return True
