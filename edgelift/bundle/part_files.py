"""The files of a bundle in parts: found, opened together, and looked at one by one where something is wrong."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgelift.bundle.parts import INDEX_LIMIT, INDEX_SUFFIX, BundlePart, PartsIndex, index_path, whole_name
from edgelift.bundle.source import ByteSource, LocalFile, is_object
from edgelift.bundle.spanned import SpannedFile
from edgelift.documents import read_beginning
from edgelift.errors import BundleError, EdgeliftError, PartsError, SignatureError
from edgelift.oci.content import CHUNK

_NAMED = 10  # parts in a command that a message gives


@dataclass(frozen=True)
class BadPart:
    """A part that is not what the index says: `found` is what there is instead, in words."""

    number: int
    part: BundlePart
    problem: Literal["missing", "damaged", "unreadable"]
    found: str = ""

    def __str__(self) -> str:
        found = f": {self.found}" if self.found else ""
        wanted = f"it has to have {self.part.size:,} bytes and {self.part.digest}"
        return f"{self.part.name} is {self.problem}{found}; {wanted}"

    def document(self) -> dict[str, str | int]:
        """The same for scripts."""
        told = {"name": self.part.name, "problem": self.problem, "found": self.found}
        return {"number": self.number, **told, "size": self.part.size, "digest": self.part.digest}


def find_index(place: Path) -> Path | None:
    """The index where `place` is one, is named like a part, or is a folder that holds one; else None.

    Raises `BundleError` for a folder that holds several.
    """
    if _is_there(place.is_dir):
        found = sorted(each for each in place.glob(f"*{INDEX_SUFFIX}") if not each.name.startswith("."))
        if len(found) > 1:
            raise BundleError(f"{place} holds several bundles in parts", hint=f"name one of them: {found[0]}")
        return found[0] if found else None
    whole = whole_name(place.name)
    return index_path(place.with_name(whole)) if whole else None


def is_in_parts(path: Path) -> bool:
    """Whether an index stands beside `path`, which need not be there."""
    return bool(path.name) and _is_there(index_path(path).is_file)


def _is_there(asked: Callable[[], bool]) -> bool:
    """What the disk says; no, where it cannot be asked: who opens it then will say why."""
    try:
        return asked()
    except OSError:
        return False


def parts_of(source: ByteSource) -> tuple[BundlePart, ...]:
    """The parts of an open bundle; none where it is one file."""
    return source.index.parts if isinstance(source, SpannedFile) else ()


def read_index(index_file: Path) -> PartsIndex:
    """The index in that file; raises `BundleError`, also where it is that of a bundle with another name."""
    content = read_beginning(index_file, INDEX_LIMIT + 1)
    whole = index_file.name.removesuffix(INDEX_SUFFIX)
    if content is None:
        raise BundleError(
            f"there is no {index_file}",
            hint=f"it says what each part has to be: copy it, too; without it, put {whole} together with cat",
        )
    index = PartsIndex.from_json(content, str(index_file))
    if index.name != whole:
        raise BundleError(
            f"{index_file} is the index of a bundle with another name, {index.name}",
            hint=f"give index and parts their names back: {index.name}{INDEX_SUFFIX}",
        )
    return index


def open_parts(index_file: Path) -> SpannedFile:
    """The bundle in parts, all of which are opened; raises `PartsError` that names those without the right size."""
    return open_parts_of(index_file, read_index(index_file))


def open_parts_of(index_file: Path, index: PartsIndex) -> SpannedFile:
    """As `open_parts`, for the `index` that is to stand there."""
    with ExitStack() as opened:
        looked_at = [_open(index_file, number, part) for number, part in enumerate(index.parts, start=1)]
        files = [opened.enter_context(closing(each)) for each in looked_at if isinstance(each, LocalFile)]
        bad = [each for each in looked_at if isinstance(each, BadPart)]
        if bad:
            raise _parts_error(index_file, index, bad)
        opened.pop_all()
    whole = index_file.with_name(index.name)
    return SpannedFile(str(whole), index, files, lambda suffix, limit: read_beginning(Path(f"{whole}{suffix}"), limit))


@contextmanager
def bad_parts_named(place: str) -> Iterator[None]:
    """A block that reads a bundle; where it is in parts and something is wrong, `PartsError` names all that are bad.

    Every part is read for that. Where all are right, what went wrong is raised as it is.
    """
    try:
        yield
    except SignatureError:
        raise
    except EdgeliftError:
        index_file = find_index(Path(place)) if not is_object(place) else None
        if index_file is None:
            raise
        index = read_index(index_file)
        bad = [found for at, part in enumerate(index.parts, 1) if (found := _look_at(index_file, at, part))]
        if not bad:
            raise
        raise _parts_error(index_file, index, bad) from None


def _look_at(index_file: Path, number: int, part: BundlePart) -> BadPart | None:
    """What is wrong with a part, to the last byte."""
    file = _open(index_file, number, part)
    if isinstance(file, BadPart):
        return file
    hasher = hashlib.sha256()
    try:
        with closing(file):
            for start in range(0, part.size, CHUNK):
                hasher.update(file.read_at(start, min(CHUNK, part.size - start)))
    except BundleError as error:
        return BadPart(number, part, "unreadable", error.message)
    if hasher.hexdigest() != part.digest.hex:
        return BadPart(number, part, "damaged", f"it has sha256:{hasher.hexdigest()}")
    return None


def _open(index_file: Path, number: int, part: BundlePart) -> LocalFile | BadPart:
    path = index_file.with_name(part.name)
    try:
        file = LocalFile(path)
    except BundleError as error:
        is_unreadable = _is_there(path.exists)
        return BadPart(number, part, "unreadable", error.message) if is_unreadable else BadPart(number, part, "missing")
    if file.size != part.size:
        file.close()
        return BadPart(number, part, "damaged", f"it has {file.size:,} bytes")
    return file


def _parts_error(index_file: Path, index: PartsIndex, bad: list[BadPart]) -> PartsError:
    numbers = " ".join(f"--part {each.number}" for each in bad[:_NAMED])
    others = f" and so on, for {len(bad)} parts" if len(bad) > _NAMED else ""
    return PartsError(
        f"{len(bad)} of the {len(index.parts)} parts of {index.name} are not right",
        [str(each) for each in bad],
        hint="copy them again from where they are right; or make only these again, where the lock and the store are: "
        f"edgelift reassemble {index_file} {numbers}{others}",
        parts=[each.document() for each in bad],
    )
