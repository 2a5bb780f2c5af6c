"""One deployment for each site file: `python -m deployments.deploy_sites [PATH...] [--dry-run] [--remove]`.

The files are the truth: what they do not say is changed back, but for what only Prefect knows (paused, job variables).
Running it again writes nothing where nothing differs. What fails at one site is told at the end, and stops no other.

Deployments whose file is gone are told of, where whole folders are deployed, and deleted with --remove.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence, Set
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound, PrefectException

from deployments.limits import deploy_limits, limits_of
from deployments.server import explain_failure, require_server, server_address
from deployments.site_deployment import (
    FLOW,
    TAG,
    Settings,
    arguments_of,
    differences,
    found_settings,
    name_differences,
    outdated_schedules,
    update_of,
    wanted_settings,
)
from edgelift.errors import ConfigurationError, EdgeliftError, IncompleteError
from edgelift.site import EdgeSite
from edgelift.site_files import raise_for_problems, read_sites
from edgelift.sizes import count

SITES = Path(__file__).parent / "sites"


class Outcome(NamedTuple):
    """What was done about a site, and what is to be said of it."""

    verb: str
    what: str = ""


class SiteDeployments:
    """The deployments of sites in one work pool; a dry run only says what would become of them."""

    def __init__(self, client: SyncPrefectClient, pool: str, *, dry_run: bool = False) -> None:
        self._client, self._pool, self._dry_run = client, pool, dry_run
        self._found = {each.name: each for each in _read_deployments(client)}
        self._flow = cache(lambda: client.create_flow_from_name(FLOW))  # asked for where it is needed: it writes

    def deploy(self, site: EdgeSite) -> Outcome:
        """Deploy `site`: it is `created`, `changed`, of which is said in what, or `unchanged`."""
        wanted, deployment = wanted_settings(site, self._pool), self._found.get(site.name)
        if deployment is None:
            if not self._dry_run:
                self._create(site.name, wanted)
            return Outcome("would create" if self._dry_run else "created")
        found = found_settings(deployment)
        differing = differences(wanted, found)
        if not differing:
            return Outcome("unchanged")
        if not self._dry_run:
            self._change(deployment, wanted, found)
        return Outcome("would change" if self._dry_run else "changed", f" ({name_differences(differing)})")

    def without(self, names: Set[str]) -> list[str]:
        """The sites that are deployed in this pool, and are not among `names`."""
        ours = {name for name, each in self._found.items() if TAG in each.tags and each.work_pool_name == self._pool}
        return sorted(ours - names)

    def remove(self, name: str) -> Outcome:
        """Delete the deployment of a site; its runs can still be seen."""
        if not self._dry_run:
            self._client.delete_deployment(self._found[name].id)
        return Outcome("would remove" if self._dry_run else "removed")

    def _create(self, name: str, wanted: Settings) -> None:
        self._client.create_deployment(flow_id=self._flow(), name=name, pull_steps=[], **arguments_of(wanted))

    def _change(self, deployment: DeploymentResponse, wanted: Settings, found: Settings) -> None:
        for schedule in outdated_schedules(deployment, wanted):  # Prefect itself would keep what the file no longer has
            self._client.delete_deployment_schedule(deployment.id, schedule)
        self._client.update_deployment(deployment.id, update_of(wanted, found))


def deploy_site(site: EdgeSite, pool: str) -> UUID:
    """Make or change the deployment of one site, and return its id."""
    with get_client(sync_client=True) as client:
        SiteDeployments(client, pool).deploy(site)
        return client.read_deployment_by_name(f"{FLOW}/{site.name}").id


def main(arguments: Sequence[str] | None = None) -> None:
    """Deploy what the `arguments` (those of the command line) name."""
    parser = argparse.ArgumentParser(prog="python -m deployments.deploy_sites", description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, help="site files, or folders; deployments/sites without them")
    parser.add_argument("--pool", default="edge", help="work pool of the deployments")
    parser.add_argument("--check", action="store_true", help="check the files only; no server is asked")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("--remove", action="store_true", help="delete the deployments of sites whose file is gone")
    wanted = parser.parse_args(arguments)
    paths = wanted.paths or [SITES]
    try:
        files = read_sites(paths)
        is_whole = all(path.is_dir() for path in paths) and all(file.site is not None for file in files)
        if wanted.remove:
            raise_for_problems(files)
            _require_folders(is_whole)
        sites = [file.site for file in files if file.site is not None]
        limits_of(sites)  # that no two sites contradict each other, also where no server is asked
        failures: list[str] = []
        if wanted.check:
            _check(sites)
        elif sites:
            require_server()
            failures = _deploy(sites, wanted.pool, dry_run=wanted.dry_run, remove=wanted.remove, is_whole=is_whole)
        raise_for_problems(files)
        _raise_for_failures(failures)
    except EdgeliftError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except httpx.HTTPError as error:
        sys.stderr.write(f"error: cannot deploy with Prefect at {server_address()}: {explain_failure(error)}\n")
        sys.exit(1)


def _check(sites: Sequence[EdgeSite]) -> None:
    limits_of(sites)  # no two sites contradict each other
    for site in sites:
        wanted_settings(site, "")
        _tell(f"checked {FLOW}/{site.name}")


def _deploy(sites: Sequence[EdgeSite], pool: str, *, dry_run: bool, remove: bool, is_whole: bool) -> list[str]:
    """Deploy one site after the other; gives a line for each where it failed.

    Where `is_whole`, the other sites of the pool are gone, and told of or removed.
    """
    with get_client(sync_client=True) as client:
        _require_pool(client, pool)
        for line in deploy_limits(sites, dry_run=dry_run):
            _tell(line)
        deployments = SiteDeployments(client, pool, dry_run=dry_run)
        gone = deployments.without({site.name for site in sites}) if is_whole else []
        steps = [(site.name, partial(deployments.deploy, site)) for site in sites]
        steps += [(name, partial(deployments.remove, name)) for name in gone if remove]
        counts, failures = Counter[str](), list[str]()
        for number, (name, step) in enumerate(steps, 1):
            try:
                verb, what = step()
            except (EdgeliftError, PrefectException, httpx.HTTPError) as error:
                verb, what = "failed", f": {_reason(error)}"
                failures.append(f"{FLOW}/{name}{what}")
            counts[verb] += 1
            _tell(f"[{number}/{len(steps)}] {verb} {FLOW}/{name}{what}")
    for name in gone if not remove else ():
        _tell(f"{FLOW}/{name} has no file any more; --remove deletes it")
    _tell(f"{count(len(sites), 'site')}: {', '.join(f'{number} {verb}' for verb, number in counts.items())}")
    return failures


def _raise_for_failures(failures: Sequence[str]) -> None:
    if failures:
        raise IncompleteError(
            count(
                len(failures),
                "deployment is not what it should be; the others are",
                "deployments are not what they should be; the others are",
            ),
            failures,
            hint="run it again when the reason is gone: what is right is left alone",
        )


def _read_deployments(client: SyncPrefectClient) -> list[DeploymentResponse]:
    """All deployments of the flow; a server gives so many at once as it likes."""
    found: list[DeploymentResponse] = []
    flow = FlowFilter(name=FlowFilterName(any_=[FLOW]))
    while page := client.read_deployments(flow_filter=flow, offset=len(found)):
        found += page
    return found


def _require_pool(client: SyncPrefectClient, pool: str) -> None:
    try:
        client.read_work_pool(pool)
    except ObjectNotFound:
        raise ConfigurationError(
            f"Prefect has no work pool {pool}", hint=f"make it with prefect work-pool create {pool} --type process"
        ) from None


def _require_folders(is_whole: bool) -> None:
    if not is_whole:
        raise ConfigurationError(
            "single files do not say which sites are gone", hint="name folders with --remove, or nothing"
        )


def _reason(error: Exception) -> str:
    cause = getattr(error, "http_exc", error)  # what Prefect's own errors say of it would hold the server's address
    return explain_failure(cause) if isinstance(cause, httpx.HTTPError) else str(cause)


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
