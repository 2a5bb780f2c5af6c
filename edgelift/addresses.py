"""Which network addresses one server may send us to. Pure, but for the one function that asks the resolver."""

import ipaddress
import socket
from collections.abc import Iterable
from typing import Literal

AddressKind = Literal["public", "private", "loopback", "link-local", "forbidden"]

DEFAULT_PORTS = {"http": 80, "https": 443}
_CLOUD_METADATA = frozenset(
    {"169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254"}
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# By the kind of address of the server that sends us: a public one never into the network that we stand in.
_REACH: dict[AddressKind, frozenset[AddressKind]] = {
    "public": frozenset({"public"}),
    "private": frozenset({"public", "private"}),
    "link-local": frozenset({"public", "private", "link-local"}),
    "loopback": frozenset({"public", "private", "loopback"}),
    "forbidden": frozenset({"public"}),
}


def resolve_addresses(host: str, port: int) -> list[str]:
    """The addresses of `host`, each once, best first; raises `socket.gaierror` or `UnicodeError` where it has none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def split_host(host: str) -> tuple[str, int | None]:
    """`host` as written in references, in two: the lower-case name or address without brackets, and the port."""
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdigit():
        name, port = host, ""
    return name.strip("[]").lower(), int(port) if port else None


def means(written: str, name: str, port: int) -> bool:
    """Whether `written`, a host as in references, is `name` at `port`; without a port it is either default one."""
    written_name, written_port = split_host(written)
    return written_name == name.lower() and port in ((written_port,) if written_port else DEFAULT_PORTS.values())


def is_listed(name: str, port: int, hosts: Iterable[str]) -> bool:
    """Whether `hosts` list `name` in the manner of NO_PROXY: hosts, domains, networks (`10.0.0.0/8`), `*` for all."""
    return any(host == "*" or means(host, name, port) or _is_within(name, host) for host in hosts)


def _is_within(name: str, domain_or_network: str) -> bool:
    if not is_address(name):
        return name.lower().endswith("." + domain_or_network.lstrip("*.").lower())
    try:
        return ipaddress.ip_address(name) in ipaddress.ip_network(domain_or_network, strict=False)
    except ValueError:
        return False


def is_loopback(name: str) -> bool:
    """Whether `name`, as it stands, means this machine; nothing is resolved."""
    return name == "localhost" or (is_address(name) and kind_of(name) == "loopback")


def is_address(name: str) -> bool:
    """Whether `name` is an IP address."""
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def may_send(sender: Iterable[str], target: Iterable[str]) -> bool:
    """Whether a server with the addresses `sender` may send us to one with the addresses `target`.

    Every address of the target counts, and of the sender the one that may least: names that resolve to several
    addresses gain nothing. A sender without a known address counts as public.
    """
    reach = frozenset[AddressKind].intersection(*(_REACH[kind] for kind in {*map(kind_of, sender)} or {"public"}))
    return all(kind_of(address) in reach for address in target)


def kind_of(address: str) -> AddressKind:
    """The kind of an IP address; one that is embedded in IPv6 (mapped, NAT64) counts as itself."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        embedded = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF) if parsed in _NAT64 else parsed.ipv4_mapped
        parsed = embedded or parsed
    if str(parsed) in _CLOUD_METADATA or parsed.is_multicast or parsed.is_unspecified:
        return "forbidden"
    if parsed.is_loopback:
        return "loopback"
    if parsed.is_link_local:
        return "link-local"
    return "public" if parsed.is_global else "private"
