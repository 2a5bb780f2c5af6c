"""Plan: from a definition to its lock. Every reference is pinned, and every problem found, before any blob moves.

A registry that gives no more manifests for now stops the plan of its images, not the others': see `budget.py`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Self

from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.cosign import check_signed, parse_key
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
from edgelift.pin import pin_image
from edgelift.pin_referrers import PARALLEL_SUBJECTS, pin_referrers
from edgelift.sizes import format_size

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


def plan_bundle(definition: BundleDefinition, registries: Registries, store: ContentStore) -> Plan:
    """Pin every image of `definition` at its registry, several at a time; the lock holds those that could be.

    Raises `ConfigurationError` where the settings are no way into a registry: nothing can be told of its images then;
    and where the key that has to have signed them is none.
    """
    key = parse_key(definition.cosign_key)
    asked = [_Asked.of(image, registries) for image in definition.images]
    sources = list(dict.fromkeys(each.source for each in asked))
    with (
        ThreadPoolExecutor(PARALLEL_IMAGES, thread_name_prefix="plan") as pool,
        ThreadPoolExecutor(PARALLEL_SUBJECTS, thread_name_prefix="referrers") as subjects,
    ):
        # Asked once: else each of its images would wait for a registry that is not there.
        absences = dict(zip(sources, pool.map(_absence, sources), strict=True))
        pin = partial(_pin_or_explain, _Planning(definition, store, key, subjects), absences)
        outcomes = list(pool.map(pin, asked))
    pinned = tuple(outcome for outcome in outcomes if isinstance(outcome, LockedImage))
    return Plan(
        BundleLock(definition=definition, images=pinned),
        errors=tuple(outcome for outcome in outcomes if isinstance(outcome, str)),
        warnings=tuple(_warnings(definition, pinned)),
        postponed=tuple(_postponed(asked, outcomes)),
        budgets=tuple(f"{host}: {budget}" for host, budget in registries.budgets().items()),
    )


class _Asked(NamedTuple):
    """An image of the definition, and what it is read from."""

    image: RequestedImage
    reference: ImageReference
    source: Source

    @classmethod
    def of(cls, image: RequestedImage, registries: Registries) -> Self:
        reference = ImageReference.parse(image.reference)
        return cls(image, reference, registries.source(reference.registry, reference.repository))


class _Planning(NamedTuple):
    """What the planning of every image needs."""

    definition: BundleDefinition
    store: ContentStore
    key: "CosignKey | None"
    subjects: Executor

    def pin(self, reference: ImageReference, source: Source) -> LockedImage:
        """The image by its digests, with what refers to it; raises `SignatureError` where it has to be signed."""
        wanted = self.definition
        image = pin_image(
            reference, wanted.architecture, source, self.store, allow_external_layers=wanted.allow_external_layers
        )
        if wanted.signatures is False:
            return image
        image = image.model_copy(update={"referrers": pin_referrers(image, source, self.store, self.subjects)})
        if wanted.require_signatures:
            check_signed(image, source, self.store, self.key)
        return image


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
    image, reference, source = asked
    absence = absences[source]
    try:
        if absence is not None:
            raise absence
        return planning.pin(reference, source)
    except RateLimitError as error:
        return error
    except NotFoundError as error:
        hint = error.hint or "check repository and tag where the image is asked for"
        return f"{reference}{_asked_by(image)}: {NotFoundError(error.message, hint=hint)}"
    except EdgeliftError as error:
        return f"{reference}{_asked_by(image)}: {error}"


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
