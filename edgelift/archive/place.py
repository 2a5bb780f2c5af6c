"""The port of the archive: a place where finished bundles are kept, and what it says of one.

Whatever is kept has a name only when all of it is there and is what its digest says; the same holds on the way back.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from edgelift.bundle.placing import SIGNATURE_SUFFIX
from edgelift.bundle.source import ByteSource
from edgelift.errors import ConfigurationError, IntegrityError
from edgelift.oci.digest import Digest
from edgelift.store.disk import disk_errors, sync_folder

Progress = Callable[[int], None]  # takes the bytes that have just been done; called from several threads
BUNDLE, LOCK = ".tar.zst", ".lock.json"  # how the names of bundles and of their locks end
CLUSTER_DEFINITION = ".cluster-definition.tgz"  # and that of the cluster definition, whatever its file was called
CHECKSUMS = ("sha256", "sha512")
UNDATED = datetime.min.replace(tzinfo=UTC)  # of a file of which its place does not tell when it came
_OURS = re.compile(
    r"\.(?:tar\.zst(?:\.part-\d{4}|\.parts\.json)?|lock\.json|cluster-definition\.tgz)(?:\.sig)?(?:\.sha(?:256|512))?$"
)
_MARK = 12  # hexadecimal digits of a lock's digest
_NAME_LIMIT = 900  # bytes of UTF-8; S3 keys end at 1024, and a prefix goes before


class ArchivedBundle(BaseModel):
    """Where a bundle, or a file that goes with it, is kept: `url`, `size` in bytes and `digest`."""

    model_config = ConfigDict(frozen=True)

    url: str
    size: int
    digest: Digest


class Archive(Protocol):
    """A place that keeps bundles, their signatures and locks under names such as `site-a/2025-06.tar.zst`."""

    def store(
        self, path: Path, *, digest: Digest, name: str | None = None, progress: Progress | None = None
    ) -> ArchivedBundle:
        """Keep the file at `path` under `name` (its own name, unless given) and say where it is.

        Nothing is sent where the same bytes are kept under that name already; other bytes are replaced once all is
        there. Raises `IntegrityError` where the file is not what `digest` says, `StoreError` where the place fails.
        """

    def restore(
        self, name: str, destination: Path, *, digest: Digest | None = None, progress: Progress | None = None
    ) -> ArchivedBundle:
        """Bring `name` back as the file `destination`, compared with `digest`, or with the one noted when it was kept.

        Raises `IntegrityError` where it differs (there is no `destination` then), `StoreError` where the place fails.
        """


class RestorableArchive(Protocol):
    """A place from which bundles come back over a network."""

    def open(self, name: str) -> ByteSource:
        """Open what is kept under `name` for reading in place. Raises `EdgeliftError`."""

    def noted_digest(self, name: str) -> Digest | None:
        """The digest that was noted when `name` was stored, if it was; None also where nothing is kept under it."""

    def restore(
        self,
        name: str,
        destination: Path,
        *,
        digest: Digest | None = None,
        progress: Progress | None = None,
        confirm: Callable[[Path], None] | None = None,
    ) -> ArchivedBundle:
        """As `Archive.restore`, going on where an earlier run broke off.

        `confirm` is called with the file before it has its name, and raises where it is not right.
        """


class KeptFile(NamedTuple):
    """A file in an archive: `size` in bytes; `version` tells it from others that had or will have its name."""

    name: str
    size: int
    modified: datetime
    version: str


class Leftover(NamedTuple):
    """What a killed run, or one that still goes on, has sent under `name` without ending it."""

    name: str
    began: datetime
    id: str


class ListableArchive(Protocol):
    """An archive that can be looked through."""

    def url(self, name: str) -> str:
        """What people call what is kept under `name`; an empty one is the whole archive."""

    def files(self) -> Iterator[KeptFile]:
        """Everything that is kept, ours or not. Raises `StoreError` where the place fails."""

    def leftovers(self) -> Iterator[Leftover]:
        """What was begun under a name of ours, and not ended. Raises `StoreError` where the place fails."""

    def open(self, name: str) -> ByteSource:
        """Open what is kept under `name` for reading in place. Raises `EdgeliftError`."""


class BrowsableArchive(ListableArchive, Protocol):
    """One that also lets go of things."""

    def remove(self, file: KeptFile) -> bool:
        """Delete `file`; whether the place keeps it as an older version all the same.

        Raises `StoreError` where it may not be deleted, or where another has taken its name since.
        """

    def abort(self, leftover: Leftover) -> None:
        """Delete what has arrived of `leftover`. Raises `StoreError`."""


def is_ours(name: str) -> bool:
    """Whether `name` is one that a bundle, its lock, or what goes with them has."""
    return _OURS.search(name) is not None


def names_beside(bundle: str) -> Iterator[str]:
    """The names of what may be kept with the bundle of that name: its lock, signatures … and their checksums."""
    stem = bundle.removesuffix(BUNDLE)
    contents = (bundle, f"{stem}{LOCK}", f"{stem}{CLUSTER_DEFINITION}")
    files = [name for content in contents for name in (content, f"{content}{SIGNATURE_SUFFIX}")]
    yield from files[1:]
    yield from (f"{file}.{algorithm}" for file in files for algorithm in CHECKSUMS)


def own_name(name: str, lock: Digest) -> str:
    """What the bundle `name` with this `lock` is called where it is kept beside others of its name."""
    return f"{name}-{lock.hex[:_MARK]}"


def folder_for_parts(whole: str) -> str | None:
    """The folder that was made for the parts of `whole` alone, under its `own_name`; None where they lie in another."""
    folder, _, name = whole.rpartition("/")
    made = re.fullmatch(rf"{re.escape(name.removesuffix(BUNDLE))}-[0-9a-f]{{{_MARK}}}", folder.rpartition("/")[2])
    return folder if made else None


def check_name(name: str) -> str:
    """`name`, where it is one or more plain parts with `/` between them; raises `ConfigurationError` otherwise."""
    parts = name.split("/")
    plain = all(part not in {"", ".", ".."} and "\\" not in part and part.isprintable() for part in parts)
    if not plain or PurePosixPath(name).is_absolute() or len(name.encode(errors="replace")) > _NAME_LIMIT:
        raise ConfigurationError(
            f"{name[:100]!r} cannot be the name of an archived bundle",
            hint="use plain names with / between them, such as site-a/edge.tar.zst",
        )
    return name


def write_verified(
    destination: Path, chunks: Iterable[bytes], *, digest: Digest, source: str, progress: Progress | None = None
) -> int:
    """Write `chunks`, which come from `source`, under `destination` once they are all there; the size in bytes.

    Raises `IntegrityError` where they are not what `digest` says and `StoreError` where the disk fails; an earlier
    `destination` stands then.
    """
    hasher, size = digest.hasher(), 0
    with disk_errors(f"make the folder {destination.parent}"):
        destination.parent.mkdir(parents=True, exist_ok=True)
    with disk_errors(f"write {destination}", place=destination.parent), _appearing_whole(destination) as file:
        for chunk in chunks:
            hasher.update(chunk)
            size += len(chunk)
            file.write(chunk)
            if progress is not None:
                progress(len(chunk))
        check_digest(hasher.hexdigest(), digest, source)
    return size


def holds(path: Path, size: int, digest: Digest) -> bool:
    """Whether that content is at `path`; read in full, since a disk that travels may have lost bits."""
    with disk_errors(f"read {path}"):
        if not path.is_file() or path.stat().st_size != size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, digest.hasher).hexdigest() == digest.hex


def check_digest(hexdigest: str, digest: Digest, source: str) -> None:
    """Raise `IntegrityError` unless the bytes of `source`, whose hash is `hexdigest`, are those of `digest`."""
    if hexdigest != digest.hex:
        raise IntegrityError(
            f"{source} is not what its digest says: {digest.algorithm}:{hexdigest}, not {digest}",
            hint="the file was changed or damaged after its digest was taken; build or archive the bundle again",
        )


@contextmanager
def _appearing_whole(destination: Path) -> Iterator[BinaryIO]:
    """A file that gets the name `destination` at the end of the block, or is gone."""
    handle, name = tempfile.mkstemp(dir=destination.parent, prefix=f".{destination.name[:100]}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(destination)
        sync_folder(destination.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
