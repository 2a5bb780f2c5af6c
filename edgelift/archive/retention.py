"""Which bundles of an archive may go, by age and by count. Decisions only: `prune_archive` acts on them.

Bundles are counted by the name that their definition gives, folder by folder: those of two sites never push each other
out. The newest of each always stays, and so does everything that is not a bundle, that cannot be read, or whose
signature is refused: that one is not counted, either, else a stranger's bundles could push out ours.

A bundle in parts goes in the order in which it came, turned around: its index first, as there is no bundle without one,
then what goes with it, its parts last. Wherever that is broken off, what is left is no bundle that lacks something, but
parts without an index, as an upload leaves them, too; once the youngest of them is old enough, they go.
"""

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby

from edgelift.archive.place import BrowsableArchive, KeptFile, Leftover
from edgelift.archive.survey import FoundBundle, StrayParts, Survey
from edgelift.bundle.parts import INDEX_SUFFIX
from edgelift.errors import EdgeliftError

LEFTOVERS_AFTER = timedelta(days=1)  # what began before is nobody's any more


@dataclass(frozen=True)
class Retention:
    """What has to stay: the `keep` newest of each name, and what is younger than `older_than`; None asks for nothing.

    Where both are None all bundles stay. Uploads that began before `leftovers_after` may go, and parts without an index
    that all came before.
    """

    keep: int | None = None
    older_than: timedelta | None = None
    leftovers_after: timedelta = LEFTOVERS_AFTER

    def lets_go(self, rank: int, age: timedelta) -> bool:
        """Whether a bundle of this `age` may go, before which there are `rank` newer ones of its name."""
        if rank == 0 or (self.keep is None and self.older_than is None):
            return False
        is_beyond = self.keep is None or rank >= self.keep
        return is_beyond and (self.older_than is None or age >= self.older_than)


@dataclass(frozen=True)
class Pruning:
    """What may go, and what stays of the bundles."""

    bundles: tuple[FoundBundle, ...]
    leftovers: tuple[Leftover, ...]
    kept: tuple[FoundBundle, ...]
    strays: tuple[StrayParts, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the bundles that may go, and of what goes with them; and of stray parts."""
        return sum(bundle.size for bundle in self.bundles) + sum(stray.size for stray in self.strays)


@dataclass(frozen=True)
class Pruned:
    """What came of it: one line for each `failure`; `versions` files are kept as older versions all the same."""

    deleted: tuple[str, ...]
    failures: tuple[str, ...]
    versions: int


def plan_pruning(survey: Survey, rules: Retention, now: datetime, *, spare: Set[str] = frozenset()) -> Pruning:
    """What `rules` let go of at the time `now`; bundles whose URL is in `spare` stay, and count.

    What a bundle that stays goes on top of stays as well: a delta is worth nothing without its base.
    """
    trusted = (each for each in survey.bundles if each.signature != "refused")
    going = [each for each in _beyond(trusted, rules, now) if each.url not in spare]
    while bases := {each.base for each in survey.bundles if each not in going} & {each.lock for each in going}:
        going = [each for each in going if each.lock not in bases]
    names = {each.file.name for each in going}
    return Pruning(
        bundles=tuple(going),
        leftovers=tuple(each for each in survey.leftovers if now - each.began >= rules.leftovers_after),
        kept=tuple(each for each in survey.bundles if each.file.name not in names),
        strays=tuple(each for each in survey.strays if now - each.modified >= rules.leftovers_after),
    )


def prune_archive(archive: BrowsableArchive, pruning: Pruning) -> Pruned:
    """Delete what `pruning` names, each bundle before what goes with it; what cannot be deleted does not end it."""
    deletion = _Deletion(archive)
    for bundle in pruning.bundles:
        # The bundle goes first: where it has to stay, all that goes with it stays with it.
        if deletion.remove(bundle.file):
            for file in (*bundle.beside, *bundle.parts):
                deletion.remove(file)
    for stray in deletion.still_strays(pruning.strays):
        # What was replaced meanwhile belongs to an upload that goes on: then nothing more of it goes.
        all(map(deletion.remove, stray.files))
    for leftover in pruning.leftovers:
        deletion.abort(leftover)
    return Pruned(tuple(deletion.deleted), tuple(deletion.failures), deletion.versions)


class _Deletion:
    """What has been deleted from `archive`, and what could not be."""

    def __init__(self, archive: BrowsableArchive) -> None:
        self.deleted: list[str] = []
        self.failures: list[str] = []
        self.versions = 0
        self._archive = archive

    def remove(self, file: KeptFile) -> bool:
        """Delete `file`; whether that was done."""
        return self._attempt(file.name, partial(self._archive.remove, file))

    def abort(self, leftover: Leftover) -> bool:
        """Delete what has arrived of `leftover`; whether that was done."""
        return self._attempt(leftover.name, partial(self._archive.abort, leftover))

    def still_strays(self, strays: Iterable[StrayParts]) -> Iterator[StrayParts]:
        """Those whose index has not come since: an upload may have ended that was taken for a killed one."""
        strays = tuple(strays)
        try:
            names = {file.name for file in self._archive.files()} if strays else set()
        except EdgeliftError as error:
            self.failures.append(str(error))
            return
        yield from (each for each in strays if f"{each.name}{INDEX_SUFFIX}" not in names)

    def _attempt(self, name: str, delete: Callable[[], object]) -> bool:
        try:
            self.versions += delete() is True
        except EdgeliftError as error:
            self.failures.append(str(error))
            return False
        self.deleted.append(self._archive.url(name))
        return True


def _beyond(bundles: Iterable[FoundBundle], rules: Retention, now: datetime) -> Iterable[FoundBundle]:
    """Of bundles in the order of a survey, those that `rules` let go of."""
    for _, same in groupby(bundles, key=lambda each: (each.folder, each.bundle)):
        for rank, bundle in enumerate(same):
            if rules.lets_go(rank, now - bundle.file.modified):
                yield bundle
