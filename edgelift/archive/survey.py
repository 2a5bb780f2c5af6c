"""What an archive holds: its bundles, each with what its lock says, read by ranges; and what is none of them.

One that cannot be read is told of, and does not end the survey. A bundle is what opens as one, whatever it is called;
that its content is right takes `restore` or `edgelift verify`. One in parts is what its index says, where all of these
parts are there.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Literal

from edgelift.archive.place import (
    BUNDLE,
    CHECKSUMS,
    KeptFile,
    Leftover,
    ListableArchive,
    folder_for_parts,
    names_beside,
)
from edgelift.bundle.part_files import parts_of
from edgelift.bundle.parts import INDEX_SUFFIX, BundlePart, whole_name
from edgelift.bundle.placing import SIGNATURE_SUFFIX
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.signed import check_lock
from edgelift.errors import EdgeliftError, SignatureError, StoreError
from edgelift.oci.digest import Digest

if TYPE_CHECKING:
    from edgelift.bundle.signature import PublicKey

Signature = Literal["none", "not checked", "ok", "refused"]
_INDEX = f"{BUNDLE}{INDEX_SUFFIX}"
_PARALLEL = 8


@dataclass(frozen=True)
class FoundBundle:
    """A bundle, and the files `beside` that go with it.

    `file` is all of it, or the index of its `parts`. `bundle` is its name in the definition, `content_size` the bytes
    of what it carries, each blob counted once. `lock` is the digest of its lock, and `base` that of what it goes on top
    of, where it is a delta. `signature` is that of the lock; `is_signed` says whether one of the whole file stands
    beside it.
    """

    file: KeptFile
    url: str
    bundle: str
    architecture: str | None
    images: int
    content_size: int
    lock: Digest
    base: Digest | None
    signature: Signature
    beside: tuple[KeptFile, ...]
    parts: tuple[KeptFile, ...] = ()

    @property
    def name(self) -> str:
        """What it is called in the archive; where it is in parts, no file is."""
        return _whole(self.file.name)

    @property
    def is_signed(self) -> bool:
        """Whether the signature of the file is there; whose it is has not been looked at."""
        return f"{self.name}{SIGNATURE_SUFFIX}" in {file.name for file in self.beside}

    @property
    def folder(self) -> str:
        """Where it lies, as people see it: a folder that was made for its parts does not count as one."""
        own = folder_for_parts(self.name) if self.parts else None
        return (own or self.name).rpartition("/")[0]

    @property
    def file_size(self) -> int:
        """Bytes of the bundle itself."""
        return sum(part.size for part in self.parts) or self.file.size

    @property
    def size(self) -> int:
        """Bytes of the bundle and of what goes with it."""
        return sum(file.size for file in (self.file, *self.parts, *self.beside))


@dataclass(frozen=True)
class Unreadable:
    """What is called as bundles are, and cannot be read as one; `problem` says why."""

    file: KeptFile
    url: str
    problem: str


@dataclass(frozen=True)
class StrayParts:
    """Parts of the bundle `name` without an index, in the folder that was made for them.

    An upload has not come to its end, whether it goes on or was killed; or a deletion has not. `files` are these parts
    last, and before them what goes with them.
    """

    name: str
    files: tuple[KeptFile, ...]

    @property
    def modified(self) -> datetime:
        """When the youngest of them came."""
        return max(file.modified for file in self.files)

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Survey:
    """An archive: the newest bundle of each name first. `others` are files of anybody's; `warnings` is what stays open.

    `leftovers` are of uploads that have not ended, whoever may still be at work on them.
    """

    bundles: tuple[FoundBundle, ...]
    unreadable: tuple[Unreadable, ...]
    others: tuple[KeptFile, ...]
    leftovers: tuple[Leftover, ...]
    warnings: tuple[str, ...]
    strays: tuple[StrayParts, ...] = ()


def survey_archive(archive: ListableArchive, key: "PublicKey | None" = None) -> Survey:
    """Look through `archive`; with a `key` the signatures of the locks are checked.

    Raises `StoreError` where the place cannot be listed, `ConfigurationError` where there are no keys for it.
    """
    files = {file.name: file for file in archive.files()}
    look = partial(_look, archive, files, key)
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="survey") as pool:
        found = list(pool.map(look, (file for name, file in files.items() if name.endswith(BUNDLE))))
    # One after the other: the parts of each are opened at once.
    found += [look(file) for name, file in files.items() if name.endswith(_INDEX)]
    strays = tuple(_strays(files))
    leftovers, warnings = _leftovers(archive)
    known = {file.name for each in strays for file in each.files}
    for each in found:
        belonging = (each.file, *_beside(files, each.file.name), *_parts_of(files, each.file.name))
        known |= {file.name for file in belonging}
    return Survey(
        bundles=tuple(_in_order(each for each in found if isinstance(each, FoundBundle))),
        unreadable=tuple(each for each in found if isinstance(each, Unreadable)),
        others=tuple(file for name, file in files.items() if name not in known),
        leftovers=leftovers,
        warnings=warnings,
        strays=strays,
    )


def _look(
    archive: ListableArchive, files: Mapping[str, KeptFile], key: "PublicKey | None", file: KeptFile
) -> FoundBundle | Unreadable:
    url = archive.url(file.name)
    try:
        with BundleReader.of(archive.open(file.name)) as bundle:
            definition = bundle.definition
            return FoundBundle(
                file=file,
                url=url,
                bundle=definition.name,
                architecture=definition.architecture,
                images=len(bundle.lock.images),
                content_size=bundle.lock.carried_size,
                lock=bundle.lock.digest,
                base=bundle.lock.base.lock if bundle.lock.base is not None else None,
                signature=_signature(bundle, key),
                beside=_beside(files, file.name),
                parts=_listed(files, file.name, parts_of(bundle.tar.source)),
            )
    except EdgeliftError as error:
        return Unreadable(file, url, error.message)


def _signature(bundle: BundleReader, key: "PublicKey | None") -> Signature:
    if key is None:
        return "none" if bundle.lock_signature is None else "not checked"
    try:
        check_lock(bundle, key)
    except SignatureError:
        return "refused"
    return "ok"


def _listed(files: Mapping[str, KeptFile], index: str, parts: Sequence[BundlePart]) -> tuple[KeptFile, ...]:
    """The files of these `parts`; raises `StoreError` where one came after the archive was listed."""
    folder, slash, _ = index.rpartition("/")
    names = [f"{folder}{slash}{part.name}" for part in parts]
    if not files.keys() >= set(names):
        raise StoreError(f"{index} has got other parts just now", hint="run it again")
    return tuple(files[name] for name in names)


def _beside(files: Mapping[str, KeptFile], name: str) -> tuple[KeptFile, ...]:
    """What goes with the bundle that is the file `name`, or whose index is."""
    whole = _whole(name)
    is_twice = whole in files and f"{whole}{INDEX_SUFFIX}" in files  # lock and signatures may be those of either
    checked = (name, *(part.name for part in _parts_of(files, name)))
    checksums = (f"{each}.{algorithm}" for each in checked for algorithm in CHECKSUMS)
    names = dict.fromkeys((*(() if is_twice else names_beside(whole)), *checksums))
    return tuple(files[each] for each in names if each in files)


def _parts_of(files: Mapping[str, KeptFile], index: str) -> tuple[KeptFile, ...]:
    """The files that are called as parts of the bundle with this `index` are; none where that is no index."""
    whole = index.removesuffix(INDEX_SUFFIX)
    return tuple(file for name, file in files.items() if _is_part_of(name, whole)) if whole != index else ()


def _strays(files: Mapping[str, KeptFile]) -> Iterator[StrayParts]:
    wholes = {found for name in files if (found := whole_name(name)) is not None}
    for whole in sorted(each for each in wholes if f"{each}{INDEX_SUFFIX}" not in files and folder_for_parts(each)):
        index = f"{whole}{INDEX_SUFFIX}"
        beside = () if whole in files else _beside(files, index)
        yield StrayParts(whole, (*beside, *_parts_of(files, index)))


def _whole(name: str) -> str:
    return whole_name(name) or name


def _is_part_of(name: str, whole: str) -> bool:
    return whole_name(name) == whole and not name.endswith(INDEX_SUFFIX)


def _leftovers(archive: ListableArchive) -> tuple[tuple[Leftover, ...], tuple[str, ...]]:
    """Uploads that have not ended; where they may not or cannot be listed, that is no more than told."""
    try:
        return tuple(archive.leftovers()), ()
    except StoreError as error:
        return (), (str(error),)


def _in_order(bundles: Iterable[FoundBundle]) -> list[FoundBundle]:
    newest_first = sorted(bundles, key=lambda each: (each.file.modified, each.file.name), reverse=True)
    return sorted(newest_first, key=lambda each: (each.folder, each.bundle))
