"""The archive of a chart, a gzipped tar with one folder: read from front to back, nothing is unpacked."""

import gzip
import io
import tarfile
import zlib
from typing import IO, cast

from edgelift.charts.metadata import CHART_YAML_LIMIT, ChartMetadata
from edgelift.errors import IntegrityError

ARCHIVE_LIMIT = 64 * 2**20  # bytes as it travels
_UNPACKED_LIMIT = 256 * 2**20  # bytes; Helm itself takes 100 MiB
_MEMBER_DEPTH = 2  # NAME/Chart.yaml


def read_metadata(archive: bytes, where: str) -> ChartMetadata:
    """What the chart in `archive` says of itself; raises `IntegrityError` where it is no whole archive of a chart."""
    try:
        found = _find_chart_yaml(archive)
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError):  # ValueError: a header that makes no sense
        raise IntegrityError(
            f"{where} is no whole archive of a chart (.tgz)", hint="it may have been cut short, or be a web page"
        ) from None
    except _TooLargeError:
        raise IntegrityError(f"{where} has more than {_UNPACKED_LIMIT >> 20} MiB when it is unpacked") from None
    if found is None:
        raise IntegrityError(
            f"{where} holds no chart: there is no Chart.yaml in its one folder",
            hint="an archive of sources is no chart: name the repository that has the chart instead",
        )
    return ChartMetadata.parse(found, where)


class _TooLargeError(Exception):
    """More comes out than anybody needs."""


class _Limited:
    """What a file gives, up to `_UNPACKED_LIMIT` bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = _UNPACKED_LIMIT

    def read(self, size: int) -> bytes:
        content = self._file.read(min(size, self._left + 1))
        self._left -= len(content)
        if self._left < 0:
            raise _TooLargeError
        return content


def _find_chart_yaml(archive: bytes) -> bytes | None:
    """The first Chart.yaml in a folder at the top; all is read, so that its checksum has been looked at."""
    found = None
    with gzip.GzipFile(fileobj=io.BytesIO(archive)) as unzipped:
        limited = _Limited(cast(IO[bytes], unzipped))
        with tarfile.open(fileobj=cast(IO[bytes], limited), mode="r|") as tar:
            for member in tar:
                parts = [part for part in member.name.split("/") if part != "."]
                is_wanted = len(parts) == _MEMBER_DEPTH and parts[1] == "Chart.yaml" and member.isfile()
                if found is None and is_wanted and member.size <= CHART_YAML_LIMIT:
                    file = tar.extractfile(member)
                    found = file.read() if file is not None else None
        while limited.read(2**20):
            pass
    return found
