"""Is a bundle, to the byte, the one that its lock gives here and now? It is assembled again, from its own content."""

from edgelift.bundle.reader import BundleReader
from edgelift.bundle.writer import Progress, lay_out_bundle


def first_difference(bundle: BundleReader, *, progress: Progress | None = None) -> int | None:
    """The first byte at which the file of `bundle` is not what its lock gives; None where there is none.

    It is assembled with the content that it holds, and written nowhere. A bundle that `verify_open` finds right can
    differ only in how frames are compressed, by another release of zstd; damage may show as a difference, too. Raises
    what `read` of the bundle raises.
    """
    position = 0
    _, parts = lay_out_bundle(bundle.lock, bundle, lock_signature=bundle.lock_signature, progress=progress)
    for part in parts:
        there = bundle.tar.source.read_at(position, min(len(part), bundle.size - position))
        if there != part:
            return position + _common(there, bytes(part))
        position += len(part)
    return position if position < bundle.size else None


def _common(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
