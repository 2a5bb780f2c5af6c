"""Packs of this machine: a folder, or an archive of one."""

from pathlib import Path

from edgelift.documents import read_document
from edgelift.errors import ConfigurationError, ProfileError
from edgelift.palette.undeclared.archive import MAX_ARCHIVE
from edgelift.palette.undeclared.content import PackContent
from edgelift.palette.undeclared.pack import DESCRIPTION, VALUES, named_files, read_pack, read_pack_archive

_HINT = "name a folder with a pack.json in it, or such a folder as a .tar.gz"


def is_pack(path: Path) -> bool:
    """Whether `path` is meant as a pack: a folder or an archive, and no exported profile."""
    return path.is_dir() or path.name.endswith((".tar.gz", ".tgz"))


def read_local_pack(path: Path) -> PackContent:
    """The pack at `path`; raises `ConfigurationError` where there is none."""
    try:
        return _read_folder(path) if path.is_dir() else read_pack_archive(_read_bytes(path))
    except ProfileError as error:
        raise ConfigurationError(f"{path}: {error.message}", hint=_HINT) from None


def _read_folder(folder: Path) -> PackContent:
    description = _read_bytes(folder / DESCRIPTION)
    paths = [path for path in (VALUES, *named_files(description)) if _is_inside(folder, path)]
    return read_pack({DESCRIPTION: description} | {path: _read_bytes(folder / path) for path in paths})


def _is_inside(folder: Path, path: str) -> bool:
    """Whether `path` is a file of the folder: neither a name nor a link leads out of it."""
    place = folder / path
    return place.is_file() and place.resolve().is_relative_to(folder.resolve())


def _read_bytes(path: Path) -> bytes:
    if path.name.endswith(".tgz") and path.stat().st_size > MAX_ARCHIVE:
        return b""  # no honest chart; it will be told that it cannot be read
    return read_document(path)
