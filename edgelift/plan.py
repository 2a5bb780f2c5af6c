"""Plan: from a definition to its lock. Every reference is pinned, and every problem found, before any blob moves.

But for charts that no registry has: their few bytes have to be read to be pinned.

A registry that gives no more manifests for now stops the plan of its images, not the others': see `budget.py`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Self

from edgelift.bundle.attached import NOTHING, Attached
from edgelift.bundle.definition import BundleDefinition, RequestedChart, RequestedImage
from edgelift.bundle.lock import ArtifactKind, BundleLock, LockedImage
from edgelift.charts.finder import ChartFinder
from edgelift.charts.repository import ChartRepository
from edgelift.cosign import check_signed, parse_key
from edgelift.errors import (
    ConfigurationError,
    EdgeliftError,
    IncompleteError,
    NotFoundError,
    PlanError,
    RateLimitError,
    RegistryError,
    UnreachableError,
)
from edgelift.oci.content import ContentStore
from edgelift.oci.reference import ImageReference, for_message
from edgelift.oci.registries import Registries
from edgelift.oci.source import Source
from edgelift.packs.names import is_local
from edgelift.pin import pin_image
from edgelift.pin_chart import pin_chart
from edgelift.pin_referrers import PARALLEL_SUBJECTS, pin_referrers
from edgelift.sizes import count, format_size

if TYPE_CHECKING:
    from edgelift.cosign_key import CosignKey

PARALLEL_IMAGES = 8


@dataclass(frozen=True)
class Plan:
    """The lock, and one line for each reference that could not be pinned or that deserves a warning.

    `postponed` has a line for each registry that gives no more manifests for now, `budgets` for each that counts them.
    """

    lock: BundleLock
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    postponed: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()

    def raise_for_errors(self) -> None:
        """Raises `PlanError` with every problem, or `IncompleteError` where time alone solves them; nothing has moved.

        What was read so far is in the store: the next plan begins there.
        """
        if self.errors:
            many = f"{len(self.errors)} problems stand" if len(self.errors) > 1 else "a problem stands"
            raise PlanError(f"{many} in the way; nothing was moved", (*self.errors, *self.postponed))
        if self.postponed:
            raise IncompleteError("the plan is not complete: what was read is kept, nothing was moved", self.postponed)


def plan_bundle(
    definition: BundleDefinition, registries: Registries, store: ContentStore, attached: Attached = NOTHING
) -> Plan:
    """Pin every image, chart and pack of `definition`, several at a time; the lock holds those that could be.

    What is `attached` is pinned already. Raises `ConfigurationError` where the settings are no way into a registry:
    nothing can be told of its images then; and where the key that has to have signed them is none.
    """
    key = parse_key(definition.cosign_key)
    packs = [pack for pack in definition.packs or () if not is_local(pack.reference)]
    asked = [_Asked.of(image, registries) for image in definition.images]
    asked += [_Asked.of(pack, registries, "pack") for pack in packs]
    sources = list(dict.fromkeys(each.source for each in asked))
    with (
        ThreadPoolExecutor(PARALLEL_IMAGES, thread_name_prefix="plan") as pool,
        ThreadPoolExecutor(PARALLEL_SUBJECTS, thread_name_prefix="referrers") as subjects,
    ):
        # Asked once: else each of its images would wait for a registry that is not there.
        absences = dict(zip(sources, pool.map(_absence, sources), strict=True))
        planning = _Planning(definition, store, key, subjects)
        outcomes = list(pool.map(partial(_pin_or_explain, planning, absences), asked))
        charts = list(pool.map(partial(_pin_chart_or_explain, planning, ChartFinder(registries)), definition.charts))
    pinned, rivals = _join((*outcomes, *attached.packs), charts)
    hosts = [*(each.reference.registry for each in asked), *map(_host_of, definition.charts)]
    return Plan(
        BundleLock(definition=definition, images=pinned, cluster_definition=attached.cluster_definition),
        errors=(
            *(outcome for outcome in (*outcomes, *charts) if isinstance(outcome, str)),
            *rivals,
            *_unattached(definition, attached),
        ),
        warnings=tuple(_warnings(definition, pinned)),
        postponed=tuple(_postponed(hosts, outcomes + charts)),
        budgets=tuple(f"{host}: {budget}" for host, budget in registries.budgets().items()),
    )


class _Asked(NamedTuple):
    """An image of the definition, and what it is read from."""

    image: RequestedImage
    reference: ImageReference
    source: Source
    kind: ArtifactKind | None

    @classmethod
    def of(cls, image: RequestedImage, registries: Registries, kind: ArtifactKind | None = None) -> Self:
        reference = ImageReference.parse(image.reference)
        return cls(image, reference, registries.source(reference.registry, reference.repository), kind)


class _Planning(NamedTuple):
    """What the planning of every image needs."""

    definition: BundleDefinition
    store: ContentStore
    key: "CosignKey | None"
    subjects: Executor

    def pin(self, reference: ImageReference, source: Source, kind: ArtifactKind | None) -> LockedImage:
        """The image by its digests, with what refers to it; raises `SignatureError` where it has to be signed.

        What is of another `kind` is for every architecture, and need not be signed.
        """
        wanted = self.definition
        architecture = wanted.architecture if kind is None else None
        image = pin_image(
            reference, architecture, source, self.store, allow_external_layers=wanted.allow_external_layers
        ).model_copy(update={"kind": kind})
        image = self._with_referrers(image, source)
        if wanted.require_signatures and kind is None:
            check_signed(image, source, self.store, self.key)
        return image

    def pin_chart(self, chart: RequestedChart, finder: ChartFinder) -> LockedImage:
        """The chart by its digests; where it is from a registry, with what refers to it there."""
        found = finder.find(chart.repository, chart.name, chart.version)
        image = pin_chart(found, self.store)
        return self._with_referrers(image, found.source) if found.archive is None else image

    def _with_referrers(self, image: LockedImage, source: Source) -> LockedImage:
        if self.definition.signatures is False:
            return image
        return image.model_copy(update={"referrers": pin_referrers(image, source, self.store, self.subjects)})


def _absence(source: Source) -> UnreachableError | None:
    try:
        source.log_in()
    except UnreachableError as error:
        return error
    except RegistryError:
        return None  # it is there; what it lets us do is told image by image
    return None


def _pin_or_explain(
    planning: _Planning, absences: Mapping[Source, UnreachableError | None], asked: _Asked
) -> LockedImage | RateLimitError | str:
    image, reference, source, kind = asked
    absence = absences[source]
    try:
        if absence is not None:
            raise absence
        return planning.pin(reference, source, kind)
    except RateLimitError as error:
        return error
    except NotFoundError as error:
        hint = error.hint or "check repository and tag where the image is asked for"
        return f"{reference}{_asked_by(image)}: {NotFoundError(error.message, hint=hint)}"
    except EdgeliftError as error:
        return f"{reference}{_asked_by(image)}: {error}"


def _unattached(definition: BundleDefinition, attached: Attached) -> Iterator[str]:
    """A line for each local pack that is asked for, and is not at hand."""
    at_hand = {pack.reference for pack in attached.packs}
    for pack in definition.packs or ():
        if is_local(pack.reference) and pack.reference not in at_hand:
            yield f"{pack.reference}{_asked_by(pack)}: it is a local pack, which no registry has; give it with --packs"


def _pin_chart_or_explain(
    planning: _Planning, finder: ChartFinder, chart: RequestedChart
) -> LockedImage | RateLimitError | str:
    try:
        return planning.pin_chart(chart, finder)
    except RateLimitError as error:
        return error
    except EdgeliftError as error:
        return f"chart {chart.name} {chart.version} of {for_message(chart.repository)}{_asked_by(chart)}: {error}"


def _host_of(chart: RequestedChart) -> str:
    try:
        return ChartRepository.parse(chart.repository).host
    except ConfigurationError:
        return ""  # it has an error of its own


def _join(images: Sequence[object], charts: Sequence[object]) -> tuple[tuple[LockedImage, ...], tuple[str, ...]]:
    """What was pinned, each reference once; a line for each that charts, or an image and a chart, would share.

    In the order of the references, which images alone have already.
    """
    pinned = [each for each in images if isinstance(each, LockedImage)]
    by_reference, rivals = {each.reference: each for each in pinned}, dict[str, None]()
    for chart in charts:
        if not isinstance(chart, LockedImage):
            continue
        known = by_reference.setdefault(chart.reference, chart)
        if known.descriptor.digest != chart.descriptor.digest:
            rivals[f"{chart.reference} would be two charts that differ; leave one of their repositories out"] = None
        elif known.kind is None:  # somebody asks for the artifact as if it were an image
            by_reference[chart.reference] = chart.model_copy(update={"referrers": chart.referrers or known.referrers})
    if all(each.kind is None for each in by_reference.values()):
        return tuple(by_reference.values()), tuple(rivals)
    return tuple(by_reference[reference] for reference in sorted(by_reference)), tuple(rivals)


def _postponed(hosts: Sequence[str], outcomes: Sequence[LockedImage | RateLimitError | str]) -> Iterator[str]:
    """A line for each registry that gives no more for now: how much is left to ask for, and when that can go on."""
    asked = Counter(hosts)
    stopped = [
        (host, outcome) for host, outcome in zip(hosts, outcomes, strict=True) if isinstance(outcome, RateLimitError)
    ]
    left = Counter(host for host, _ in stopped)
    for host, error in dict(reversed(stopped)).items():
        manifests = count(left[host], "manifest")
        yield f"{left[host]} of {asked[host]} images need {manifests} or more of {host}, but {error}"


def _asked_by(asked: RequestedImage | RequestedChart) -> str:
    first, others = next(iter(asked.origins), None), len(asked.origins) - 1
    more = f" and {others} more" if others > 0 else ""
    return f" (asked for by {first}{more})" if first is not None else ""


def _warnings(definition: BundleDefinition, images: tuple[LockedImage, ...]) -> Iterator[str]:
    chosen = sum(image.index is not None for image in images)
    if chosen:
        yield (
            f"{chosen} of {len(images)} images were reduced to {definition.architecture}: "
            "signatures on their indexes will not verify at the target; build without --arch to keep them"
        )
    for image in images:
        if image.external:
            size = format_size(sum(layer.size for layer in image.external))
            yield (
                f"{image.reference}: layers that may not be distributed are left to the hosts "
                f"({len(image.external)}, {size}); some registries refuse such a manifest"
            )
