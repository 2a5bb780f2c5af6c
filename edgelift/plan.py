"""Plan: from a definition to its lock. Every reference is pinned, and every problem found, before any blob moves.

A registry that gives no more manifests for now stops the plan of its images, not the others': see `budget.py`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self

from edgelift.bundle.attached import NOTHING, Attached
from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import ArtifactKind, BundleLock, LockedImage
from edgelift.errors import (
    EdgeliftError,
    IncompleteError,
    NotFoundError,
    PlanError,
    RateLimitError,
    RegistryError,
    UnreachableError,
)
from edgelift.oci.content import ContentStore
from edgelift.oci.reference import ImageReference
from edgelift.oci.registries import Registries
from edgelift.oci.source import Source
from edgelift.packs.names import is_local
from edgelift.pin import pin_image
from edgelift.sizes import format_size

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
    """Pin every image of `definition` at its registry, several at a time; the lock holds those that could be.

    What is `attached` is pinned already.
    Raises `ConfigurationError` where the settings are no way into a registry: nothing can be told of its images then.
    """
    packs = [pack for pack in definition.packs or () if not is_local(pack.reference)]
    asked = [_Asked.of(image, registries) for image in definition.images]
    asked += [_Asked.of(pack, registries, "pack") for pack in packs]
    sources = list(dict.fromkeys(each.source for each in asked))
    with ThreadPoolExecutor(PARALLEL_IMAGES, thread_name_prefix="plan") as pool:
        # Asked once: else each of its images would wait for a registry that is not there.
        absences = dict(zip(sources, pool.map(_absence, sources), strict=True))
        pin = partial(_pin_or_explain, definition, store, absences)
        outcomes = list(pool.map(pin, asked))
    pinned = tuple(outcome for outcome in outcomes if isinstance(outcome, LockedImage))
    images = (*pinned, *attached.packs)
    return Plan(
        BundleLock(definition=definition, images=images, cluster_definition=attached.cluster_definition),
        errors=(
            *(outcome for outcome in outcomes if isinstance(outcome, str)),
            *_unattached(definition, attached),
        ),
        warnings=tuple(_warnings(definition, pinned)),
        postponed=tuple(_postponed(asked, outcomes)),
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


def _absence(source: Source) -> UnreachableError | None:
    try:
        source.log_in()
    except UnreachableError as error:
        return error
    except RegistryError:
        return None  # it is there; what it lets us do is told image by image
    return None


def _pin_or_explain(
    definition: BundleDefinition,
    store: ContentStore,
    absences: Mapping[Source, UnreachableError | None],
    asked: _Asked,
) -> LockedImage | RateLimitError | str:
    image, reference, source, kind = asked
    absence = absences[source]
    try:
        if absence is not None:
            raise absence
        architecture = definition.architecture if kind is None else None
        pinned = pin_image(
            reference, architecture, source, store, allow_external_layers=definition.allow_external_layers
        )
        return pinned.model_copy(update={"kind": kind})
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
            yield f"{pack.reference}{_asked_by(pack)}: it is a local pack; give it again with --packs"


def _postponed(asked: Sequence[_Asked], outcomes: Sequence[LockedImage | RateLimitError | str]) -> Iterator[str]:
    """A line for each registry that gives no more for now: how much is left to ask for, and when that can go on."""
    images = Counter(each.reference.registry for each in asked)
    stopped = [
        (each.reference.registry, outcome)
        for each, outcome in zip(asked, outcomes, strict=True)
        if isinstance(outcome, RateLimitError)
    ]
    left = Counter(host for host, _ in stopped)
    for host, error in dict(reversed(stopped)).items():
        yield f"{left[host]} of {images[host]} images need {left[host]} manifests or more of {host}, but {error}"


def _asked_by(image: RequestedImage) -> str:
    first, others = next(iter(image.origins), None), len(image.origins) - 1
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
    if definition.charts:
        yield f"{len(definition.charts)} Helm charts are declared and listed in the definition, but not carried yet"
