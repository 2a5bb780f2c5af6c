"""The files of a chart's archive, in memory. It is a stranger's: nothing is unpacked, everything has a limit."""

import io
import tarfile
import zlib
from collections.abc import Iterator

from edgelift.errors import ProfileError

MAX_ARCHIVE = 32 * 2**20  # bytes of a .tgz
MAX_FILE = 4 * 2**20  # bytes of one file; Helm itself takes 5 MiB
MAX_TOTAL = 64 * 2**20  # bytes of all files that are read, and of all that is passed over
MAX_MEMBERS = 20_000
_WANTED = (".yaml", ".yml", ".tpl", ".tgz", ".txt")


def read_chart(data: bytes) -> dict[str, bytes]:
    """The files of a chart by their path below its top folder; only those that say something of images.

    Raises `ProfileError` where `data` is no archive, or is larger than an honest one.
    """
    if len(data) > MAX_ARCHIVE:
        raise ProfileError(f"the chart has more than {MAX_ARCHIVE >> 20} MiB")
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=_Limited(data), mode="r:") as archive:
            for path, member in _members(archive):
                files[path] = _read(archive, member)
    except (tarfile.TarError, zlib.error, OSError, EOFError, ValueError, OverflowError):
        raise ProfileError("it is not the archive of a chart (.tgz)") from None
    return files


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """The plain files that are wanted, with their paths; links, devices and odd names are passed over."""
    total = 0
    for number, member in enumerate(archive):
        total += member.size
        if number >= MAX_MEMBERS or total > MAX_TOTAL:
            raise ProfileError(f"the chart has more than {MAX_MEMBERS:,} files or {MAX_TOTAL >> 20} MiB in them")
        _, slash, path = member.name.removeprefix("./").partition("/")
        if member.isreg() and slash and ".." not in path.split("/") and path.lower().endswith(_WANTED):
            yield path, member


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    limit = MAX_ARCHIVE if member.name.lower().endswith(".tgz") else MAX_FILE
    if member.size > limit:
        raise ProfileError(f"a file of the chart has more than {limit >> 20} MiB")
    found = archive.extractfile(member)
    return found.read(limit) if found is not None else b""


class _Limited(io.BytesIO):
    """What a gzip holds, inflated no further than an honest chart goes."""

    def __init__(self, data: bytes) -> None:
        inflate = zlib.decompressobj(wbits=31)  # gzip
        content = inflate.decompress(data, 2 * MAX_TOTAL)
        if inflate.unconsumed_tail:
            raise ProfileError(f"the chart inflates to more than {2 * MAX_TOTAL >> 20} MiB")
        super().__init__(content)
