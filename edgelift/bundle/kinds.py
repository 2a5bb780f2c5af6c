"""What the entries of a lock are called where people read of them. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from edgelift.bundle.definition import BundleDefinition, Origin, RequestedChart, RequestedImage
from edgelift.bundle.lock import ArtifactKind, BundleLock
from edgelift.charts.repository import may_stand_for
from edgelift.oci.reference import ImageReference
from edgelift.sizes import count


def count_kinds(kinds: Iterable[ArtifactKind | None]) -> str:
    """How many there are of each kind: `10 images, 2 charts`; images are always told."""
    counts = Counter(kind or "image" for kind in kinds)
    return ", ".join(count(counts[kind], kind) for kind in ("image", *sorted(counts.keys() - {"image"})))


def name_of(reference: str, kind: ArtifactKind | None) -> str:
    """A reference for people, who are told where it is not that of an image."""
    return f"{reference} ({kind})" if kind is not None else reference


def origins_of(lock: BundleLock) -> dict[str, tuple[Origin, ...]]:
    """Everywhere that each reference of `lock` is asked for: see `requests_of`."""
    return {
        reference: tuple(dict.fromkeys(origin for each in requests for origin in each.origins))
        for reference, requests in requests_of(lock).items()
    }


def requests_of(lock: BundleLock) -> dict[str, list[RequestedImage | RequestedChart]]:
    """What asks for each reference of `lock`; a chart is asked for by its repository, not its name."""
    definition = lock.definition
    requests = defaultdict[str, list[RequestedImage | RequestedChart]](list)
    for each in definition.requested:
        requests[each.reference].append(each)
    for image in lock.images:
        if image.kind == "chart":
            requests[image.reference] += _charts(ImageReference.parse(image.reference), definition)
    return dict(requests)


def _charts(reference: ImageReference, definition: BundleDefinition) -> Iterable[RequestedChart]:
    for chart in definition.charts:
        if may_stand_for(reference, chart.repository, chart.name, chart.version):
            yield chart
