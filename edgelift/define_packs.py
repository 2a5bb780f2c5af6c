"""Define packs: what local packs declare and use, as if a profile had them, and which packs are carried themselves."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

from edgelift.attachments import PackSource
from edgelift.bundle.definition import RequestedImage
from edgelift.errors import ProfileError
from edgelift.packs.local import LocalPack, profile_of
from edgelift.packs.request import request_local, request_packs
from edgelift.palette.client import PaletteClient
from edgelift.palette.models import ClusterProfile, Pack
from edgelift.palette.resolve import Resolution, resolve_profiles
from edgelift.palette.undeclared.content import PackContent
from edgelift.palette.undeclared.findings import PackReport
from edgelift.palette.undeclared.helm import find_helm
from edgelift.palette.undeclared.pack import read_pack_archive
from edgelift.palette.undeclared.profiles import find_undeclared


def resolve_with_packs(
    profiles: Sequence[ClusterProfile], local: Sequence[LocalPack], settings: Mapping[str, str]
) -> Resolution:
    """What `profiles` declare, and local packs as if they were in a profile of their own, which has no name."""
    if not local:
        return resolve_profiles(profiles, settings)
    resolution = resolve_profiles([*profiles, profile_of(local)], settings)
    return resolution.model_copy(update={"profiles": tuple(each for each in resolution.profiles if each.name)})


def find_used(
    profiles: Sequence[ClusterProfile],
    local: Sequence[LocalPack],
    settings: Mapping[str, str],
    *,
    declared: Collection[str],
) -> tuple[PackReport, ...]:
    """What the packs of `profiles`, and local ones with their charts, use and do not declare; see `find_undeclared`."""
    if not local:
        return find_undeclared(profiles, settings, declared=declared)
    unnamed = profile_of(local)
    contents = dict[Pack, PackContent]()
    for pack, each in zip(unnamed.packs, local, strict=True):
        with suppress(ProfileError):  # more than is looked at: there are its values all the same
            contents[pack] = read_pack_archive(each.archive)
    return find_undeclared([*profiles, unnamed], settings, declared=declared, contents=contents, helm=find_helm())


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
