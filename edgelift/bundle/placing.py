"""How a large file gets its name: it grows under a hidden one, and is renamed once it is whole and durable."""

import errno
import fcntl
import glob
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from edgelift.errors import StoreError

SIGNATURE_SUFFIX = ".sig"
_YOUNG = 60.0  # seconds; a file may be so young that its writer has not locked it yet


def signature_path(path: Path) -> Path:
    """Where the signature of the file at `path` stands."""
    return path.with_name(f"{path.name}{SIGNATURE_SUFFIX}")


class HiddenFile:
    """A new file under a hidden name beside `path`, open as `number`; gone when it is closed without being named."""

    def __init__(self, path: Path) -> None:
        """Raises `OSError`."""
        self._path = path
        self._hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        self.number = os.open(self._hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        _lock(self.number)

    def reveal(self) -> None:
        """Give it its name, in place of what has that."""
        self._hidden.replace(self._path)

    def close(self) -> None:
        """Close it, and remove it where it is still hidden."""
        os.close(self.number)
        self._hidden.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def writing(path: Path, need: int) -> Iterator[None]:
    """A block that writes up to `need` bytes for `path`, into a folder that is made; raises `StoreError` for `OSError`.

    What killed runs left hidden there, and nobody writes any more, is removed.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        yield
    except OSError as error:
        raise _write_error(path, need, error) from None


@contextmanager
def naming_alone(folder: Path) -> Iterator[None]:
    """A block in which no other process gives names in `folder` that belong together; without locks there, it may."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def sync_names(folder: Path) -> None:
    """Make new names durable; some network file systems refuse that, and the bundle is none the worse for it."""
    with suppress(OSError):
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def _remove_leftovers(path: Path) -> None:
    """Remove what killed runs left of `path` or its parts: as large as a bundle, and hidden."""
    name, ending = glob.escape(path.name), "[0-9a-f]" * 8
    hidden = (each for part in ("", ".part-*") for each in path.parent.glob(f".{name}{part}.{ending}"))
    for each in hidden:
        with suppress(OSError):  # not ours, or locked: another run is writing it
            file = os.open(each, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(file).st_mtime > _YOUNG:
                    each.unlink()
            finally:
                os.close(file)


def _lock(file: int) -> None:
    """Say that `file` is being written; without locks on that disk nothing is ever removed there."""
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _write_error(path: Path, need: int, error: OSError) -> StoreError:
    if error.errno == errno.EFBIG:
        return StoreError(
            f"cannot write {path}: it needs up to {need:,} bytes, more than this disk or a limit allows for one file",
            hint="FAT32 takes 4 GiB a file: write it in parts (--part-size 4GB), format the disk as exFAT or write "
            "elsewhere; `ulimit -f` shows a limit",
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        folder = next(each for each in (path.absolute(), *path.absolute().parents) if each.is_dir())
        free = shutil.disk_usage(folder).free
        return StoreError(
            f"cannot write {path}: the disk is full; up to {need:,} bytes are needed, {free:,} are free",
            hint="free some space or choose another folder, then run the same command again",
        )
    return StoreError(
        f"cannot write {path}: {error.strerror}", hint="check that the folder can be written to, or choose another"
    )
