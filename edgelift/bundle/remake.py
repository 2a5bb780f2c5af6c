"""Single parts of a bundle, made again: the same lock gives the same bytes, and the index says which these were.

Where a part begins is known only once all before it has been laid out, as frames have no size before they are
compressed. Of what goes in as it is, in frames of raw blocks, the size is enough: it is read for its own parts alone.
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgelift.bundle.container import SIGNATURE_SIZES, is_raw
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.part_files import find_index, read_index
from edgelift.bundle.parts import PartsIndex
from edgelift.bundle.parts_output import write_parts_again
from edgelift.bundle.placing import signature_path
from edgelift.bundle.seek_table import closing_size
from edgelift.bundle.seekable import Part
from edgelift.bundle.signed import read_signed
from edgelift.bundle.writer import lay_out_bundle
from edgelift.documents import read_beginning
from edgelift.errors import ConfigurationError, StoreError
from edgelift.oci.content import BufferReader
from edgelift.oci.descriptor import Descriptor

if TYPE_CHECKING:
    from edgelift.bundle.signature import PublicKey

_FRAME = 64  # bytes; more than a frame has around its blocks
_BUNDLE, _LOCK = ".tar.zst", ".lock.json"


def remake_parts(
    place: Path,
    numbers: Collection[int],
    source: BufferReader,
    lock_file: Path | None,
    key: "PublicKey | None",
    *,
    folder: Path | None = None,
) -> tuple[Path, ...]:
    """Write the parts of these `numbers` of the bundle whose index is at `place`, from its lock and content.

    The lock is that beside the index, unless `lock_file` is given; its signature, where one is beside it, belongs into
    the bundle. They go into `folder`, or beside the index, once they are what it says. No private key is needed.
    Raises `ConfigurationError` for a number that is none, `StoreError` where content is missing and `IntegrityError`
    where the parts come out otherwise.
    """
    index_file = find_index(place)
    if index_file is None:
        raise ConfigurationError(f"{place} is not a bundle in parts", hint="name its index, NAME.tar.zst.parts.json")
    index = read_index(index_file)
    for number in numbers:
        if not 1 <= number <= len(index.parts):
            raise ConfigurationError(f"--part {number}: {index.name} has parts 1 to {len(index.parts)}")
    lock_file = lock_file or index_file.with_name(f"{index.name.removesuffix(_BUNDLE)}{_LOCK}")
    lock = BundleLock.from_json(read_signed(lock_file, key), str(lock_file))
    signature = read_beginning(signature_path(lock_file), SIGNATURE_SIZES.stop)
    needed = _Needed(source, index, numbers)
    try:
        container, chunks = lay_out_bundle(lock, needed, lock_signature=signature)
    except StoreError as error:
        name = index.name.removesuffix(_BUNDLE)
        again = f"edgelift build --name {name} --lock {lock_file} --part-size {index.part_size}"
        raise StoreError(error.message, hint=f"pull them, and write all parts: {again}") from None
    needed.expect_closing(index.size - closing_size(sum(1 for _ in container.frames())))
    return write_parts_again((folder or index_file.parent) / index.name, index, set(numbers), needed.count(chunks))


class _Needed:
    """The content of `source` as far as it gets into parts. Implements `oci.content.BufferReader`.

    Of other content that goes in as it is, bytes of no meaning are given instead; what comes of them is dropped.
    """

    def __init__(self, source: BufferReader, index: PartsIndex, numbers: Collection[int]) -> None:
        self._source = source
        self._position = 0  # of the bundle, in bytes: all that has been taken so far
        self._spans = [((number - 1) * index.part_size, number * index.part_size) for number in numbers]
        self._is_all_needed = False

    def expect_closing(self, start: int) -> None:
        """What closes the bundle begins at `start`; it has the checksums of everything."""
        self._is_all_needed = any(start < end for _, end in self._spans)

    def count(self, chunks: Iterable[Part]) -> Iterator[Part]:
        """The bundle that comes of it, as it is taken."""
        for chunk in chunks:
            yield chunk
            self._position += len(chunk)

    def exists(self, descriptor: Descriptor) -> bool:
        """Whether the source has it."""
        return self._source.exists(descriptor)

    def read_into(self, buffer: memoryview, descriptor: Descriptor) -> Iterator[memoryview]:
        """The content, or as many bytes."""
        if self._is_all_needed or not is_raw(descriptor) or self._gets_into_parts(descriptor.size):
            yield from self._source.read_into(buffer, descriptor)
            return
        for start in range(0, descriptor.size, len(buffer)):
            yield buffer[: min(len(buffer), descriptor.size - start)]

    def _gets_into_parts(self, size: int) -> bool:
        """Whether content of that size, which begins about here, may; its frames are a little larger."""
        stop = self._position + size + size // 1000 + _FRAME
        return any(start < stop and self._position < end for start, end in self._spans)
