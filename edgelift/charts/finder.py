"""Finding charts: from repository, name and version to a reference, and to what its content is read from."""

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import httpx

from edgelift.charts.index import INDEX_LIMIT, ChartIndex, open_index, shown
from edgelift.charts.repository import ChartRepository, from_tag, to_tag
from edgelift.charts.source import ChartArchive
from edgelift.charts.versions import Version, choose_version, is_range
from edgelift.errors import ConfigurationError, EdgeliftError, IntegrityError, NotFoundError, RegistryError
from edgelift.oci.reference import ImageReference, canonical_registry, for_message, is_tag
from edgelift.oci.registries import Registries
from edgelift.oci.source import Source
from edgelift.oci.wire import Call

_ASKED = "check repository, name and version where the chart is asked for"
Answer = TypeVar("Answer")


class FoundChart(NamedTuple):
    """A chart: its name among images, what it is read from, and the archive that it is made of.

    `archive` is None where a registry has the chart as it is.
    """

    reference: ImageReference
    source: Source
    archive: ChartArchive | None = None


class ChartFinder:
    """Finds charts; safe to share between threads. Each index is read once, or found once not to be readable."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries
        self._indexes: dict[ChartRepository, ChartIndex | EdgeliftError] = {}
        self._locks: dict[ChartRepository, threading.Lock] = {}
        self._guard = threading.Lock()

    def find(self, repository: str, chart: str, version: str) -> FoundChart:
        """The chart that somebody asks for; `version` may be a range, of which the greatest is taken.

        Raises `RegistryError`, `IntegrityError`, and `ConfigurationError` for what can be no chart.
        """
        asked = ChartRepository.parse(repository)
        if asked.kind == "archive":
            return self._open(asked, chart, version)
        look = self._find_tag if asked.kind == "oci" else self._find_entry
        return _first([partial(look, place, chart, version) for place in asked.candidates(chart)])

    def _find_tag(self, place: ChartRepository, chart: str, version: str) -> FoundChart:
        """The chart in a registry, under its name below `place`."""
        name = place.reference(chart, "0")
        source = self._registries.source(name.registry, name.repository)
        tags = self._tags_in_range(name, version) if is_range(version) else _spellings(version)
        for tag in tags:
            if is_tag(tag) and source.describe(name.repository, tag) is not None:
                return FoundChart(ImageReference(name.registry, name.repository, tag), source)
        raise NotFoundError(f"{name.name} has no version {for_message(version)}", hint=_ASKED)

    def _tags_in_range(self, name: ImageReference, version: str) -> Iterator[str]:
        """The greatest version within a range, of those that the first place lists that the registry is read at."""
        places = self._registries.mirrors.places(name.registry, name.repository)
        located = ((place.host, place.locate(name.repository)) for place in places)
        listings = [partial(self._registries.registry(host).list_tags, path) for host, path in located if path]
        chosen = choose_version(version, (from_tag(tag) for tag in _first(listings)))
        return iter(() if chosen is None else [to_tag(chosen)])

    def _find_entry(self, place: ChartRepository, chart: str, version: str) -> FoundChart:
        """The chart that the index of `place` lists."""
        entries = self._index(place).get(chart)
        if entries is None:
            raise NotFoundError(
                f"{place} has no chart {for_message(chart)}; it has {shown(iter(self._index(place)))}", hint=_ASKED
            )
        chosen = choose_version(version, (entry.version for entry in entries))
        if chosen is None:
            offered = shown(entry.version for entry in entries)
            raise NotFoundError(
                f"{place} has no version {for_message(version)} of {for_message(chart)}; it has {offered}", hint=_ASKED
            )
        entry = next(entry for entry in entries if entry.version == chosen)
        if entry.url.lower().startswith("oci://"):
            return self._follow(entry.url, chart)
        channel = self._registries.registry(place.host).channel
        archive = ChartArchive(channel, entry.url, place.path, chart, expected=entry.digest)
        said = archive.artifact().metadata
        if said.name != chart or choose_version(chosen, [said.version]) is None:
            raise IntegrityError(
                f"{place} gives an archive of {for_message(said.name)} {for_message(said.version)} for "
                f"{for_message(chart)} {for_message(chosen)}",
                hint="have the repository's index made anew (helm repo index)",
            )
        return FoundChart(place.reference(chart, chosen), archive, archive)

    def _follow(self, url: str, chart: str) -> FoundChart:
        """The chart that an index says is in a registry."""
        reference = ImageReference.parse(url[len("oci://") :])
        registry = canonical_registry(reference.registry)
        if reference.repository.rpartition("/")[2] != chart:
            raise IntegrityError(f"its index leads to {reference}, which has another name")
        return FoundChart(reference, self._registries.source(registry, reference.repository))

    def _open(self, place: ChartRepository, chart: str, version: str) -> FoundChart:
        """The chart in the one archive at `place`."""
        channel = self._registries.registry(place.host).channel
        archive = ChartArchive(channel, f"/{place.path}", place.path.rpartition("/")[0], chart)
        said = archive.artifact().metadata
        if said.name != chart or choose_version(version, [said.version]) is None:
            raise NotFoundError(
                f"{place} is the archive of {for_message(said.name)} {for_message(said.version)}, not of "
                f"{for_message(chart)} {for_message(version)}",
                hint=_ASKED,
            )
        return FoundChart(place.reference(chart, said.version), archive, archive)

    def _index(self, place: ChartRepository) -> ChartIndex:
        with self._guard:
            alone = self._locks.setdefault(place, threading.Lock())
        with alone:
            if place not in self._indexes:
                try:
                    self._indexes[place] = self._read_index(place)
                except EdgeliftError as error:
                    self._indexes[place] = error
            known = self._indexes[place]
        if isinstance(known, EdgeliftError):
            raise copy.copy(known)  # a copy has no traceback, which would grow with everyone who is told
        return known

    def _read_index(self, place: ChartRepository) -> ChartIndex:
        channel = self._registries.registry(place.host).channel
        path = f"/{place.path}/index.yaml" if place.path else "/index.yaml"
        call = Call("GET", path, f"read the index of charts {path}", place.path)
        reply = channel.exchange(call, INDEX_LIMIT)
        if reply.status != httpx.codes.OK:
            raise channel.refusal(call, reply)
        return open_index(reply.body, f"{place.host}{path}")


def _first(attempts: Sequence[Callable[[], Answer]]) -> Answer:
    """The first answer; where each is refused, the first refusal, which tells of the others.

    One that may pass later is final: what comes after it might be something else.
    """
    refusals: list[EdgeliftError] = []
    for attempt in attempts:
        try:
            return attempt()
        except (RegistryError, ConfigurationError) as error:
            if error.retryable:
                raise
            refusals.append(error)
    if not refusals:
        raise ConfigurationError("there is no place where it could be", hint=_ASKED)
    first = copy.copy(refusals[0])
    first.message = "; ".join(dict.fromkeys(each.message for each in refusals))
    raise first


def _spellings(version: str) -> tuple[str, ...]:
    """The tags that one version may have: with `v` and without."""
    other = version.removeprefix("v") if version.startswith("v") else f"v{version}"
    is_version = Version.parse(version) is not None
    return tuple(map(to_tag, (version, other) if is_version else (version,)))
