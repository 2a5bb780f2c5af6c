"""Writing a bundle in parts: cut while it is written, each part hidden until all are whole, the index last.

While there is no index there is no bundle, whatever parts have their names already.
"""

import glob
import hashlib
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from edgelift.bundle.output import OutputFile
from edgelift.bundle.parts import (
    MOST_PARTS,
    BundlePart,
    PartsIndex,
    check_part_size,
    index_path,
    part_name,
    whole_name,
)
from edgelift.bundle.placing import HiddenFile, naming_alone, signature_path, sync_names, writing
from edgelift.documents import remove_document, write_document
from edgelift.errors import IntegrityError
from edgelift.oci.digest import Digest

if TYPE_CHECKING:
    from edgelift.bundle.signature import PrivateKey


def write_in_parts(
    path: Path,
    part_size: int,
    chunks: Iterable[bytes | memoryview],
    need: int,
    *,
    confirm: Callable[[], None] | None = None,
    key: "PrivateKey | None" = None,
) -> PartsIndex:
    """Write the bundle `path`, up to `need` bytes that come in `chunks`, in parts; with a `key` its signature, too.

    What stood under that name, in parts or as one file, is replaced once all is well, and `confirm` does not raise.
    Raises `StoreError` where the disk does not take it, and `ConfigurationError` where parts are too small.
    """
    check_part_size(part_size, need)
    with writing(path, need), PartFiles(path, part_size) as files:
        files.write(chunks)
        files.finish()
        if confirm is not None:
            confirm()
        index = PartsIndex(
            name=path.name,
            size=files.size,
            digest=Digest(f"sha256:{files.hasher.hexdigest()}"),
            part_size=part_size,
            parts=tuple(files.parts.values()),
        )
        signature = key.sign(index.digest) if key is not None else None
        with naming_alone(path.parent):
            remove_parts(path)
            remove_document(signature_path(path))
            files.reveal()
            sync_names(path.parent)
            if signature is not None:
                write_document(signature_path(path), signature)
            write_document(index_path(path), index.to_json())
            path.unlink(missing_ok=True)
        sync_names(path.parent)
    return index


def write_parts_again(
    path: Path, index: PartsIndex, numbers: Collection[int], chunks: Iterable[bytes | memoryview]
) -> tuple[Path, ...]:
    """Write only the parts of these `numbers` of the bundle `path`, which comes in `chunks`; gives their files.

    Raises `IntegrityError`, and leaves what stands there, where they are not what `index` says.
    """
    need = sum(index.parts[number - 1].size for number in numbers)
    with writing(path, need), PartFiles(path, index.part_size, numbers) as files:
        files.write(chunks)
        files.finish()
        for number in sorted(numbers):
            wanted, made = index.parts[number - 1], files.parts.get(number)
            if made != wanted:
                has = f"has {made.size:,} bytes and {made.digest}" if made is not None else "is none of its parts"
                raise IntegrityError(
                    f"{wanted.name}, made again, {has}, but has to have {wanted.size:,} bytes and {wanted.digest}",
                    hint="the lock is not that of these parts, its signature (.sig) is not beside it as it was, or "
                    "another release of zstd compressed them: copy the part, or build all of them again",
                )
        files.reveal()
        sync_names(path.parent)
    return tuple(path.with_name(part.name) for part in files.parts.values())


def remove_parts(path: Path) -> None:
    """Remove the index and all parts of the bundle `path`; raises `OSError`."""
    index_path(path).unlink(missing_ok=True)  # first: what is left without it is no bundle
    for each in path.parent.glob(f"{glob.escape(path.name)}.part-*"):
        if whole_name(each.name) == path.name and each.is_file():
            each.unlink(missing_ok=True)


class PartFiles:
    """The parts of `path`, written from the start of the whole on; those that are not among `wanted` are left out.

    They are hidden until `reveal`, and gone at the end of the block where that was not called. For one thread.
    """

    def __init__(self, path: Path, part_size: int, wanted: Collection[int] = range(1, MOST_PARTS + 1)) -> None:
        self.size = 0  # bytes so far
        self.hasher = hashlib.sha256()  # of all that was written
        self.parts: dict[int, BundlePart] = {}
        self._path = path
        self._part_size = part_size
        self._wanted = wanted
        self._files: list[HiddenFile] = []
        self._hidden = ExitStack()
        self._part: _PartFile | None = None

    def write(self, chunks: Iterable[bytes | memoryview]) -> None:
        """Append `chunks` as they come, as far as parts are wanted; raises `OSError`."""
        end = max(self._wanted) * self._part_size
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                number, filled = divmod(self.size, self._part_size)
                piece, rest = rest[: self._part_size - filled], rest[self._part_size - filled :]
                if number + 1 in self._wanted:
                    self._write(number + 1, piece)
                self.size += len(piece)
            if self.size >= end:
                return

    def finish(self) -> None:
        """Make the last part durable."""
        part, self._part = self._part, None
        if part is not None:
            self.parts[part.number] = part.finish()

    def reveal(self) -> None:
        """Give all parts their names."""
        for file in self._files:
            file.reveal()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._hidden:  # closed also where the part that was being written fails to end
            if self._part is not None:
                self._part.give_up()

    def _write(self, number: int, piece: memoryview) -> None:
        if self._part is None or self._part.number != number:
            self.finish()
            name = part_name(self._path.name, number)
            file = self._hidden.enter_context(HiddenFile(self._path.with_name(name)))
            self._files.append(file)
            self._part = _PartFile(number, name, file, self.hasher)
        self._part.write(piece)


class _PartFile:
    """A part in the making."""

    def __init__(self, number: int, name: str, file: HiddenFile, whole: "hashlib._Hash") -> None:
        self.number = number
        self._name = name
        self._size = 0
        self._hasher = hashlib.sha256()
        self._output = OutputFile(file.number, (self._hasher, whole))

    def write(self, piece: memoryview) -> None:
        """Append to it."""
        self._output.write([piece])
        self._size += len(piece)

    def finish(self) -> BundlePart:
        """Make it durable; says what it came to."""
        with self._output:
            self._output.finish()
        return BundlePart(name=self._name, size=self._size, digest=Digest(f"sha256:{self._hasher.hexdigest()}"))

    def give_up(self) -> None:
        """Let go of it; nothing writes to its file any more."""
        with self._output:
            """Leave it."""
