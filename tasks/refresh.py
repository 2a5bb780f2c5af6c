"""Refresh: what is asked for, as it stands now, against the last lock: what has moved, and the delta of that."""

from dataclasses import dataclass
from pathlib import Path

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict

from edgelift.bundle.lock import BundleLock
from edgelift.bundle.moves import Move, find_moves
from edgelift.bundle.source import is_object
from edgelift.bundle.standing import standing_place
from edgelift.delivery.base import check_output, read_base
from edgelift.delivery.preflight import check_disk
from edgelift.errors import PlanError
from edgelift.keys import find_public_key
from edgelift.refresh import find_last, make_delta, note_last
from edgelift.report.markup import code
from edgelift.report.model import Findings
from edgelift.sizes import format_size
from tasks.assemble import BuiltBundle
from tasks.connect import bundle_path, open_store, path_of
from tasks.narrate import narrate
from tasks.record import record

SHOWN = 100  # moves in the artifact; `edgelift diff` shows all


@dataclass(frozen=True)
class Refresh:
    """What is to be built: the lock of a delta, or of the first bundle; and the `moves` that make it necessary.

    `base` is the place of the lock that it was compared with; None before the first build.
    """

    lock: BundleLock
    base: str | None
    moves: tuple[Move, ...]

    @property
    def name(self) -> str:
        """The name of the bundle that is to be built."""
        return self.lock.definition.name

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to build."""
        return self.base is None or bool(self.moves)


class RefreshReport(BaseModel):
    """What has moved since the lock at `base`, in lines, and the bundle that was built; none where nothing has."""

    model_config = ConfigDict(frozen=True)

    base: str | None
    moves: tuple[str, ...]
    moved_bytes: int = 0
    bundle: BuiltBundle | None = None


@task(name="look for moves", task_run_name="look for moves of {name}", cache_policy=NO_CACHE, persist_result=False)
def look_for_moves(
    lock: BundleLock, name: str, store: str | None, output: str, *, base: str | None, part_size: int | None
) -> Refresh:
    """Compare `lock` with the one at `base`, else with that of the last build of `name` in `output`.

    Raises `PlanError` where the disk is too small for what has to be built.
    """
    content = open_store(store)
    last = base or find_last(path_of(output), name)
    if last is None:
        refresh = Refresh(lock, None, ())
        said = f"there is no lock of {name} yet: all of it is built"
    else:
        place = str(last) if is_object(str(last)) else str(path_of(str(last)))
        found = read_base(place, content.runs, find_public_key(None))
        moves = find_moves(found.lock, lock)
        refresh = Refresh(make_delta(lock, found) if moves else lock, place, moves)
        said = f"since {place}: {_counted(moves)}"
    narrate(said)
    _note(refresh, said)
    if refresh.moves and refresh.lock.base is None:
        narrate(f"{refresh.base} has brought none of these blobs: all of them are carried", warn=True)
    if refresh.is_needed:
        path = bundle_path(refresh.name, output)
        check_output(refresh.lock, path)
        shortage = check_disk(refresh.lock, content, standing_place(path, part_size))
        if shortage is not None:
            raise PlanError("the disk is too small; nothing was moved", [shortage])
    return refresh


@task(name="report moves", task_run_name="report on {name}", cache_policy=NO_CACHE, persist_result=False)
def report_moves(refresh: Refresh, name: str, output: str, bundle: BuiltBundle | None = None) -> RefreshReport:
    """Publish what has moved, and remember the lock of the `bundle` as the last one."""
    if bundle is not None:
        note_last(path_of(output), name, Path(bundle.lock_path))
        create_table_artifact(key="bundle-moves", table=_rows(refresh.moves), description=_headline(refresh, bundle))
        narrate(_headline(refresh, bundle))
    return RefreshReport(
        base=refresh.base,
        moves=tuple(map(str, refresh.moves)),
        moved_bytes=bundle.transfer.moved_bytes if bundle is not None else 0,
        bundle=bundle,
    )


def _note(refresh: Refresh, said: str) -> None:
    """Have it in the report of the run, which has no images where nothing has moved."""
    found = record()
    found.lock = refresh.lock
    if not refresh.is_needed:
        found.expected = ()
    rows = [(each.what, each.name, each.before, each.after, format_size(each.size)) for each in refresh.moves]
    found.findings = Findings("What has moved", said, ("What", "Name", "Before", "After", "New bytes"), tuple(rows))


def _counted(moves: tuple[Move, ...]) -> str:
    kinds = list(dict.fromkeys(move.what for move in moves))
    counts = (f"{kind}: {sum(move.what == kind for move in moves)}" for kind in kinds)
    return f"moved: {', '.join(counts)}" if moves else "nothing has moved"


def _headline(refresh: Refresh, bundle: BuiltBundle) -> str:
    since = f"a delta on top of {refresh.base}" if refresh.base is not None else "the first build"
    return f"{bundle.path}: {since}; {_counted(refresh.moves)}; {format_size(bundle.size)}"


def _rows(moves: tuple[Move, ...]) -> list[dict[str, str]]:
    return [
        {
            "what": move.what,
            "name": code(move.name),
            "before": code(move.before),
            "after": code(move.after),
            "new bytes": format_size(move.size),
        }
        for move in moves[:SHOWN]
    ]
