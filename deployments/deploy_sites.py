"""One deployment for each site file: `python -m deployments.deploy_sites [FILE...] [--pool edge] [--check]`.

Running it again changes what has changed. A site whose file is gone keeps its deployment until it is deleted by hand.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron, Schedule
from prefect.types.entrypoint import EntrypointType

from deployments.limits import deploy_limits, limits_of
from deployments.server import explain_failure, require_server, server_address
from edgelift.documents import read_document
from edgelift.errors import ConfigurationError, EdgeliftError
from edgelift.site import EdgeSite
from flows.sync_site import sync_site

SITES = Path(__file__).parent / "sites"
SLUG = "site"  # by which a schedule is found again
# ENQUEUE: a run retried from the UI must wait for a scheduled one of its site, not be cancelled by it.
ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)


def load_sites(paths: list[Path]) -> list[EdgeSite]:
    """The sites in `paths`; raises `ConfigurationError` for a wrong file or two sites of one name."""
    sites: dict[str, EdgeSite] = {}
    for path in paths:
        site = EdgeSite.from_yaml(read_document(path).decode(errors="replace"), str(path))
        if site.name in sites:
            raise ConfigurationError(f"{path} names its site {site.name}, which another file does already")
        _schedule_of(site)
        sites[site.name] = site
    return list(sites.values())


def deploy_site(site: EdgeSite, pool: str) -> UUID:
    """Make or change the deployment of one site, and return its id."""
    deployment = deployment_of(site, pool).apply()
    if site.schedule is None:
        _delete_schedule(deployment)  # Prefect itself would keep what the file no longer has
    return deployment


def deployment_of(site: EdgeSite, pool: str) -> RunnerDeployment:
    """The deployment of one site: its own parameters, its own schedule; raises `ConfigurationError`."""
    return sync_site.to_deployment(
        site.name,
        entrypoint_type=EntrypointType.MODULE_PATH,  # with a path, every run would copy the folder it was made in
        description=site.description or "Bring this site what its profiles need, and prove that it arrived.",
        tags=["edgelift", "site"],
        parameters={"site": site.model_dump(mode="json", exclude={"schedule"})},
        schedule=_schedule_of(site),
        concurrency_limit=ONE_AT_A_TIME,
        work_pool_name=pool,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Deploy what the `arguments` (those of the command line) name."""
    parser = argparse.ArgumentParser(prog="python -m deployments.deploy_sites", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="site files; all of deployments/sites without them")
    parser.add_argument("--pool", default="edge", help="work pool of the deployments")
    parser.add_argument("--check", action="store_true", help="check the files only; no server is asked")
    wanted = parser.parse_args(arguments)
    try:
        sites = load_sites(wanted.files or sorted(SITES.glob("*.yaml")))
        limits_of(sites)  # that no two sites contradict each other, also where no server is asked
        if not wanted.check:
            require_server()
            _require_pool(wanted.pool)
            sys.stdout.writelines(f"{line}\n" for line in deploy_limits(sites))
        for site in sites:
            if not wanted.check:
                deploy_site(site, wanted.pool)
            sys.stdout.write(f"{'checked' if wanted.check else 'deployed'} sync-site/{site.name}\n")
    except EdgeliftError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except httpx.HTTPError as error:
        sys.stderr.write(f"error: cannot deploy with Prefect at {server_address()}: {explain_failure(error)}\n")
        sys.exit(1)


def _schedule_of(site: EdgeSite) -> Schedule | None:
    wanted = site.schedule
    if wanted is None:
        return None
    try:
        CronSchedule(cron=wanted.cron, timezone=wanted.timezone)  # `Cron` does not look at the time zone
        return Cron(wanted.cron, timezone=wanted.timezone, active=wanted.active, slug=SLUG)
    except ValueError:
        raise ConfigurationError(
            f"site {site.name} has a schedule that cannot be: {wanted.cron!r} in {wanted.timezone!r}",
            hint="cron takes five fields (15 2 * * *), timezone an IANA name (Europe/Berlin)",
        ) from None


def _require_pool(pool: str) -> None:
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(pool)
        except ObjectNotFound:
            raise ConfigurationError(
                f"Prefect has no work pool {pool}", hint=f"make it with prefect work-pool create {pool} --type process"
            ) from None


def _delete_schedule(deployment: UUID) -> None:
    with get_client(sync_client=True) as client:
        for schedule in client.read_deployment_schedules(deployment):
            if schedule.slug == SLUG:
                client.delete_deployment_schedule(deployment, schedule.id)


if __name__ == "__main__":
    main()
