"""What an archive holds: its bundles, each with what its lock says, read by ranges; and what is none of them.

One that cannot be read is told of, and does not end the survey. A bundle is what opens as one, whatever it is called;
that its content is right takes `restore` or `edgelift verify`.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from edgelift.archive.place import BUNDLE, KeptFile, Leftover, ListableArchive, names_beside
from edgelift.bundle.parts import INDEX_SUFFIX
from edgelift.bundle.placing import SIGNATURE_SUFFIX
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.signed import check_lock
from edgelift.errors import EdgeliftError, SignatureError, StoreError
from edgelift.oci.digest import Digest

if TYPE_CHECKING:
    from edgelift.bundle.signature import PublicKey

Signature = Literal["none", "not checked", "ok", "refused"]
_PARALLEL = 8


@dataclass(frozen=True)
class FoundBundle:
    """A bundle, and the files `beside` that go with it.

    `bundle` is its name in the definition, `content_size` the bytes of what it carries, each blob counted once. `lock`
    is the digest of its lock, and `base` that of what it goes on top of, where it is a delta.
    `signature` is that of the lock; `is_signed` says whether one of the whole file stands beside it.
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

    @property
    def is_signed(self) -> bool:
        """Whether the signature of the file is there; whose it is has not been looked at."""
        return f"{self.file.name}{SIGNATURE_SUFFIX}" in {file.name for file in self.beside}

    @property
    def folder(self) -> str:
        """The part of its name in the archive before the last `/`."""
        return self.file.name.rpartition("/")[0]

    @property
    def size(self) -> int:
        """Bytes of the bundle and of what goes with it."""
        return self.file.size + sum(file.size for file in self.beside)


@dataclass(frozen=True)
class Unreadable:
    """What is called as bundles are, and cannot be read as one; `problem` says why."""

    file: KeptFile
    url: str
    problem: str


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


def survey_archive(archive: ListableArchive, key: "PublicKey | None" = None) -> Survey:
    """Look through `archive`; with a `key` the signatures of the locks are checked.

    Raises `StoreError` where the place cannot be listed, `ConfigurationError` where there are no keys for it.
    """
    files = {file.name: file for file in archive.files()}
    names = [name for name in files if name.endswith(BUNDLE)]
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="survey") as pool:
        found = list(pool.map(partial(_look, archive, files, key), (files[name] for name in names)))
    bundles = [each for each in found if isinstance(each, FoundBundle)]
    leftovers, warnings = _leftovers(archive)
    known = {file.name for each in found for file in (each.file, *_beside(files, each.file.name))}
    return Survey(
        bundles=tuple(_in_order(bundles)),
        unreadable=tuple(each for each in found if isinstance(each, Unreadable)),
        others=tuple(file for name, file in files.items() if name not in known),
        leftovers=leftovers,
        warnings=(*warnings, *(_in_parts(archive.url(name)) for name in files if name.endswith(INDEX_SUFFIX))),
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


def _beside(files: Mapping[str, KeptFile], bundle: str) -> tuple[KeptFile, ...]:
    if f"{bundle}{INDEX_SUFFIX}" in files:  # lock and signatures may be those of the bundle in parts by that name
        return ()
    return tuple(files[name] for name in names_beside(bundle) if name in files)


def _leftovers(archive: ListableArchive) -> tuple[tuple[Leftover, ...], tuple[str, ...]]:
    """Uploads that have not ended; where they may not or cannot be listed, that is no more than told."""
    try:
        return tuple(archive.leftovers()), ()
    except StoreError as error:
        return (), (str(error),)


def _in_parts(url: str) -> str:
    return f"{url} is a bundle in parts: it is not looked into here, and stays; `edgelift inspect` reads it"


def _in_order(bundles: Iterable[FoundBundle]) -> list[FoundBundle]:
    newest_first = sorted(bundles, key=lambda each: (each.file.modified, each.file.name), reverse=True)
    return sorted(newest_first, key=lambda each: (each.folder, each.bundle))
