"""Define undeclared: what packs use and do not declare, by all that is at hand of them.

That is their values and manifests, local packs as a whole, and, where somebody reads these, the charts and packs that
are carried.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from edgelift.bundle.definition import RequestedChart, RequestedImage
from edgelift.carried import CarriedContent
from edgelift.errors import EdgeliftError, ProfileError
from edgelift.oci.reference import ImageReference
from edgelift.packs.local import LocalPack, profile_of
from edgelift.palette.models import ClusterProfile, Pack
from edgelift.palette.undeclared.content import ChartArchive, PackContent, PackFile
from edgelift.palette.undeclared.findings import PackReport
from edgelift.palette.undeclared.helm import find_helm
from edgelift.palette.undeclared.pack import read_pack_archive
from edgelift.palette.undeclared.profiles import Charts, find_undeclared

_PARALLEL = 8  # charts and packs that are read at once

_Asked = TypeVar("_Asked")
_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Carried:
    """The charts and packs that are to be carried, and what reads them; without, they are not looked into."""

    charts: Sequence[RequestedChart] = ()
    packs: Sequence[RequestedImage] = ()
    reader: CarriedContent | None = None


NOTHING = Carried()


def find_used(
    profiles: Sequence[ClusterProfile],
    local: Sequence[LocalPack],
    settings: Mapping[str, str],
    *,
    declared: Collection[str],
    carried: Carried = NOTHING,
) -> tuple[PackReport, ...]:
    """What the packs of `profiles`, and `local` ones, use and do not declare; see `find_undeclared`.

    What is `carried` is a part of the packs that ask for it; a chart that was asked for by its name stands for itself.
    """
    reader = carried.reader
    charts = _read_all(carried.charts, reader.read_chart) if reader is not None else []
    contents, packs = dict(_read_local(local)), dict(_read_packs(carried))
    for profile in profiles:
        for pack in profile.packs:
            held = packs.get((profile.origin_label, pack.name, pack.version or pack.tag))
            if held is not None:
                contents[pack] = _joined(held, pack)
    by_name = {_pack_of(chart): found for chart, found in charts if any(not origin.pack for origin in chart.origins)}
    contents |= {pack: PackContent(pack.name).with_charts({pack.name: found}) for pack, found in by_name.items()}
    unnamed = [ClusterProfile(name="", packs=each) for each in (profile_of(local).packs, tuple(by_name)) if each]
    return find_undeclared(
        [*profiles, *unnamed],
        settings,
        declared=declared,
        contents=contents,
        charts=_by_asker(charts),
        helm=find_helm() if contents or charts else None,
    )


def fetch_charts(charts: Sequence[RequestedChart], reader: CarriedContent) -> Charts:
    """The `charts`, as `find_undeclared` takes them."""
    return _by_asker(_read_all(charts, reader.read_chart))


def _read_local(local: Sequence[LocalPack]) -> Iterator[tuple[Pack, PackContent]]:
    for pack, each in zip(profile_of(local).packs, local, strict=True):
        with suppress(ProfileError):  # more than is looked at: there are its values all the same
            yield pack, read_pack_archive(each.archive)


def _read_packs(carried: Carried) -> Iterator[tuple[tuple[str, str, str], PackContent]]:
    """The packs that could be read, by profile, name and version; of the others there are the values."""
    if carried.reader is None:
        return
    for pack, content in _read_all(carried.packs, carried.reader.read_pack):
        if isinstance(content, PackContent):
            version = ImageReference.parse(pack.reference).tag or ""
            yield from (((origin.profile, origin.pack, version), content) for origin in pack.origins)


def _read_all(asked: Sequence[_Asked], read: Callable[[_Asked], _Read]) -> list[tuple[_Asked, _Read | str]]:
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="look") as pool:
        return list(zip(asked, pool.map(partial(_read_or_explain, read), asked), strict=True))


def _read_or_explain(read: Callable[[_Asked], _Read], asked: _Asked) -> _Read | str:
    try:
        return read(asked)
    except EdgeliftError as error:  # no error here: what is needed to build, the plan needs as well
        return error.message


def _joined(held: PackContent, pack: Pack) -> PackContent:
    """A pack as its registry has it, with the values and manifests that a profile gives it."""
    given = tuple(PackFile(each.name, each.content) for each in pack.manifests)
    return replace(held, layer=pack.layer, values=pack.values, manifests=(*held.manifests, *given))


def _pack_of(chart: RequestedChart) -> Pack:
    return Pack(name=chart.name, version=chart.version, type="helm")


def _by_asker(charts: Sequence[tuple[RequestedChart, ChartArchive | str]]) -> Charts:
    found = defaultdict[tuple[str, str], dict[str, ChartArchive | str]](dict)
    for chart, archive in charts:
        for origin in chart.origins:
            if origin.pack:
                found[origin.profile, origin.pack][chart.name] = archive
    return found
