"""The index of a chart repository, `index.yaml` (helm.sh, "The Chart Repository Guide"): which charts are where.

Nothing here sends a request.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import yaml

from edgelift.charts.index_sections import find_sections
from edgelift.charts.yaml_reading import YamlReader
from edgelift.errors import MalformedReferenceError, RegistryError
from edgelift.oci.digest import Digest

INDEX_LIMIT = 64 * 2**20  # bytes; the largest of public repositories has 20 MiB
_ENTRIES = 500_000  # versions of all charts
_LONGEST = 4096  # characters of an address or a version
_SHOWN = 5  # names or versions in a message


@dataclass(frozen=True)
class IndexEntry:
    """One version of a chart: where its archive is, as the index writes it, and its digest where that is given."""

    version: str
    url: str
    digest: Digest | None = None


ChartIndex = Mapping[str, tuple[IndexEntry, ...]]


def open_index(content: bytes, where: str) -> ChartIndex:
    """The versions of every chart in an index, as `parse_index` gives them; each is parsed when it is asked for.

    That is for large ones: of 20 MiB nobody needs more than a few charts. Where their layout does not tell where each
    chart stands, all of it is parsed at once.
    """
    sections = find_sections(content)
    return _SectionedIndex(content, where, sections) if sections is not None else parse_index(content, where)


class _SectionedIndex(Mapping[str, tuple[IndexEntry, ...]]):
    """An index of which is known where each chart stands."""

    def __init__(self, content: bytes, where: str, sections: Mapping[str, tuple[int, int]]) -> None:
        self._content = content
        self._where = where
        self._sections = sections

    def __getitem__(self, name: str) -> tuple[IndexEntry, ...]:
        """The versions of the chart `name`; raises `RegistryError` where its section makes no sense."""
        start, end = self._sections[name]
        reader = YamlReader(self._content[start:end], self._where)
        charts = reader.mapping(reader.root)
        return {key: _read_versions(reader, value, _ENTRIES, self._where) for key, value in charts}.get(name, ())

    def __iter__(self) -> Iterator[str]:
        return iter(self._sections)

    def __len__(self) -> int:
        return len(self._sections)


def parse_index(content: bytes, where: str) -> ChartIndex:
    """The versions of every chart in an index, in its order; versions without an address are left out.

    Raises `RegistryError` that names `where`: it is no index.
    """
    reader = YamlReader(content, where)
    charts: dict[str, tuple[IndexEntry, ...]] | None = None
    for key, value in reader.mapping(reader.root):
        if key == "entries":
            charts, left = {}, _ENTRIES
            for name, versions in reader.mapping(value):
                charts[name] = _read_versions(reader, versions, left, where)
                left -= len(charts[name])
        else:
            reader.skip(value)
    if charts is None:
        raise RegistryError(
            f"{where} is no index of a chart repository: it has no entries",
            hint="check the address of the repository: helm repo add takes the same one",
        )
    return charts


def shown(names: Iterator[str]) -> str:
    """The first of `names` for a message; they are a stranger's."""
    listed = ["".join(each for each in name[:64] if each.isprintable()) for name in islice(names, _SHOWN + 1)]
    return ", ".join(listed[:_SHOWN]) + (", …" if len(listed) > _SHOWN else "") if listed else "none"


def _read_versions(reader: YamlReader, versions: yaml.Event, limit: int, where: str) -> tuple[IndexEntry, ...]:
    found = tuple(islice(_entries(reader, versions), limit + 1))
    if len(found) > limit:
        raise RegistryError(f"{where} has more than {_ENTRIES:,} versions of charts")
    return found


def _entries(reader: YamlReader, versions: yaml.Event) -> Iterator[IndexEntry]:
    for each in reader.sequence(versions):
        version, url, digest = None, None, None
        for key, value in reader.mapping(each):
            if key == "version":
                version = reader.text(value)
            elif key == "digest":
                digest = _digest(reader.text(value))
            elif key == "urls":
                addresses = [reader.text(entry) for entry in reader.sequence(value)]
                url = next((address for address in addresses if address), None)
            else:
                reader.skip(value)
        if version and url and len(version) <= _LONGEST and len(url) <= _LONGEST:
            yield IndexEntry(version, url, digest)


def _digest(text: str | None) -> Digest | None:
    """The digest that Helm writes without its algorithm, and others with it; None for what is neither."""
    with suppress(MalformedReferenceError):
        return Digest(f"sha256:{(text or '').lower().removeprefix('sha256:')}")
    return None
