"""Single parts of a bundle, made again: the same lock gives the same bytes, and the index says which these were."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from edgelift.bundle.container import SIGNATURE_SIZES
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.part_files import find_index, read_index
from edgelift.bundle.parts_output import write_parts_again
from edgelift.bundle.placing import signature_path
from edgelift.bundle.signed import read_signed
from edgelift.bundle.writer import lay_out_bundle
from edgelift.documents import read_beginning
from edgelift.errors import ConfigurationError, StoreError
from edgelift.oci.content import BufferReader

if TYPE_CHECKING:
    from edgelift.bundle.signature import PublicKey

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
    try:
        _, chunks = lay_out_bundle(lock, source, lock_signature=signature)
    except StoreError as error:
        name = index.name.removesuffix(_BUNDLE)
        again = f"edgelift build --name {name} --lock {lock_file} --part-size {index.part_size}"
        raise StoreError(error.message, hint=f"pull them, and write all parts: {again}") from None
    return write_parts_again((folder or index_file.parent) / index.name, index, set(numbers), chunks)
