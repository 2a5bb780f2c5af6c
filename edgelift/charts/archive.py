"""The archive of a chart, a gzipped tar with one folder: read from front to back, nothing is unpacked.

Some packs name an archive of sources or an installer instead, with the chart somewhere inside; it is taken from there.
"""

import gzip
import io
import struct
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, cast

from edgelift.charts.metadata import CHART_YAML_LIMIT, ChartMetadata
from edgelift.errors import IntegrityError

ARCHIVE_LIMIT = 64 * 2**20  # bytes as it travels
_UNPACKED_LIMIT = 256 * 2**20  # bytes; Helm itself takes 100 MiB
_TOP = 2  # the parts of NAME/Chart.yaml
_TRIED = 16  # archives inside an archive
_STORED = 65535  # bytes of a stored block at most (RFC 1951, 3.2.4)

_Files = Iterator[tuple[str, int, IO[bytes]]]  # path, size and content, which can be read before the next


def read_metadata(archive: bytes, where: str) -> ChartMetadata:
    """What the chart in `archive` says of itself; raises `IntegrityError` where it is no whole archive of a chart."""
    found = _find_at_top(archive, where)
    if found is None:
        raise _no_chart(where)
    return found


def pick_chart(archive: bytes, chart: str, where: str) -> tuple[bytes, ChartMetadata]:
    """The archive of `chart`, and what it says of itself: `archive` as it is, or what is found inside of it.

    What is a chart is given as it is, whatever its name. Raises `IntegrityError` where it is none and holds none.
    """
    found = _find_at_top(archive, where)
    if found is not None:
        return archive, found
    packaged = _find_packaged(archive, chart, where)
    if packaged is not None:
        return packaged
    folder = _find_folder(archive, chart, where)
    if folder is None:
        raise _no_chart(where)
    made = _repackage(archive, chart, folder, where)
    return made, read_metadata(made, where)


def _no_chart(where: str) -> IntegrityError:
    return IntegrityError(
        f"{where} holds no chart: there is no Chart.yaml in its one folder",
        hint="name the repository that has the chart, or its own archive (.tgz)",
    )


def _find_at_top(archive: bytes, where: str) -> ChartMetadata | None:
    """The first Chart.yaml in a folder at the top."""
    found = None
    with _open(archive, where) as files:
        for path, size, file in files:  # to the end, so that its checksum has been looked at
            parts = path.split("/")
            if found is None and len(parts) == _TOP and parts[1] == "Chart.yaml" and size <= CHART_YAML_LIMIT:
                found = file.read()
    return ChartMetadata.parse(found, where) if found is not None else None


def _find_packaged(archive: bytes, chart: str, where: str) -> tuple[bytes, ChartMetadata] | None:
    """The archive of `chart` inside `archive`."""
    tried = 0
    with _open(archive, where) as files:
        for path, size, file in files:
            is_likely = path.rpartition("/")[2].startswith(f"{chart}-") and path.endswith(".tgz")
            if is_likely and size <= ARCHIVE_LIMIT and tried < _TRIED:
                tried, content = tried + 1, file.read()
                with suppress(IntegrityError):
                    metadata = read_metadata(content, f"{path} in {where}")
                    if metadata.name == chart:
                        return content, metadata
    return None


def _find_folder(archive: bytes, chart: str, where: str) -> str | None:
    """The folder of `chart` in an archive of sources: of several the one that is least deep."""
    found = list[str]()
    with _open(archive, where) as files:
        for path, size, file in files:
            if path.endswith("/Chart.yaml") and size <= CHART_YAML_LIMIT:
                with suppress(IntegrityError):
                    if ChartMetadata.parse(file.read(), path).name == chart:
                        found.append(path.removesuffix("Chart.yaml"))
    return min(found, key=lambda folder: (folder.count("/"), folder), default=None)


def _repackage(archive: bytes, chart: str, folder: str, where: str) -> bytes:
    """The files of `folder` as a chart's archive: the same files give the same bytes, with any library."""
    with _open(archive, where) as files:
        chosen = {path.removeprefix(folder): file.read() for path, _, file in files if path.startswith(folder)}
    first = sorted(chosen, key=lambda path: (path != "Chart.yaml", path))
    return _gzip_stored(_make_tar({f"{chart}/{path}": chosen[path] for path in first}))


def _make_tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _gzip_stored(content: bytes) -> bytes:
    """`content` as gzip (RFC 1952) that compresses nothing, since compressors differ in what they make."""
    blocks = [content[start : start + _STORED] for start in range(0, len(content), _STORED)]
    stored = [
        struct.pack("<BHH", number == len(blocks) - 1, len(block), len(block) ^ 0xFFFF) + block
        for number, block in enumerate(blocks)
    ]
    header, end = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff", struct.pack("<II", zlib.crc32(content), len(content))
    return b"".join([header, *stored, end])


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


@contextmanager
def _open(archive: bytes, where: str) -> Iterator[_Files]:
    """The plain files of an archive; raises `IntegrityError` where it is none, is cut short or is far too large."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(archive)) as unzipped:
            limited = _Limited(cast(IO[bytes], unzipped))
            with tarfile.open(fileobj=cast(IO[bytes], limited), mode="r|") as tar:
                yield _files(tar)
            while limited.read(2**20):
                pass
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError):  # ValueError: a header that makes no sense
        raise IntegrityError(
            f"{where} is no whole archive of a chart (.tgz)", hint="it may have been cut short, or be a web page"
        ) from None
    except _TooLargeError:
        raise IntegrityError(f"{where} has more than {_UNPACKED_LIMIT >> 20} MiB when it is unpacked") from None


def _files(tar: tarfile.TarFile) -> _Files:
    for member in tar:
        file = tar.extractfile(member) if member.isreg() else None
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        if file is not None and ".." not in parts:
            yield "/".join(parts), member.size, file
