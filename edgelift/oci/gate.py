"""The one gate for URLs that a server gives us: token realm, redirect, upload location, next page, archive of a chart.

Each of them decides where our requests, and perhaps our credentials, go. Addresses are checked where connections are
made (`transport`); here it is schemes, origins and credentials.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal
from urllib.parse import urljoin

import httpx

from edgelift.addresses import DEFAULT_PORTS, is_address, means
from edgelift.errors import RegistryError

UrlKind = Literal["token realm", "redirect", "upload location", "next page", "chart archive"]

# Token servers that belong to registries of another name; both sides are fixed, nothing is derived.
_KNOWN_REALMS = frozenset(
    {
        ("registry-1.docker.io", "auth.docker.io"),
        ("lscr.io", "ghcr.io"),
        ("registry.digitalocean.com", "api.digitalocean.com"),
    }
)
# Domains whose subdomains belong to strangers, so that sharing one of them proves nothing.
_SHARED_DOMAINS = frozenset(
    {
        "azurecr.io",
        "aliyuncs.com",
        "googleapis.com",
        "jfrog.io",
        "pkg.dev",
    }
)
# The same at every level: one region, or one service in it, holds names of many customers.
_SHARED_THROUGHOUT = (
    *(".amazonaws.com", ".amazonaws.com.cn", ".on.aws"),
    *(".azure.com", ".cloudapp.net"),
    *(".cr.aliyuncs.com", ".storage.googleapis.com"),
)
_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "gov", "ne", "net", "or", "org"})
_COUNTRY_CODE_LENGTH = 2


@dataclass(frozen=True)
class Passage:
    """A URL that may be asked. `has_credentials` says whether the registry's credentials may go along."""

    url: str
    has_credentials: bool


@dataclass(frozen=True)
class UrlGate:
    """Judges the URLs that the registry at `origin` (such as `https://registry.example.com`) gives us."""

    origin: str
    trusted_realms: frozenset[str] = frozenset()

    @cached_property
    def home(self) -> httpx.URL:
        """The registry's own scheme, host and port."""
        return httpx.URL(self.origin)

    def admit(self, url: str, kind: UrlKind, *, base: str) -> Passage:
        """The absolute URL that `url` means beside `base`; raises `RegistryError` where we do not go there.

        No change from TLS to plain text, no user information in the URL; a next page only at the registry itself.
        Credentials go to the registry's own scheme, host and port, and to token realms that belong to it.
        """
        home = self.home
        target = self._parse(url.partition("#")[0], base, kind)
        if target.scheme == "http" and target.host == home.host and home.scheme == "https" and kind != "token realm":
            # Behind a TLS proxy registries often write http://; going on with TLS is what they mean, and safe.
            target = target.copy_with(scheme="https")
        if target.scheme not in DEFAULT_PORTS or not target.host or target.userinfo:
            raise self._refused(target, kind, "is not a plain web address")
        if "https" in (home.scheme, httpx.URL(base).scheme) and target.scheme != "https":
            raise self._refused(target, kind, "leaves TLS")
        is_home = is_same_origin(target, home)
        if kind == "next page" and not is_home:
            raise self._refused(target, kind, "is at another server")
        return Passage(str(target), is_home or (kind == "token realm" and self._is_own_realm(home, target)))

    def _is_own_realm(self, home: httpx.URL, realm: httpx.URL) -> bool:
        port = realm.port or DEFAULT_PORTS[realm.scheme]
        return (
            realm.host == home.host
            or (home.host, realm.host) in _KNOWN_REALMS
            or _are_related(home.host, realm.host)
            or any(means(host, realm.host, port) for host in self.trusted_realms)
        )

    def _parse(self, url: str, base: str, kind: UrlKind) -> httpx.URL:
        try:
            target = httpx.URL(urljoin(base, url))
            _ = target.host  # decoded when it is asked for; xn-- may be followed by anything
        except (httpx.InvalidURL, ValueError):
            raise RegistryError(f"{self.home.host} gave a {kind} that is no URL") from None
        return target

    def _refused(self, target: httpx.URL, kind: UrlKind, why: str) -> RegistryError:
        return RegistryError(
            f"{self.home.netloc.decode()} gave a {kind} that {why}: {show(target)}",
            hint="the registry, or a proxy in front of it, is set up wrongly or has been tampered with",
        )


def is_same_origin(first: httpx.URL, second: httpx.URL) -> bool:
    """Whether scheme, host and port are the same: two URLs of one server."""
    return (first.scheme, first.raw_host, first.port) == (second.scheme, second.raw_host, second.port)


def show(url: httpx.URL) -> str:
    """`url` as it may be shown: neither user information nor query."""
    return f"{url.scheme}://{url.host}{f':{url.port}' if url.port else ''}{url.path}"


def _are_related(first: str, second: str) -> bool:
    """Whether two host names are under one registrable domain, as far as that can be told without a list of all."""
    if is_address(first) or is_address(second):
        return False
    shared: list[str] = []
    for ours, theirs in zip(reversed(first.split(".")), reversed(second.split(".")), strict=False):
        if ours != theirs:
            break
        shared.insert(0, ours)
    if len(shared) == 2 and len(shared[-1]) == _COUNTRY_CODE_LENGTH and shared[0] in _SECOND_LEVEL:  # noqa: PLR2004 - co.uk
        return False
    common = ".".join(shared)
    return len(shared) > 1 and common not in _SHARED_DOMAINS and not f".{common}".endswith(_SHARED_THROUGHOUT)
