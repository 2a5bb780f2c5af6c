"""What copying one image reports, and how its blobs overlap."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from pydantic import BaseModel, ConfigDict

from edgelift.oci.descriptor import Descriptor

Progress = Callable[[int], None]  # called with the bytes done since the last call

PARALLEL_BLOBS = 4  # of one image


class Transfer(BaseModel):
    """What a copy did: blobs and bytes that travelled, blobs that were there already, blobs mounted in the registry.

    `taken` are blobs, and bytes, that came from nearby instead of a registry.
    """

    model_config = ConfigDict(frozen=True)

    moved: int = 0
    moved_bytes: int = 0
    present: int = 0
    mounted: int = 0
    taken: int = 0
    taken_bytes: int = 0

    def __add__(self, other: "Transfer") -> "Transfer":
        return Transfer(
            moved=self.moved + other.moved,
            moved_bytes=self.moved_bytes + other.moved_bytes,
            present=self.present + other.present,
            mounted=self.mounted + other.mounted,
            taken=self.taken + other.taken,
            taken_bytes=self.taken_bytes + other.taken_bytes,
        )


def copy_in_parallel(copy: Callable[[Descriptor], Transfer], blobs: Sequence[Descriptor]) -> Transfer:
    """Copy `blobs`, the largest first; all settle before the first error is raised."""
    with ThreadPoolExecutor(PARALLEL_BLOBS, thread_name_prefix="blob") as pool:
        futures = [pool.submit(copy, descriptor) for descriptor in largest_first(blobs)]
    return sum((future.result() for future in futures), Transfer())


def largest_first(blobs: Iterable[Descriptor]) -> list[Descriptor]:
    """`blobs` by falling size; those of one size stay in their order."""
    return sorted(blobs, key=lambda blob: blob.size, reverse=True)
