"""The global concurrency limits that sites ask for (`registry_limits`), one for each registry."""

from collections.abc import Iterable

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate
from prefect.exceptions import ObjectNotFound

from edgelift.registry_limits import limit_name, parse_limits
from edgelift.site import EdgeSite


def limits_of(sites: Iterable[EdgeSite]) -> dict[str, int]:
    """The limit of each registry that `sites` ask for; raises `ConfigurationError` where two sites differ."""
    return parse_limits(text for site in sites for text in site.access.registry_limits)


def deploy_limits(sites: Iterable[EdgeSite], *, dry_run: bool = False) -> list[str]:
    """Make or change the limits that `sites` ask for; a line for each, such as `created limit registry-quay.io=4`.

    With `dry_run` nothing is done. A limit that no site asks for any more stays: others may use it. Raises
    `ConfigurationError`.
    """
    wanted = limits_of(sites)
    if not wanted:
        return []
    with get_client(sync_client=True) as client:
        return [
            f"{_deploy(client, limit_name(host), limit, dry_run=dry_run)} limit {limit_name(host)}={limit}"
            for host, limit in sorted(wanted.items())
        ]


def _deploy(client: SyncPrefectClient, name: str, limit: int, *, dry_run: bool) -> str:
    try:
        standing = client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        if not dry_run:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=limit))
        return "would create" if dry_run else "created"
    if standing.limit == limit:
        return "unchanged"
    if not dry_run:
        client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(limit=limit))
    return "would change" if dry_run else "changed"
