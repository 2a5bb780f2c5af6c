"""Which sites of a fleet share a plan, and which a build. Pure.

A lock holds the name of its bundle, so those of two sites would never be the same. Here it is named after its content.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from edgelift.bundle.lock import BundleLock
from edgelift.oci.digest import Digest
from edgelift.site import ArchiveSettings, EdgeSite, RegistryAccess

NAME = "fleet"
_MARK = 12  # hexadecimal digits


class PlannedTogether(NamedTuple):
    """Sites that ask for the same, of the same places: one plan serves all. `name` is what that plan is called."""

    name: str
    sites: tuple[EdgeSite, ...]


class PlannedSite(NamedTuple):
    """A site, its lock, and the store that this was planned in; None for the worker's own."""

    site: EdgeSite
    lock: BundleLock
    store: str | None = None


@dataclass(frozen=True)
class FleetBuild:
    """What `sites` share: a lock, and what it makes, a bundle or a direct copy from registry to registry.

    A store changes nothing of what is built, so sites that name others share as well: it is made in the `store` that
    the first of them was planned in, which has what comes from no registry.
    """

    lock: BundleLock
    sites: tuple[EdgeSite, ...]
    store: str | None = None

    @property
    def name(self) -> str:
        """The name of the bundle."""
        return self.lock.definition.name

    @property
    def first(self) -> EdgeSite:
        """The site whose access, key and part size make the build; keys and part sizes are those of all."""
        return self.sites[0]

    @property
    def archives(self) -> tuple[tuple[ArchiveSettings, RegistryAccess], ...]:
        """Every place that one of the sites keeps the bundle in, once, and how to get in."""
        places = dict[ArchiveSettings, RegistryAccess]()
        for site in self.sites:
            if site.archive is not None:
                places.setdefault(site.archive, site.access)
        return tuple(places.items())


def group_by_source(sites: Sequence[EdgeSite]) -> tuple[PlannedTogether, ...]:
    """The sites by what they ask for, in their order.

    Logins are not looked at: they say who may read, not what is read. Mirrors may hold something else.
    """
    groups = defaultdict[str, list[EdgeSite]](list)
    for site in sites:
        places = "\n".join((*site.access.mirrors, "", *site.access.rewrites))
        groups[_mark(f"{site.source.model_dump_json()}\n{places}".encode())].append(site)
    return tuple(PlannedTogether(f"{NAME}-{mark}", tuple(group)) for mark, group in groups.items())


def share_lock(lock: BundleLock, site: EdgeSite) -> BundleLock:
    """`lock`, named after its content, and after what makes the file of `site` another: its key and its part size."""
    file = site.model_dump_json(include={"signing", "part_size"}, exclude_none=True)
    return _rename(lock, f"{NAME}-{_mark(_rename(lock, NAME).to_json() + file.encode())}")


def group_by_lock(planned: Iterable[PlannedSite]) -> tuple[FleetBuild, ...]:
    """The builds that all of `planned` need, each once; a direct copy of a lock is another than its bundle."""
    groups = defaultdict[tuple[Digest, bool], list[PlannedSite]](list)
    for site, lock, store in planned:
        shared = share_lock(lock, site)
        groups[shared.digest, site.direct].append(PlannedSite(site, shared, store))
    return tuple(
        FleetBuild(group[0].lock, tuple(each.site for each in group), group[0].store) for group in groups.values()
    )


def _rename(lock: BundleLock, name: str) -> BundleLock:
    return lock.model_copy(update={"definition": lock.definition.model_copy(update={"name": name})})


def _mark(content: bytes) -> str:
    return Digest.of(content).hex[:_MARK]
