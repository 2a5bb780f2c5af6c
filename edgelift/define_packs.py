"""Define packs: what local packs declare, as if a profile had them, and which packs are carried themselves."""

from collections.abc import Callable, Mapping, Sequence

from edgelift.attachments import PackSource
from edgelift.bundle.definition import RequestedImage
from edgelift.packs.local import LocalPack, profile_of
from edgelift.packs.request import request_local, request_packs
from edgelift.palette.client import PaletteClient
from edgelift.palette.models import ClusterProfile
from edgelift.palette.resolve import Resolution, resolve_profiles


def resolve_with_packs(
    profiles: Sequence[ClusterProfile], local: Sequence[LocalPack], settings: Mapping[str, str]
) -> Resolution:
    """What `profiles` declare, and local packs as if they were in a profile of their own, which has no name."""
    if not local:
        return resolve_profiles(profiles, settings)
    resolution = resolve_profiles([*profiles, profile_of(local)], settings)
    return resolution.model_copy(update={"profiles": tuple(each for each in resolution.profiles if each.name)})


def ask_for_packs(
    source: PackSource,
    profiles: Sequence[ClusterProfile],
    excluded: Sequence[ClusterProfile],
    local: Sequence[LocalPack],
    palette: Callable[[], PaletteClient],
) -> dict[str, RequestedImage]:
    """The packs that are carried, by reference: local ones, and those of `profiles` that `excluded` ones do not have.

    `palette` is called only where Palette has to say where they are. Raises what `request_packs` does.
    """
    if source.images_only:
        return {}
    packs = {each.reference: each for each in request_local(local)}
    if source.include:
        held = request_packs(excluded, source, palette)
        wanted = request_packs(profiles, source, palette)
        packs |= {reference: each for reference, each in wanted.items() if reference not in held}
    return packs
