"""How many images all runs together may pull from a registry at once, where a site asks for such a limit. Pure."""

from collections.abc import Iterable

from edgelift.errors import ConfigurationError
from edgelift.oci.reference import canonical_registry


def parse_limits(texts: Iterable[str]) -> dict[str, int]:
    """The limit of each host, from texts such as `quay.io=4`; raises `ConfigurationError` where two differ."""
    limits: dict[str, int] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        host, limit = canonical_registry(name), int(number)
        if limits.setdefault(host, limit) != limit:
            raise ConfigurationError(
                f"{host} is limited to {limits[host]} images at once, and to {limit}",
                hint="name one number for it: all runs of a Prefect server share the limit",
            )
    return limits


def limit_name(host: str) -> str:
    """What Prefect's global concurrency limit for the registry `host` is called."""
    return f"registry-{host}"
