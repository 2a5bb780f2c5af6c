"""One deployment for each site file: `python -m deployments.deploy_sites [FILE...] [--pool edge] [--check]`.

Running it again changes what has changed. A site whose file is gone keeps its deployment until it is deleted by hand.
"""

import argparse
import sys
from pathlib import Path

from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType

from edgelift.documents import read_document
from edgelift.errors import ConfigurationError, EdgeliftError
from edgelift.site import EdgeSite
from flows.sync_site import sync_site

SITES = Path(__file__).parent / "sites"
# ENQUEUE: a run retried from the UI must wait for a scheduled one of its site, not be cancelled by it.
ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)


def load_sites(paths: list[Path]) -> list[EdgeSite]:
    """The sites in `paths`; raises `ConfigurationError` for a wrong file or two sites of one name."""
    sites: dict[str, EdgeSite] = {}
    for path in paths:
        site = EdgeSite.from_yaml(read_document(path).decode(), str(path))
        if site.name in sites:
            raise ConfigurationError(f"{path} names its site {site.name}, which another file does already")
        sites[site.name] = site
    return list(sites.values())


def deployment_of(site: EdgeSite, pool: str) -> RunnerDeployment:
    """The deployment of one site: its own parameters, its own schedule."""
    schedule = site.schedule
    cron = Cron(schedule.cron, timezone=schedule.timezone, active=schedule.active, slug="site") if schedule else None
    return sync_site.to_deployment(
        site.name,
        entrypoint_type=EntrypointType.MODULE_PATH,
        description=site.description or sync_site.description,
        tags=["edgelift", "site"],
        parameters={"site": site.model_dump(mode="json", exclude={"schedule"})},
        schedule=cron,
        concurrency_limit=ONE_AT_A_TIME,
        work_pool_name=pool,
    )


def main() -> None:
    """Parse the arguments and deploy."""
    parser = argparse.ArgumentParser(prog="python -m deployments.deploy_sites", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="site files; all of deployments/sites without them")
    parser.add_argument("--pool", default="edge", help="work pool of the deployments")
    parser.add_argument("--check", action="store_true", help="check the files only; no server is asked")
    arguments = parser.parse_args()
    try:
        sites = load_sites(arguments.files or sorted(SITES.glob("*.yaml")))
    except EdgeliftError as error:
        sys.exit(f"error: {error}")
    for site in sites:
        if not arguments.check:
            deployment_of(site, arguments.pool).apply()
        sys.stdout.write(f"{'checked' if arguments.check else 'deployed'} sync-site/{site.name}\n")


if __name__ == "__main__":
    main()
