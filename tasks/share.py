"""Share: what a fleet asks for → the locks it takes, each planned once, and each built once for all its sites."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from edgelift.bundle.attached import NOTHING
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.standing import standing_place
from edgelift.delivery.preflight import check_disk
from edgelift.errors import EdgeliftError, PlanError
from edgelift.fleet.sharing import FleetBuild, PlannedSite, PlannedTogether, group_by_lock, group_by_source
from edgelift.fleet.sites import choose_canaries
from edgelift.site import ArchiveSettings, EdgeSite, RegistryAccess
from edgelift.site_files import load_sites
from edgelift.sizes import count
from tasks.archive import archive_bundle, check_archive, prune_archived
from tasks.as_is import as_is
from tasks.assemble import BuiltBundle, assemble_content, begin_assembly, keep_lock
from tasks.attach import attach_to
from tasks.connect import bundle_path, open_store, path_of
from tasks.log_in import log_in
from tasks.narrate import narrate
from tasks.plan import plan_lock
from tasks.pull import pull_images
from tasks.resolve import resolve_source
from tasks.sign import check_signing

T = TypeVar("T")


@dataclass(frozen=True)
class FleetContent:
    """The `builds` of all `sites`; why there is none for some of them, by name; and where each of the others has its.

    `contents` are places as `open_content` takes them, by name.
    """

    sites: tuple[EdgeSite, ...]
    builds: tuple[FleetBuild, ...]
    failures: Mapping[str, EdgeliftError]
    contents: Mapping[str, str] = field(default_factory=dict)


@task(name="gather sites", task_run_name="gather the sites", cache_policy=NO_CACHE, persist_result=False)
def gather_sites(sites: Sequence[EdgeSite], folder: str | None, canaries: Sequence[str]) -> tuple[EdgeSite, ...]:
    """`sites`, and those whose files are in the `folder` of this worker; those called `canaries` are to go first."""
    found = choose_canaries((*sites, *(load_sites([path_of(folder)]) if folder else ())), canaries)
    first = [site.name for site in found if site.canary]
    narrate(f"{count(len(found), 'site')}; canaries: {', '.join(first) or 'none'}")
    return found


def plan_fleet(sites: tuple[EdgeSite, ...], store: str | None) -> FleetContent:
    """Plan what the sites ask for, each thing once. What cannot be planned fails its own sites only.

    Without a `store` for all, that is done in the store of the first site that asks for it.
    """
    failures = dict[str, EdgeliftError]()
    able = [site for site in sites if _attempt(partial(_check, site), [site], failures) is not None]
    planned = list[PlannedSite]()
    for group in group_by_source(able):
        place = store or group.sites[0].store
        lock = _attempt(partial(_plan, group, place), group.sites, failures)
        planned += [PlannedSite(site, lock, place) for site in group.sites] if lock is not None else []
    builds = group_by_lock(planned)
    narrate(f"{count(len(planned), 'site shares', 'sites share')} {count(len(builds), 'build')}")
    return FleetContent(sites, builds, failures)


def build_fleet(content: FleetContent, output: str) -> FleetContent:
    """Pull and assemble each build once, into `output`. One that fails, fails its own sites only.

    Where it cannot be archived, that fails the sites that name this archive.
    """
    failures, contents = dict(content.failures), dict[str, str]()
    for build in content.builds:
        place = _make(build, output, failures)
        contents |= {site.name: place for site in build.sites if place is not None and site.name not in failures}
    return FleetContent(content.sites, content.builds, failures, contents)


def _attempt(act: Callable[[], T], sites: Sequence[EdgeSite], failures: dict[str, EdgeliftError]) -> T | None:
    """What `act` gives; None where it fails, which is then the failure of all `sites`."""
    try:
        return act()
    except EdgeliftError as error:
        names = ", ".join(site.name for site in sites)
        narrate(f"nothing can be delivered to {names}: {error}", warn=True, is_reported=False)
        failures.update(dict.fromkeys((site.name for site in sites), error))
        return None


def _check(site: EdgeSite) -> EdgeSite:
    """The site, whose key is fit to sign, and whose archive is there."""
    check_signing(site.signing, public_key=site.public_key, is_pushed=not site.direct)
    if site.archive is not None:
        check_archive(site.archive, site.access)
    return site


def _plan(group: PlannedTogether, store: str | None) -> BundleLock:
    name, (first, *_) = group
    source, access = first.source, first.access
    definition = resolve_source(name, source, access, store)
    attached = attach_to(name, source, access, store) if source.has_attachments else NOTHING
    log_in(as_is(definition), access)
    return plan_lock(as_is(definition), access, store, None, attached=as_is(attached), is_one_of_many=True)


def _make(build: FleetBuild, output: str, failures: dict[str, EdgeliftError]) -> str | None:
    """Where the content of `build` is, once it is archived where its sites want it; None where it could not be made."""
    if build.first.direct:
        return _attempt(partial(_keep_lock, build, output), build.sites, failures)
    bundle = _attempt(partial(_build, build, output), build.sites, failures)
    if bundle is None:
        return None
    for archive, access in build.archives:
        keepers = [site for site in build.sites if site.archive == archive]
        bundle = _attempt(partial(_archive, build, bundle, archive, access), keepers, failures) or bundle
    return bundle.path


def _keep_lock(build: FleetBuild, output: str) -> str:
    """The place of the store that a direct copy takes the manifests from."""
    return keep_lock(as_is(build.lock), build.name, build.store, output, build.first.signing)


def _build(build: FleetBuild, output: str) -> BuiltBundle:
    lock, name, first, store = build.lock, build.name, build.first, build.store
    shortage = check_disk(lock, open_store(store), standing_place(bundle_path(name, output), first.part_size))
    if shortage is not None:
        raise PlanError("the disk is too small; nothing was moved", [shortage])
    archive = build.archives[0][0] if build.archives else None
    with begin_assembly(
        lock, name, store, output, first.signing, archive=archive, part_size=first.part_size
    ) as assembly:
        pull_images(lock, first.access, store)
        return assemble_content(assembly, as_is(lock), name, output, first.signing)


def _archive(build: FleetBuild, bundle: BuiltBundle, archive: ArchiveSettings, access: RegistryAccess) -> BuiltBundle:
    archived = archive_bundle(bundle, as_is(build.lock), archive, access)
    prune_archived(as_is(archived), archive, build.first.public_key)
    return archived
