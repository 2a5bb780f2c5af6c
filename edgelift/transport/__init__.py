"""HTTP for the whole library: the `httpx` API, carried by `urllib3`.

What it is: TLS, proxies, time-outs, the connection pool, and the guard on the addresses that a server can send us to.
What it is not: retries, credentials and redirects, which belong to the clients that know their protocol.
"""

from edgelift.transport.certificates import ClientCertificate
from edgelift.transport.client import host_and_port, open_client
from edgelift.transport.connections import ForbiddenAddressError
from edgelift.transport.patience import TooSlowError
from edgelift.transport.settings import TransportSettings

__all__ = [
    "ClientCertificate",
    "ForbiddenAddressError",
    "TooSlowError",
    "TransportSettings",
    "host_and_port",
    "open_client",
]
