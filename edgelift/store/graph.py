"""What the manifests in a store lead to: read from the store alone, however much of it is missing."""

from typing import NamedTuple

from edgelift.errors import IntegrityError, RefusedError, StoreError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import MANIFEST_LIMIT, is_foreign, parse_manifest
from edgelift.store.working import WorkingStore


class Reached(NamedTuple):
    """All that a manifest leads to, itself included, and what of that is not there or cannot be read.

    Layers that may not be distributed are not counted as lost: an image may be carried without them.
    """

    contents: dict[Digest, Descriptor]
    lost: dict[Digest, Descriptor]


class _Named(NamedTuple):
    manifests: tuple[Descriptor, ...] = ()
    blobs: tuple[Descriptor, ...] = ()


class ContentGraph:
    """The manifests of `store`, each read once; a damaged one goes into quarantine and counts as lost.

    So does one that cannot be read, unless the graph `is_strict`: then the error is raised. What hangs on a manifest
    must not be taken away because a server did not answer.
    """

    def __init__(self, store: WorkingStore, *, is_strict: bool = False) -> None:
        self._store = store
        self._is_strict = is_strict
        self._read: dict[Digest, _Named | None] = {}

    def reach(self, root: Descriptor) -> Reached:
        """All that the manifest `root` leads to."""
        reached, pending = Reached({}, {}), [root]
        while pending:
            manifest = pending.pop().plain()
            if manifest.digest in reached.contents:
                continue
            reached.contents[manifest.digest] = manifest
            named = self._named(manifest)
            if named is None:
                reached.lost[manifest.digest] = manifest
                continue
            pending += named.manifests
            self._add_blobs(named.blobs, reached)
        return reached

    def _add_blobs(self, blobs: tuple[Descriptor, ...], reached: Reached) -> None:
        for blob in blobs:
            reached.contents[blob.digest] = blob.plain()
            if not is_foreign(blob) and not self._store.exists(blob):
                reached.lost[blob.digest] = blob.plain()

    def _named(self, manifest: Descriptor) -> _Named | None:
        if manifest.digest not in self._read:
            self._read[manifest.digest] = self._look(manifest)
        return self._read[manifest.digest]

    def _look(self, manifest: Descriptor) -> _Named | None:
        if manifest.size > MANIFEST_LIMIT or not self._store.exists(manifest):
            return None
        try:
            raw = b"".join(self._store.read(manifest))
        except (IntegrityError, StoreError):
            if self._is_strict and self._store.exists(manifest):
                raise
            return None
        try:
            parsed = parse_manifest(raw, manifest.media_type, manifest.digest)
        except (IntegrityError, RefusedError):
            return _Named()  # the bytes are right, but of a kind that leads nowhere
        return _Named(parsed.children, parsed.blobs)
