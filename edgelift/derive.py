"""Derive: what a source leaves open is taken from the edge hosts of its site. No I/O."""

from collections.abc import Sequence
from typing import get_args

from edgelift.bundle.definition import Architecture
from edgelift.errors import ConfigurationError, PaletteError
from edgelift.palette.edge_hosts import EdgeHost
from edgelift.site import ContentSource
from edgelift.sizes import count

_NAMED = 10  # hosts that a line names at most


def derive_source(source: ContentSource, hosts: Sequence[EdgeHost]) -> tuple[ContentSource, list[str]]:
    """`source` with the profiles and the architecture of `hosts`, where it names none; and what was found, in lines.

    Hosts of several architectures, or of one that they have not told, mean that all are kept. Raises `PaletteError`
    where there is no host, `ConfigurationError` where none has a profile and nothing else is asked for.
    """
    if not hosts:
        raise PaletteError(
            f"Palette has no edge host with the tag {source.edge_hosts}",
            hint="tags are written key:value; check the tag, and the project with --project-id",
        )
    found_hosts = count(len(hosts), "edge host has", "edge hosts have")
    lines = [f"{found_hosts} the tag {source.edge_hosts}: {_list(hosts)}"]
    found: dict[str, object] = {}
    if source.architecture is None:
        architecture = _architecture(hosts)
        lines.append(f"only {architecture} is carried for them" if architecture else "all architectures are kept")
        found["architecture"] = architecture
    if not (source.profiles or source.profile_files):
        profiles = {profile.uid: profile for host in hosts for profile in host.profiles}
        if not profiles and not source.images:
            raise ConfigurationError(
                f"none of the edge hosts with the tag {source.edge_hosts} has cluster profiles",
                hint="name profiles with --profiles",
            )
        found["profiles"] = tuple(sorted(profiles))
        named = sorted(f"{each.name}@{each.version}" for each in profiles.values())
        lines.append(f"they run {', '.join(named) or 'no cluster profiles'}")
    return source.model_copy(update=found), lines


def _architecture(hosts: Sequence[EdgeHost]) -> Architecture | None:
    told = {host.architecture for host in hosts}
    return next((each for each in get_args(Architecture) if told == {each}), None)


def _list(hosts: Sequence[EdgeHost]) -> str:
    shown = [f"{host.name or host.uid} ({host.architecture or 'architecture not known'})" for host in hosts[:_NAMED]]
    more = f" and {len(hosts) - _NAMED} more" if len(hosts) > _NAMED else ""
    return ", ".join(shown) + more
