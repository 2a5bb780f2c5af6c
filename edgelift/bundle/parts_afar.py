"""A bundle in parts that lies elsewhere than on a disk: its index is read, and all parts are opened at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from edgelift.bundle.parts import INDEX_LIMIT, INDEX_SUFFIX, BundlePart, PartsIndex
from edgelift.bundle.spanned import SpannedFile
from edgelift.errors import BundleError

if TYPE_CHECKING:
    from edgelift.bundle.source import ByteSource

_PARALLEL = 8  # parts at once


class OpenFile(Protocol):
    """Opens a file where the index and the parts are; `is_read_next` says whether its end is looked at at once."""

    def __call__(self, name: str, *, is_read_next: bool) -> "ByteSource":
        """Open the file of that name; raises `EdgeliftError`."""


def open_parts_afar(
    whole: str, called: str, open_file: OpenFile, beside: Callable[[str, int], bytes | None]
) -> SpannedFile:
    """The bundle in parts whose whole has the name `whole`, in folders or not; messages call it `called`.

    `beside` reads the beginning of what is kept under that name and a suffix. Raises what `open_file` does, and
    `BundleError` where the index is none, is that of another bundle, or a part has not the size that it says.
    """
    index_file = open_file(f"{whole}{INDEX_SUFFIX}", is_read_next=True)
    content = index_file.read_at(0, min(index_file.size, INDEX_LIMIT + 1))
    index = PartsIndex.from_json(content, index_file.name)
    folder, slash, name = whole.rpartition("/")
    if index.name != name:
        raise BundleError(
            f"{index_file.name} is the index of a bundle with another name, {index.name}",
            hint="keep index and parts under the names that they were made with",
        )

    def open_part(part: BundlePart) -> "ByteSource":
        found = open_file(f"{folder}{slash}{part.name}", is_read_next=part is index.parts[-1])
        if found.size != part.size:
            raise BundleError(
                f"{found.name} is damaged: it has {found.size:,} bytes; it has to have {part.size:,} and {part.digest}",
                hint="archive that part again",
            )
        return found

    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="open-parts") as pool:
        parts = list(pool.map(open_part, index.parts))
    return SpannedFile(called, index, parts, beside)
