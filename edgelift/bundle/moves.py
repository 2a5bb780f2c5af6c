"""What has moved from one lock to the next: profiles, images and charts, signatures, the cluster definition. Pure."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from edgelift.bundle.definition import BundleDefinition
from edgelift.bundle.diff import LockDiff, compare_locks
from edgelift.bundle.lock import BundleLock

_SHOWN = 19  # characters of a digest


@dataclass(frozen=True)
class Move:
    """One thing that is another now: `before` is empty where it came, `after` where it went.

    `size` are the bytes of an image that the other lock has nowhere.
    """

    what: str
    name: str
    before: str = ""
    after: str = ""
    size: int = 0

    def __str__(self) -> str:
        """`profile apps: 2.3.1 → 2.4.0`."""
        return f"{self.what} {self.name}: {self.before or 'none'} → {self.after or 'none'}"


def find_moves(before: BundleLock, after: BundleLock) -> tuple[Move, ...]:
    """Versions of profiles, and content, that differ; none where the same is only asked for in other words."""
    found = compare_locks(before, after)
    return (*_profile_moves(before.definition, after.definition), *_image_moves(found), *_other_moves(found))


def _profile_moves(before: BundleDefinition, after: BundleDefinition) -> Iterator[Move]:
    earlier, later = _versions(before), _versions(after)
    for name in sorted(earlier.keys() | later.keys()):
        if earlier.get(name) != later.get(name):
            yield Move("profile", name, earlier.get(name, ""), later.get(name, ""))


def _versions(definition: BundleDefinition) -> dict[str, str]:
    """The version of each profile by its name; of one that is there several times, all of them."""
    versions = defaultdict[str, list[str]](list)
    for profile in definition.profiles:
        versions[profile.name].append(profile.version or profile.uid or "without a version")
    return {name: ", ".join(sorted(found)) for name, found in versions.items()}


def _image_moves(found: LockDiff) -> Iterator[Move]:
    for change in (*found.added, *found.removed, *found.moved):
        before, after = (digest[:_SHOWN] if digest is not None else "" for digest in (change.before, change.after))
        yield Move(change.kind or "image", change.reference, before, after, change.size)


def _other_moves(found: LockDiff) -> Iterator[Move]:
    for each in found.referrers:
        yield Move("referrers", each.reference, f"{each.removed} removed", f"{each.added} added")
    change = found.cluster_definition
    if change is not None:
        before, after = (each.digest[:_SHOWN] if each is not None else "" for each in (change.before, change.after))
        name = next(each.name for each in (change.after, change.before) if each is not None)
        yield Move("cluster definition", name, before, after)
