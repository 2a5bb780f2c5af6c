"""The sites of a fleet: read from their files, each name once, and which of them go first."""

from collections.abc import Sequence
from pathlib import Path

from edgelift.documents import read_document
from edgelift.errors import ConfigurationError
from edgelift.site import EdgeSite


def read_sites(places: Sequence[Path]) -> tuple[EdgeSite, ...]:
    """The sites in `places`: site files, and folders of them (`*.yaml`, in the order of their names).

    Raises `ConfigurationError` for a wrong file, and for a folder without any.
    """
    return tuple(_read_site(path) for place in places for path in _files(place))


def choose_canaries(sites: Sequence[EdgeSite], names: Sequence[str]) -> tuple[EdgeSite, ...]:
    """`sites` with those called `names` as canaries, too.

    Raises `ConfigurationError` where there is no site, where two have one name, for a name that none has, and for a
    site whose deliveries somebody has to approve.
    """
    if not sites:
        raise ConfigurationError("a fleet of no sites", hint="name site files, or the folder that holds them")
    known = [site.name for site in sites]
    twice = next((name for name in known if known.count(name) > 1), None)
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


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    files = sorted(place.glob("*.yaml"))
    if not files:
        raise ConfigurationError(f"{place} has no site files", hint="they are called NAME.yaml")
    return files


def _read_site(path: Path) -> EdgeSite:
    return EdgeSite.from_yaml(read_document(path).decode(errors="replace"), str(path))
