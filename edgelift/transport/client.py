"""The client: `httpx` outside, `urllib3` inside, since its reader moves bodies three times as fast."""

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast

import httpx
import urllib3

from edgelift.addresses import DEFAULT_PORTS, is_address, is_listed, is_loopback, means, resolve_addresses
from edgelift.stopping import raise_if_stopped
from edgelift.transport.certificates import HostCertificates
from edgelift.transport.connections import Guard, Resolve, make_tls_context, open_pool
from edgelift.transport.patience import Patience
from edgelift.transport.settings import TransportSettings

READ_SIZE = 2**20  # bytes; with smaller reads threads spend more time on each other, with larger ones nothing is gained
SEND_SIZE = 256 * 1024  # bytes; each such piece gets the whole time-out, so that a large one needs no fast line


def open_client(settings: TransportSettings, host: str, *, resolve: Resolve | None = None) -> httpx.Client:
    """A client for `host` and for where `host` sends us; safe to share between threads.

    It follows no redirect, keeps no cookie, reads no environment and refuses compressed answers. `resolve` gives the
    addresses of a host and port. A certificate file that cannot be used raises `ConfigurationError` at the first
    request over TLS.
    """
    for name in ("httpx", "urllib3.connectionpool", "urllib3.connection"):
        logging.getLogger(name).addFilter(_hide_queries)
    return _Client(
        transport=Transport(settings, host, resolve or resolve_addresses),
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        headers={"accept-encoding": "identity", "user-agent": "edgelift"},
        timeout=httpx.Timeout(settings.idle_timeout),
    )


class _Client(httpx.Client):
    """Raises `httpx.HTTPError` alone: httpx looks where a redirect leads, and fails otherwise where that is no URL."""

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send `request`."""
        try:
            return super().send(request, **options)
        except (httpx.InvalidURL, UnicodeError):
            raise httpx.RemoteProtocolError("a redirect to what is no URL", request=request) from None


class Transport(httpx.BaseTransport):
    """Carries the requests of one client."""

    def __init__(self, settings: TransportSettings, host: str, resolve: Resolve) -> None:
        self._settings = settings
        self._host = host
        self._guard = Guard(settings, host, resolve)
        self._pools: dict[tuple[str, bool, bool, HostCertificates], urllib3.PoolManager] = {}
        self._routes: dict[tuple[str, str, int], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request` once; raises `httpx` errors, and `StoppedError`."""
        raise_if_stopped()
        settings = self._settings
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        read_timeout = request.extensions.get("timeout", {}).get("read", settings.idle_timeout)
        try:
            response = self._pool(request.url).urlopen(
                request.method,
                str(request.url),
                body=_pieces(request) if has_body else None,
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
        # As bytes, since they need not be ASCII: what `urllib3` read as Latin-1 goes back into it.
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]
        return httpx.Response(response.status, headers=headers, stream=_Body(response, Patience(settings)))

    def close(self) -> None:
        """Close the connections that are not in use."""
        for pools in self._pools.values():
            pools.clear()

    def _pool(self, url: httpx.URL) -> urllib3.PoolManager:
        """The connections for `url`; what is to be thought of is thought of once for each place."""
        place = (url.scheme, *host_and_port(url))
        with self._lock:
            if place not in self._routes:
                self._routes[place] = self._route(*place)
            return self._routes[place]

    def _route(self, scheme: str, name: str, port: int) -> urllib3.PoolManager:
        """The connections for a place: with TLS verified or not, through the proxy or not."""
        verified = not self._is_insecure(name, port)
        is_direct = is_loopback(name) or is_listed(name, port, self._settings.no_proxy)
        proxied = self._settings.proxy is not None and not is_direct
        if proxied and is_address(name):
            self._guard.check(name, port, [name])  # a name is resolved by the proxy, where we cannot see it
        own = self._certificates(name, port) if scheme == "https" else HostCertificates()
        key = (scheme, verified, proxied, own)
        if key not in self._pools:
            is_tls = scheme == "https"
            context = make_tls_context(self._settings.ca_cert, own, verified=verified) if is_tls else None
            self._pools[key] = open_pool(self._settings.proxy if proxied else None, context)
            self._pools[key].pool_classes_by_scheme = self._guard.pool_classes()
        return self._pools[key]

    def _certificates(self, name: str, port: int) -> HostCertificates:
        """What is to be trusted and shown at that host, and at no other."""
        folder, shown = self._settings.certs_dir, self._settings.client_certificate
        found = HostCertificates.find(folder, name, port) if folder is not None else HostCertificates()
        if shown is not None and means(self._host, name, port):
            found = replace(found, clients=(*found.clients, shown))
        return found

    def _is_insecure(self, name: str, port: int) -> bool:
        hosts = {*self._settings.insecure_hosts, *({self._host} if self._settings.insecure else ())}
        return any(means(host, name, port) for host in hosts)


def host_and_port(url: httpx.URL) -> tuple[str, int]:
    """The host of `url` as it goes over the wire, and its port, which is the scheme's own where none is written."""
    return url.raw_host.decode("ascii").strip("[]"), url.port or DEFAULT_PORTS.get(url.scheme, 0)


def _pieces(request: httpx.Request) -> Iterator[bytes | memoryview]:
    """The body in pieces of `SEND_SIZE` at the most; raises `StoppedError`."""
    for chunk in cast(httpx.SyncByteStream, request.stream):
        raise_if_stopped()
        if len(chunk) <= SEND_SIZE:
            yield chunk
        else:
            yield from (memoryview(chunk)[start : start + SEND_SIZE] for start in range(0, len(chunk), SEND_SIZE))


class _Body(httpx.SyncByteStream):
    """A body in chunks as they arrive: what came before a reset is given before the reset is raised."""

    def __init__(self, response: urllib3.BaseHTTPResponse, patience: Patience) -> None:
        self._response = response
        self._patience = patience

    def __iter__(self) -> Iterator[bytes]:
        try:
            while chunk := self._patience.measure(self._read):
                yield chunk
                raise_if_stopped()
            raise_if_stopped()  # what ends a body with its connection may have been us
        except urllib3.exceptions.HTTPError as error:
            raise _translate(error) from error

    def _read(self) -> bytes:
        return self._response.read1(READ_SIZE, decode_content=False)

    def close(self) -> None:
        if self._response.length_remaining == 0:
            self._response.drain_conn()  # nothing is left to read: the connection can serve again
            self._response.release_conn()
        else:
            self._response.close()


def _translate(error: urllib3.exceptions.HTTPError) -> httpx.TransportError:
    """The `httpx` error that says the same; the original stays its cause."""
    system = error.__cause__ or error.__context__  # "Connection refused" rather than urllib3's description of itself
    reason = system.strerror if isinstance(system, OSError) and system.strerror else str(error)
    for theirs, ours in _TRANSLATIONS.items():
        if isinstance(error, theirs):
            return ours(reason)
    return httpx.ReadError(reason)


_TRANSLATIONS: dict[type[Exception], type[httpx.TransportError]] = {
    urllib3.exceptions.NewConnectionError: httpx.ConnectError,  # before what it is a kind of
    urllib3.exceptions.ConnectTimeoutError: httpx.ConnectTimeout,
    urllib3.exceptions.SSLError: httpx.ConnectError,
    urllib3.exceptions.ReadTimeoutError: httpx.ReadTimeout,
    urllib3.exceptions.ProxyError: httpx.ProxyError,
    urllib3.exceptions.ProtocolError: httpx.RemoteProtocolError,
}


def _hide_queries(record: logging.LogRecord) -> bool:
    """Both libraries log whole URLs, and queries hold signatures and upload states.

    So do the headers of an answer, which `urllib3` logs, with a traceback, from the first that it cannot read.
    """
    if isinstance(record.args, tuple):
        record.args = tuple(_without_query(each) for each in record.args)
    record.exc_info = None
    return True


def _without_query(logged: object) -> object:
    if isinstance(logged, BaseException):
        return type(logged).__name__
    return str(logged).partition("?")[0] if isinstance(logged, str | httpx.URL) else logged
