"""A bundle in parts, for media of limited size: its file, cut every so many bytes, and an index. No I/O here.

The parts of NAME are NAME.part-0001, NAME.part-0002, …: one after the other they are NAME to the byte. NAME.parts.json
is written last and says what they have to be. Nothing in it is believed that can be worked out: which parts there are,
their names and sizes follow from name, size and part size.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError, model_validator

from edgelift.errors import BundleError, ConfigurationError
from edgelift.explain import explain
from edgelift.oci.digest import Digest

FORMAT: Literal["edgelift.parts/v1"] = "edgelift.parts/v1"
INDEX_SUFFIX = ".parts.json"
INDEX_LIMIT = 2**20  # bytes; one of 500 parts is about 120 KiB
SMALLEST_PART = 2**20  # bytes
LARGEST_PART = 2**62
MOST_PARTS = 500  # all are open at once while a bundle is read, and systems often allow a process 1024 files

PartSize = Annotated[int, Field(ge=SMALLEST_PART, le=LARGEST_PART)]
_PART_NAME = re.compile(r"(.+)\.part-[0-9]{4}")
_NAME_LIMIT = 200  # bytes of UTF-8; 255 are a file's, and a part in the making has a longer name
_NOT_OURS = "get the index again from where the bundle was built; nothing else is needed to put the parts together: cat"


class BundlePart(BaseModel):
    """One part: a file beside the index, of `size` bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    size: int
    digest: Digest


class PartsIndex(BaseModel):
    """The bundle `name` of `size` bytes in parts of `part_size` bytes, the last of which may be smaller."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["edgelift.parts/v1"] = FORMAT
    name: str
    size: Annotated[int, Field(ge=1, le=LARGEST_PART)]
    digest: Digest
    part_size: PartSize
    parts: Annotated[tuple[BundlePart, ...], FailFast()]

    @model_validator(mode="after")
    def _has_the_parts_that_follow(self) -> Self:
        if not is_plain(self.name):
            raise ValueError("its name is not that of a file")
        sizes = part_sizes(self.size, self.part_size)
        if [part.size for part in self.parts] != sizes:
            raise ValueError("its parts are not those that its size and part size give")
        if [part.name for part in self.parts] != [part_name(self.name, at) for at in range(1, len(sizes) + 1)]:
            raise ValueError("its parts do not have the names of its parts")
        if any(each.algorithm != "sha256" for each in (self.digest, *(part.digest for part in self.parts))):
            raise ValueError("one of its digests is not a sha256")
        return self

    def to_json(self) -> bytes:
        """The canonical bytes: sorted keys, two spaces, a newline at the end."""
        document = self.model_dump(mode="json")
        return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes, where: str) -> Self:
        """Read an index; raises `BundleError` that names `where`."""
        try:
            _refuse_odd(content)
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise BundleError(f"{where} is not an index of parts: {explain(error)}", hint=_NOT_OURS) from None
        except (ValueError, RecursionError) as error:
            is_odd = type(error) is ValueError  # else it cannot be parsed: bytes, syntax, depth
            reason = str(error) if is_odd else "it is no JSON"
            raise BundleError(f"{where} is not an index of parts: {reason}", hint=_NOT_OURS) from None


def index_path(path: Path) -> Path:
    """Where the index of the bundle `path` in parts stands."""
    return path.with_name(f"{path.name}{INDEX_SUFFIX}")


def part_name(name: str, number: int) -> str:
    """The name of the part of that number, counted from 1, of the bundle `name`."""
    return f"{name}.part-{number:04}"


def whole_name(name: str) -> str | None:
    """The name of the bundle that `name` is the index or a part of; None where it is neither."""
    if name.endswith(INDEX_SUFFIX):
        return name.removesuffix(INDEX_SUFFIX)
    found = _PART_NAME.fullmatch(name)
    return found[1] if found is not None else None


def part_sizes(size: int, part_size: int) -> list[int]:
    """The sizes of the parts of a bundle; raises `ValueError` where there would be too many."""
    if -(-size // part_size) > MOST_PARTS:
        raise ValueError(f"it would have more than {MOST_PARTS} parts")
    return [min(part_size, size - start) for start in range(0, size, part_size)]


def check_part_size(part_size: int, need: int) -> None:
    """Raise `ConfigurationError` where parts are absurd, at all or for a bundle of `need` bytes of content."""
    if not SMALLEST_PART <= part_size <= LARGEST_PART:
        raise ConfigurationError(
            f"parts of {part_size:,} bytes are too {'small' if part_size < SMALLEST_PART else 'large'}",
            hint=f"a part has {SMALLEST_PART:,} bytes (1MiB) or more, up to what one medium takes",
        )
    most = need + need // 128 + 2**16  # what nothing makes smaller gets larger by its frames
    if most > MOST_PARTS * part_size:
        raise ConfigurationError(
            f"a bundle of up to {most:,} bytes would have more than {MOST_PARTS} parts of {part_size:,} bytes",
            hint=f"choose parts of {-(-most // MOST_PARTS):,} bytes or more",
        )


def is_plain(name: str) -> bool:
    """Whether `name` is that of a file, in the folder where it is looked for and nowhere else."""
    is_short = name.isprintable() and 0 < len(name.encode()) <= _NAME_LIMIT
    return is_short and not name.startswith(".") and not {"/", "\\"} & set(name)


def _refuse_odd(content: bytes) -> None:
    if len(content) > INDEX_LIMIT:
        raise ValueError(f"it is larger than {INDEX_LIMIT >> 20} MiB")
    json.loads(content, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of an object; one that comes twice would be read in one way here, in another elsewhere."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("it has a key twice")
    return members
