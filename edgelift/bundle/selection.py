"""Selection: which entries of a lock are meant, by their annotations. Pure: a lock in, entries out.

Beside the annotations that people give there are those that follow from what is carried: `edgelift.profile`,
`edgelift.pack` and `edgelift.kind`. Of the first two an entry has as many values as it has origins.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from edgelift.bundle.annotations import BUILT_IN, is_key, is_value
from edgelift.bundle.definition import Origin
from edgelift.bundle.kinds import requests_of
from edgelift.bundle.lock import BundleLock, LeftOut, LockBase, LockedImage
from edgelift.errors import ConfigurationError

PROFILE, PACK, KIND = f"{BUILT_IN}profile", f"{BUILT_IN}pack", f"{BUILT_IN}kind"
_SHOWN = 20  # annotations that a message names


@dataclass(frozen=True)
class AnnotationSelector:
    """Chooses the entries that have every one of `terms`: keys and values."""

    terms: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `KEY=VALUE[,KEY=VALUE…]`; raises `ConfigurationError`."""
        terms = []
        for part in text.split(","):
            key, equals, value = (each.strip() for each in part.partition("="))
            if not equals or not is_key(key) or not is_value(value):
                raise ConfigurationError(
                    f"{text[:200]!r} is not an annotation selector",
                    hint=f"write it as KEY=VALUE,KEY=VALUE, for example tier=web or {PACK}=nginx",
                )
            terms.append((key, value))
        return cls(tuple(dict.fromkeys(terms)))

    def __str__(self) -> str:
        return ",".join(f"{key}={value}" for key, value in self.terms)

    def choose(self, lock: BundleLock) -> tuple[LockedImage, ...]:
        """The entries of `lock` that are meant; raises `ConfigurationError` where there is none."""
        annotations = annotations_of(lock)
        chosen = tuple(
            image
            for image in lock.images
            if all(value in annotations[image.reference].get(key, ()) for key, value in self.terms)
        )
        if not chosen:
            raise ConfigurationError(
                f"no entry of {lock.definition.name} has the annotations {self}", hint=_what_there_is(annotations)
            )
        return chosen


def select_entries(lock: BundleLock, selector: str | None) -> BundleLock:
    """`lock` with the entries that `selector` chooses alone, or as it is without one; raises `ConfigurationError`.

    What a delta leaves out of the other entries is not named any more. The digest is another one: what is told of the
    delivery has to name that of the whole lock.
    """
    if selector is None:
        return lock
    chosen = AnnotationSelector.parse(selector).choose(lock)
    needed = {blob.digest for image in chosen for blob in image.all_blobs}
    kept = [
        LeftOut(name=each.name, blobs=blobs)
        for each in (lock.base.left_out if lock.base else ())
        if (blobs := tuple(digest for digest in each.blobs if digest in needed))
    ]
    base = LockBase(name=lock.base.name, lock=lock.base.lock, left_out=tuple(kept)) if lock.base and kept else None
    return lock.model_copy(update={"images": chosen, "base": base})


def annotations_of(lock: BundleLock) -> dict[str, dict[str, tuple[str, ...]]]:
    """The annotations of each entry by its reference, those that people gave and those that follow, with all values."""
    asked = requests_of(lock)
    found = {}
    for image in lock.images:
        requests = asked.get(image.reference, ())
        given = defaultdict[str, dict[str, None]](dict)
        for key, value in (item for each in requests for item in (each.annotations or {}).items()):
            given[key][value] = None
        built_in = _built_in(image, [origin for each in requests for origin in each.origins])
        found[image.reference] = {**{key: tuple(values) for key, values in given.items()}, **built_in}
    return found


def _built_in(image: LockedImage, origins: Sequence[Origin]) -> dict[str, tuple[str, ...]]:
    values = defaultdict[str, dict[str, None]](dict)
    for origin in origins:
        name, _, version = origin.profile.rpartition("@")
        values[PROFILE] |= dict.fromkeys(filter(None, (origin.profile, name if version else "")))
        values[PACK] |= dict.fromkeys(filter(None, (origin.pack,)))
    values[KIND][image.kind or "image"] = None
    return {key: tuple(each) for key, each in values.items() if each}


def _what_there_is(annotations: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    known = sorted({f"{key}={value}" for each in annotations.values() for key in each for value in each[key]})
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"there are {', '.join(known[:_SHOWN])}{more}" if known else "it has no entries"
