"""Pin a chart: from where it was found to an entry of the lock. Its few bytes stay in the store.

They have to be read to be pinned where no registry has them, so that nothing is asked for twice.
"""

from edgelift.bundle.lock import LockedImage
from edgelift.charts.artifact import CHART_CONFIG, CHART_PROVENANCE
from edgelift.charts.finder import FoundChart
from edgelift.charts.source import ChartArchive
from edgelift.errors import RefusedError
from edgelift.oci.channel import Channel
from edgelift.oci.content import ContentStore
from edgelift.oci.pull import pull_content
from edgelift.oci.reference import ImageReference
from edgelift.pin import pin_image


def pin_chart(found: FoundChart, store: ContentStore) -> LockedImage:
    """The entry of the chart that was `found`; raises `RegistryError` and `IntegrityError`."""
    locked = pin_image(found.reference, None, found.source, store)
    if not any(blob.media_type == CHART_CONFIG for blob in locked.blobs):
        raise RefusedError(f"{locked.reference} is no Helm chart", hint="an image is named under images, or by --image")
    if found.archive is None:
        return locked.model_copy(update={"kind": "chart"})
    pull_content(found.source, found.reference.repository, locked.content, store)
    return locked.model_copy(update={"kind": "chart", "archive": found.archive.url})


def open_archive(image: LockedImage, channel: Channel) -> ChartArchive:
    """The archive that a locked chart is made of, read by the `channel` to its repository."""
    reference = ImageReference.parse(image.reference)
    is_signed = any(blob.media_type == CHART_PROVENANCE for blob in image.blobs)
    folder, _, chart = reference.repository.rpartition("/")
    return ChartArchive(channel, image.archive or "", folder, chart, is_signed=is_signed)
