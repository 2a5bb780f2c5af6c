"""The files of a chart's or a pack's archive, in memory. It is a stranger's: nothing is unpacked, all has a limit."""

import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping

from edgelift.errors import ProfileError

MAX_ARCHIVE = 32 * 2**20  # bytes of a .tgz
MAX_FILE = 4 * 2**20  # bytes of one file; Helm itself takes 5 MiB
MAX_TOTAL = 64 * 2**20  # bytes of all files
MAX_MEMBERS = 20_000
_WANTED = (".yaml", ".yml", ".tpl", ".tgz", ".json")


def read_files(data: bytes) -> dict[str, bytes]:
    """The files that say something of images, by their paths; links, devices and odd names are passed over.

    Raises `ProfileError` where `data` is no gzipped tar, or is larger than an honest one.
    """
    if len(data) > MAX_ARCHIVE:
        raise ProfileError(f"the archive has more than {MAX_ARCHIVE >> 20} MiB")
    try:
        with tarfile.open(fileobj=io.BytesIO(_inflate(data)), mode="r:") as archive:
            return {path: _read(archive, member) for path, member in _members(archive)}
    except (tarfile.TarError, zlib.error, OSError, EOFError, ValueError, OverflowError):
        raise ProfileError("it is not a gzipped tar (.tgz)") from None


def below_top(files: Mapping[str, bytes], marker: str) -> dict[str, bytes]:
    """The files in the folder, at the top or one below, that holds the file `marker`; none where no folder does."""
    tops = ["" if path == marker else path.partition("/")[0] + "/" for path in files if _is_at_top(path, marker)]
    return (
        {path.removeprefix(tops[0]): data for path, data in files.items() if path.startswith(tops[0])} if tops else {}
    )


def _is_at_top(path: str, marker: str) -> bool:
    return path == marker or path.partition("/")[2] == marker


def _inflate(data: bytes) -> bytes:
    inflate = zlib.decompressobj(wbits=31)  # gzip
    content = inflate.decompress(data, 2 * MAX_TOTAL)
    if inflate.unconsumed_tail:
        raise ProfileError(f"the archive inflates to more than {2 * MAX_TOTAL >> 20} MiB")
    return content


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
    total = 0
    for number, member in enumerate(archive):
        total += member.size
        if number >= MAX_MEMBERS or total > MAX_TOTAL:
            raise ProfileError(f"the archive has more than {MAX_MEMBERS:,} files or {MAX_TOTAL >> 20} MiB in them")
        path = member.name.removeprefix("./")
        if member.isreg() and ".." not in path.split("/") and path.lower().endswith(_WANTED):
            yield path, member


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    limit = MAX_ARCHIVE if member.name.lower().endswith(".tgz") else MAX_FILE
    if member.size > limit:
        raise ProfileError(f"a file of the archive has more than {limit >> 20} MiB")
    found = archive.extractfile(member)
    return found.read(limit) if found is not None else b""
