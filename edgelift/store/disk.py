"""What the operating system says about the disk, as errors of ours that name the next step."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from edgelift.errors import StoreError

_SYNC_FILE_RANGE_WRITE = 2  # Linux, include/uapi/linux/fs.h
_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota on this disk is used up",
    errno.EFBIG: "the disk is full or takes no file of that size",  # FAT32 ends at 4 GiB
}


@contextmanager
def disk_errors(attempt: str, *, need: int | None = None, place: Path | None = None) -> Iterator[None]:
    """Turn `OSError` into a `StoreError` that says what was attempted, and for a full disk what is needed and free."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise StoreError(
                f"cannot {attempt}: {error.strerror or error}",
                hint="look at the permissions and the state of that disk, or choose another folder",
            ) from None
        needed = f"; {need:,} bytes are needed" if need is not None else ""
        free = f", {shutil.disk_usage(place).free:,} bytes are free" if place is not None else ""
        raise StoreError(
            f"cannot {attempt}: {_FULL[error.errno]}{needed}{free}",
            hint="free some space or choose another folder, then run the same command again: it continues",
        ) from None


def remove(path: Path) -> None:
    """Remove whatever is at `path`, if anything; a link is removed, not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def begin_writing(file: int, start: int, size: int) -> None:
    """Have the system bring a part of `file` to the disk from now on, without waiting; nothing where it cannot do that.

    Else it waits for `fsync`, which then takes as long as the disk needs for all of it.
    """
    begin = _sync_file_range()
    if begin is not None:  # what it returns is of no use: `fsync` tells whether all went well
        begin(file, start, size, _SYNC_FILE_RANGE_WRITE)


@cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    """sync_file_range(2), for which Python has no name; None where the system, or this Python's ctypes, is missing."""
    try:
        import ctypes  # noqa: PLC0415 - only downloads need it, and a Python built without libffi has none
    except ImportError:
        return None
    found = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if found is not None:
        found.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return found
