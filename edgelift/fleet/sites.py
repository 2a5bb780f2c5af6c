"""The sites of a fleet: each name once, and which of them go first."""

from collections.abc import Sequence

from edgelift.errors import ConfigurationError
from edgelift.site import EdgeSite, same_named


def choose_canaries(sites: Sequence[EdgeSite], names: Sequence[str]) -> tuple[EdgeSite, ...]:
    """`sites` with those called `names` as canaries, too.

    Raises `ConfigurationError` where there is no site, where two have one name, for a name that none has, and for a
    site whose deliveries somebody has to approve.
    """
    if not sites:
        raise ConfigurationError("a fleet of no sites", hint="name site files, or the folder that holds them")
    known = [site.name for site in sites]
    twice = next(iter(same_named((site.name, site) for site in sites)), None)
    if twice is not None:
        raise ConfigurationError(f"two sites are called {twice}", hint="receipts are kept by name: give each its own")
    stranger = next((name for name in names if name not in known), None)
    if stranger is not None:
        raise ConfigurationError(f"{stranger!r} is to be a canary, and no site of the fleet is called so")
    waiting = next((site.name for site in sites if site.approval), None)
    if waiting is not None:
        raise ConfigurationError(
            f"deliveries to {waiting} wait for approval, and those of a fleet do not",
            hint="leave it out of the fleet and synchronise it by itself, or drop approval from its file",
        )
    return tuple(site.model_copy(update={"canary": True}) if site.name in names else site for site in sites)
