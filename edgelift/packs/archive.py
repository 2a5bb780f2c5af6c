"""The archive of a local pack, NAME-VERSION.tar.gz: made of a folder, the same bytes every time, or read as it is.

As Palette documents it, the archive holds the pack's folder. Nothing is ever unpacked, and no link is followed.
"""

import errno
import gzip
import io
import os
import stat
import tarfile
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from edgelift.errors import ConfigurationError

LIMIT = 256 * 2**20  # bytes of an archive, and of a folder; real ones have a few MiB
UNPACKED_LIMIT = 2 * LIMIT  # bytes of tar in an archive
MEMBERS_LIMIT = 20_000
FILE_LIMIT = 16 * 2**20  # bytes of a file that is read: values have some hundred KiB
_LEVEL = 9
_DEEPEST = 2  # parts of a path: a file in the pack's folder
_HINT = "a pack is a folder with pack.json, values.yaml and what these name, or such a folder in a .tar.gz"


def archive_folder(folder: Path, name: str) -> bytes:
    """The pack in `folder` as a gzipped tar, below the folder `name` there: sorted, without times, owners and modes.

    Raises `ConfigurationError` for a link, a device, or whatever else is no plain file.
    """
    tar_bytes = io.BytesIO()
    with tarfile.open(fileobj=tar_bytes, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(_member(name, tarfile.DIRTYPE))
        for below, place, is_folder in _walk(os.fsencode(folder), name):
            if is_folder:
                tar.addfile(_member(below, tarfile.DIRTYPE))
                continue
            content = read_file(place)
            member = _member(below, tarfile.REGTYPE)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
            if tar_bytes.tell() > LIMIT:
                raise ConfigurationError(f"{folder} holds more than {LIMIT >> 20} MiB: that is no pack", hint=_HINT)
    archive = io.BytesIO()
    # Not `gzip.compress`: what stands in its header differs between releases of Python.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=archive, mtime=0) as file:
        file.write(tar_bytes.getvalue())
    return archive.getvalue()


def read_file(path: Path | bytes) -> bytes:
    """The plain file at `path`; raises `ConfigurationError` where it is none, is too large or cannot be read."""
    shown = os.fsdecode(path)
    try:
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe must not block us
        with os.fdopen(number, "rb") as file:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise ConfigurationError(f"{shown} is no plain file, so it cannot be part of a pack", hint=_HINT)
            content = file.read(LIMIT + 1)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ConfigurationError(f"{shown} is a link, so it cannot be part of a pack", hint=_HINT) from None
        raise ConfigurationError(f"cannot read {shown}: {error.strerror}", hint=_HINT) from None
    if len(content) > LIMIT:
        raise ConfigurationError(f"{shown} is larger than {LIMIT >> 20} MiB", hint=_HINT)
    return content


def find_files(archive: bytes, marker: str, others: Collection[str], where: str) -> dict[str, bytes]:
    """The file `marker` of the pack in `archive`, and those of `others` that stand beside it, by name.

    It stands at the top, or in the folder there; without one, nothing is found. `where` names the archive in messages.
    Raises `ConfigurationError` where it is none, or holds what no pack does.
    """
    try:
        with tarfile.open(fileobj=_Unpacked(archive), mode="r|") as tar:
            folders = _collect(tar, {marker, *others}, where)
    except (tarfile.TarError, EOFError, OSError, zlib.error, UnicodeError, ValueError):
        raise ConfigurationError(f"{where} is no gzipped tar, or a damaged one", hint=_HINT) from None
    marked = sorted((folder for folder, files in folders.items() if marker in files), key=lambda each: len(each.parts))
    if len(marked) > 1 and len(marked[0].parts) == len(marked[1].parts):
        raise ConfigurationError(f"{where} holds several folders with a {marker} where a pack has one", hint=_HINT)
    return folders[marked[0]] if marked else {}


def _collect(tar: tarfile.TarFile, wanted: Collection[str], where: str) -> dict[PurePosixPath, dict[str, bytes]]:
    """The files with `wanted` names, at the top and in the folders there."""
    folders = defaultdict[PurePosixPath, dict[str, bytes]](dict)
    for number, member in enumerate(tar):
        if number >= MEMBERS_LIMIT:
            raise ConfigurationError(f"{where} holds more than {MEMBERS_LIMIT:,} files", hint=_HINT)
        path = _checked_path(member, where)
        if member.isdir() or path.name not in wanted or len(path.parts) > _DEEPEST:
            continue
        if path.name in folders[path.parent]:
            raise ConfigurationError(f"{where} holds {path} twice", hint=_HINT)
        folders[path.parent][path.name] = _content(tar, member, where)
    return folders


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, where: str) -> bytes:
    file = tar.extractfile(member)
    if file is None or member.size > FILE_LIMIT:
        raise ConfigurationError(f"{where}: {member.name[:200]!r} has {member.size:,} bytes, which is absurd")
    return file.read()


def _checked_path(member: tarfile.TarInfo, where: str) -> PurePosixPath:
    path = PurePosixPath(member.name)
    if not (member.isreg() or member.isdir()):
        raise ConfigurationError(f"{where} holds {member.name[:200]!r}, a link or device; a pack has none", hint=_HINT)
    if path.is_absolute() or ".." in path.parts:
        raise ConfigurationError(f"{where} holds {member.name[:200]!r}, which leads out of the pack", hint=_HINT)
    return path


def _walk(folder: bytes, below: str) -> Iterator[tuple[str, bytes, bool]]:
    """Everything in `folder` by its name `below` there, its place, and whether it is a folder; in the order of names.

    Places are bytes, and names UTF-8, whatever the locale takes them for.
    """
    try:
        entries = [(_name_of(entry.name, folder), entry) for entry in os.scandir(folder)]
    except OSError as error:
        raise ConfigurationError(f"cannot read {os.fsdecode(folder)}: {error.strerror}", hint=_HINT) from None
    for name, entry in sorted(entries, key=lambda each: each[0]):
        is_folder = entry.is_dir(follow_symlinks=False)
        if not is_folder and not entry.is_file(follow_symlinks=False):
            place = os.fsdecode(entry.path)
            raise ConfigurationError(f"{place} is a link or no plain file, so it cannot be part of a pack", hint=_HINT)
        yield f"{below}/{name}", entry.path, is_folder
        if is_folder:
            yield from _walk(entry.path, f"{below}/{name}")


def _name_of(raw: bytes, folder: bytes) -> str:
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        name = ""
    if not name or not name.isprintable() or "\\" in name:
        raise ConfigurationError(f"{os.fsdecode(folder)} holds a file with an odd name, {raw!r}", hint=_HINT)
    return name


def _member(name: str, kind: bytes) -> tarfile.TarInfo:
    """A member with nothing of the machine in it: time and owner are 0, names of owners empty."""
    member = tarfile.TarInfo(name)
    member.type = kind
    member.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return member


class _Unpacked(io.RawIOBase):
    """The tar in a gzip archive, from front to back; raises `ConfigurationError` where it does not end in time."""

    def __init__(self, archive: bytes) -> None:
        self._file = gzip.GzipFile(fileobj=io.BytesIO(archive))
        self._left = UNPACKED_LIMIT

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes."""
        piece = self._file.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise ConfigurationError(f"an archive unpacks to more than {UNPACKED_LIMIT >> 20} MiB: that is no pack")
        return piece
