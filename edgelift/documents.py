"""Reading and writing the small files that people hold: definitions, locks, receipts. Writes are atomic."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from edgelift.errors import ConfigurationError, StoreError

LIMIT = 256 * 2**20  # bytes; the lock of ten thousand images is about 40 MiB


def read_document(path: Path) -> bytes:
    """The bytes of the file at `path`; raises `ConfigurationError` where it cannot be read or is absurdly large."""
    try:
        with path.open("rb") as file:
            content = file.read(LIMIT + 1)  # a pipe or a device does not tell its size before
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    if len(content) > LIMIT:
        raise ConfigurationError(f"{path} is larger than {LIMIT >> 20} MiB: not a document edgelift wrote")
    return content


def read_text(path: Path) -> str:
    """The text of the file at `path`; raises `ConfigurationError` where it cannot be read, or is none in UTF-8."""
    try:
        return read_document(path).decode()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not a text file in UTF-8") from None


def read_beginning(path: Path, limit: int) -> bytes | None:
    """Up to `limit` bytes of the plain file at `path`; None where there is none, as a pipe would keep us waiting.

    Raises `ConfigurationError` where it cannot be read.
    """
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None


def state_of(file: int) -> tuple[int, int, int]:
    """Which file the open `file` is, and when it changed last (ns): no program can set that moment."""
    found = os.fstat(file)
    return found.st_dev, found.st_ino, found.st_ctime_ns


def remove_document(path: Path) -> None:
    """Remove the file at `path`, where there is one; raises `StoreError` where it cannot be removed."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot remove {path}: {error.strerror}", hint="remove it by hand") from None


def write_document(path: Path, content: bytes) -> None:
    """Write `content` under `path` all at once: a reader sees the old file or the new one.

    Raises `StoreError`, also where anything but a plain file stands there: `/dev/stdout` would be replaced by one.
    """
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise StoreError(
                f"cannot write {path}: what stands there is no plain file", hint="name a new file, or remove that one"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            with suppress(PermissionError):  # a FAT disk knows no modes
                Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except FileExistsError:
        raise StoreError(f"cannot write {path}: {path.parent} is not a folder", hint="name another folder") from None
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror}", hint="check the free space and permissions of that folder"
        ) from None
