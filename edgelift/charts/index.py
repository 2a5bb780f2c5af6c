"""The index of a chart repository, `index.yaml` (helm.sh, "The Chart Repository Guide"): which charts are where.

Nothing here sends a request.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import yaml

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
                charts[name] = tuple(islice(_entries(reader, versions), left + 1))
                left -= len(charts[name])
                if left < 0:
                    raise RegistryError(f"{where} has more than {_ENTRIES:,} versions of charts")
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
