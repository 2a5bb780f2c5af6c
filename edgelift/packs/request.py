"""Which packs a bundle is to hold: those of profiles by their registries, and local ones. No I/O but Palette's."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from edgelift.attachments import PackSource
from edgelift.bundle.definition import Origin, RequestedImage
from edgelift.errors import ConfigurationError, MalformedReferenceError, ProfileError
from edgelift.packs.local import LocalPack
from edgelift.packs.names import pack_reference
from edgelift.palette.client import PaletteClient
from edgelift.palette.models import ClusterProfile, Pack
from edgelift.palette.pack_registries import PackRegistry

_LOCAL = "pack.json"  # what asks for a local pack
_HINT = "say where they are with --pack-registry HOST/BASE, or leave out --include-packs"
_OURS = frozenset({"spectro", "oci"})  # types of packs that may be in a pack registry; others are charts and manifests


def request_packs(
    profiles: Sequence[ClusterProfile], source: PackSource, open_palette: Callable[[], PaletteClient]
) -> dict[str, RequestedImage]:
    """The packs of `profiles` by their references; raises `ProfileError` that names all whose place nobody knows."""
    asked = [
        (pack, Origin(profile=profile.origin_label, pack=pack.name, path=""))
        for profile in profiles
        for pack in profile.packs
        if pack.type in _OURS
    ]
    places = _places({pack.registry_uid for pack, _ in asked}, source.registry, open_palette) if asked else {}
    requested, problems = dict[str, RequestedImage](), list[str]()
    for pack, origin in asked:
        try:
            place = _place(pack, source.registry, places)
            if place is None:
                continue
            reference = str(pack_reference(place, pack.name, pack.version or pack.tag))
        except (MalformedReferenceError, ProfileError) as error:
            problems.append(f"{origin}: {error.message}")
            continue
        known = requested.get(reference, RequestedImage(reference=reference))
        requested[reference] = known.model_copy(update={"origins": (*known.origins, origin)})
    if problems:
        lines = "".join(f"\n  - {problem}" for problem in problems)
        raise ProfileError(f"not every pack has a place in an OCI pack registry:{lines}", hint=_HINT)
    return requested


def request_local(packs: Sequence[LocalPack]) -> Iterator[RequestedImage]:
    """The entries of local packs."""
    for pack in packs:
        yield RequestedImage(reference=str(pack.reference), origins=(Origin(profile="", pack=pack.name, path=_LOCAL),))


def _places(
    uids: set[str], registry: str | None, open_palette: Callable[[], PaletteClient]
) -> Mapping[str, PackRegistry]:
    """What Palette says of the registries of packs; it is not asked where one `registry` stands for all."""
    if registry is not None:
        return {}
    try:
        palette = open_palette()
    except ConfigurationError as error:  # exported profiles alone need no Palette
        raise ConfigurationError(f"only Palette knows where the packs are: {error.message}", hint=_HINT) from None
    return palette.find_pack_registries(uids)


def _place(pack: Pack, registry: str | None, places: Mapping[str, PackRegistry]) -> str | None:
    """Registry and base path of `pack`, None for what is no pack there; `ProfileError` where none is known.

    One `registry` for all has what Palette calls packs itself; what comes from other OCI registries may be a chart.
    """
    if registry is not None:
        return registry if pack.type == "spectro" else None
    found = places.get(pack.registry_uid)
    if found is not None and (found.place is not None or pack.type != "spectro"):
        return found.place
    called = found.name if found is not None else pack.registry_uid or "none that is named"
    raise ProfileError(f"its registry, {called}, is no OCI pack registry")
