"""Limit: a slot of a registry, one of those that all runs of the Prefect server share, where a site asks for that."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency

from edgelift.errors import ConfigurationError
from edgelift.registry_limits import limit_name, parse_limits
from edgelift.site import RegistryAccess


@contextmanager
def registry_slot(host: str, access: RegistryAccess) -> Iterator[None]:
    """Wait for a slot of the registry `host`, and hold it until the block ends; at once where there is no limit for it.

    Raises `ConfigurationError` where Prefect does not know the limit that `access` asks for.
    """
    limit = parse_limits(access.registry_limits).get(host)
    if limit is None:
        yield
        return
    name = limit_name(host)
    try:
        # A lease that could not be renewed ends no download: one image too many is the lesser evil.
        with concurrency(name, strict=True, raise_on_lease_renewal_failure=False):
            yield
    except ConcurrencySlotAcquisitionError as error:
        if error.__cause__ is not None:
            raise ConfigurationError(
                f"Prefect gives no slot of its limit {name}: {error}", hint="run it again", retryable=True
            ) from None
        raise ConfigurationError(
            f"Prefect has no global concurrency limit {name}, which registry_limits asks for",
            hint=f"make it with python -m deployments.deploy_sites, or prefect gcl create {name} --limit {limit}",
        ) from None
