"""How servers are reached, as the caller wants it."""

from dataclasses import dataclass, field
from pathlib import Path


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
