"""Carried content, read to be looked into: the charts and packs that a bundle is to hold.

Their bytes stay in the store, where the plan and the pull that follow find them.
"""

from edgelift.bundle.definition import RequestedChart, RequestedImage
from edgelift.charts.artifact import CHART_CONTENT
from edgelift.charts.finder import ChartFinder
from edgelift.charts.repository import from_tag
from edgelift.errors import ProfileError, RefusedError
from edgelift.oci.content import ContentStore
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.pull import pull_blob
from edgelift.oci.reference import ImageReference
from edgelift.oci.registries import Registries
from edgelift.oci.source import Source
from edgelift.palette.undeclared.archive import MAX_ARCHIVE
from edgelift.palette.undeclared.content import ChartArchive, PackContent
from edgelift.palette.undeclared.pack import read_pack_archive
from edgelift.pin import pin_image
from edgelift.pin_chart import pin_chart

_CONFIG_AND_LAYER = 2  # the blobs of a pack


class CarriedContent:
    """Reads charts and packs from where they are carried from; safe to share between threads."""

    def __init__(self, registries: Registries, store: ContentStore) -> None:
        self._registries = registries
        self._store = store
        self._finder = ChartFinder(registries)

    def read_chart(self, chart: RequestedChart) -> ChartArchive:
        """The archive of `chart`, called by its name and version; raises `EdgeliftError` where there is none."""
        found = self._finder.find(chart.repository, chart.name, chart.version)
        locked = pin_chart(found, self._store)
        layer = next((blob for blob in locked.blobs if blob.media_type == CHART_CONTENT), None)
        name = f"{chart.name}-{from_tag(found.reference.tag or '')}.tgz"
        return ChartArchive(name, self._read(layer, found.source, found.reference))

    def read_pack(self, pack: RequestedImage) -> PackContent:
        """What is in the archive of `pack`; raises `EdgeliftError` where that cannot be read, or is none."""
        reference = ImageReference.parse(pack.reference)
        source = self._registries.source(reference.registry, reference.repository)
        blobs = pin_image(reference, None, source, self._store).blobs
        layer = blobs[1] if len(blobs) == _CONFIG_AND_LAYER else None
        try:
            return read_pack_archive(self._read(layer, source, reference))
        except ProfileError as error:
            raise RefusedError(f"{reference} holds no pack: {error.message}") from None

    def _read(self, layer: Descriptor | None, source: Source, reference: ImageReference) -> bytes:
        if layer is None or layer.size > MAX_ARCHIVE:
            raise RefusedError(f"{reference} is not one archive of up to {MAX_ARCHIVE >> 20} MiB")
        pull_blob(source, reference.repository, layer, self._store)
        return b"".join(self._store.read(layer))
