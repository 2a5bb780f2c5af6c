"""How servers are reached, as the caller wants it."""

from dataclasses import dataclass, field
from pathlib import Path

from edgelift.transport.certificates import ClientCertificate


@dataclass(frozen=True)
class TransportSettings:
    """How servers are reached. Hosts are written as in references: `registry.example.com`, `10.0.0.5:5000`.

    `ca_cert` is trusted besides what the system trusts. `client_certificate` is shown to the host that a client is
    opened for and to no other; `certs_dir` holds further certificates by host: see `HostCertificates`. `insecure`
    leaves the certificate of the host a client is opened for unchecked, `insecure_hosts` those of the hosts named,
    wherever they are met. `plain_http` names hosts spoken to without TLS; loopback needs no naming. `trusted_realms`
    names token servers that get a registry's credentials although their names have nothing in common. `no_proxy` lists
    hosts, domains and networks that are reached without the `proxy`, as this machine always is. Time-outs are in
    seconds; `idle_timeout` is the longest silence. A body that brings fewer than `slowest` bytes a second, averaged
    over `idle_timeout`, counts as silent. At most `parallel` requests are on their way to one registry at once; fewer
    while it shows strain. A proxy that is known to let no larger requests than `largest_request` bytes through need not
    be run into. No request is made more than `attempts` times, and no pause that a registry asks for is waited out
    beyond `longest_pause`.
    """

    ca_cert: Path | None = None
    client_certificate: ClientCertificate | None = field(default=None, repr=False)
    certs_dir: Path | None = None
    insecure: bool = False
    insecure_hosts: frozenset[str] = frozenset()
    plain_http: frozenset[str] = frozenset()
    trusted_realms: frozenset[str] = frozenset()
    proxy: str | None = field(default=None, repr=False)
    no_proxy: tuple[str, ...] = ()
    connect_timeout: float = 10.0
    idle_timeout: float = 60.0
    slowest: float = 1024.0
    parallel: int = 8
    largest_request: int | None = None
    attempts: int = 8
    longest_pause: float = 300.0

    @property
    def named_hosts(self) -> frozenset[str]:
        """Every host that the caller named: reachable wherever it is."""
        return self.insecure_hosts | self.plain_http | self.trusted_realms
