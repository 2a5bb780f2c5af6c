"""What came of a rollout, site by site: for people, for scripts, and as an error where not every site is whole."""

from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict

from edgelift.errors import EdgeliftError, IncompleteError, ManyError
from edgelift.fleet.sharing import FleetBuild
from edgelift.oci.digest import Digest
from edgelift.result_document import ResultDocument
from edgelift.site import EdgeSite
from edgelift.sizes import count, format_size

FORMAT: Literal["edgelift.fleet/v1"] = "edgelift.fleet/v1"
SiteState = Literal["whole", "failed", "not begun"]
HEADINGS = ("site", "lock", "state", "images ok", "missing", "moved", "seconds", "why", "next step")
_AGAIN = "run it again, or retry the run in Prefect: sites that are whole are only looked at"
_NAMED = 3  # failures of one site that are told


class SiteOutcome(BaseModel):
    """One site: the bundle and the lock that it was to get, and its state.

    Of `images` references so many are `ok`; both are None where nobody could ask. `moved_bytes` were sent to it in
    `seconds`. `why` it is not whole, and the `next_step`, where there are any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    site: str
    registry: str
    state: SiteState
    canary: bool = False
    bundle: str | None = None
    lock: Digest | None = None
    images: int | None = None
    ok: int | None = None
    moved_bytes: int = 0
    seconds: float = 0.0
    why: str = ""
    next_step: str = ""

    @classmethod
    def of(cls, site: EdgeSite, state: SiteState, **known: Any) -> Self:
        """The outcome of `site`."""
        return cls(site=site.name, registry=site.target.registry, canary=site.canary, state=state, **known)

    def explained(self, error: Exception) -> Self:
        """The same, failed for the reason that `error` gives."""
        return self.model_copy(
            update={"state": "failed", "why": explain_error(error), "next_step": getattr(error, "hint", None) or _AGAIN}
        )

    def told(self) -> str:
        """What has become of it, and below that the next step where it is one of its own."""
        step = f"\n  → {self.next_step}" if self.state == "failed" and self.next_step not in ("", _AGAIN) else ""
        return f"{self.site}: {self.state}{f', {self.why}' if self.why else ''}{step}"

    def cells(self) -> tuple[str, ...]:
        """What a table shows under `HEADINGS`."""
        known = self.images is not None and self.ok is not None
        return (
            f"{self.site} (canary)" if self.canary else self.site,
            f"{self.bundle} {self.lock[:19]}" if self.lock is not None else "",
            self.state,
            str(self.ok) if known else "",
            str((self.images or 0) - (self.ok or 0)) if known else "",
            format_size(self.moved_bytes),
            f"{self.seconds:.1f}",
            self.why,
            self.next_step,
        )


class SharedBuild(BaseModel):
    """What was built once: the `bundle`, the lock and the `images` in it, their `size` (bytes), and who shares it.

    A `direct` copy has a lock and no bundle; what is not `is_made` has failed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle: str
    lock: Digest
    images: int
    size: int
    sites: tuple[str, ...]
    direct: bool = False
    is_made: bool = True

    @classmethod
    def of(cls, build: FleetBuild, *, is_made: bool) -> Self:
        """What is told of a `build`."""
        return cls(
            bundle=build.name,
            lock=build.lock.digest,
            images=len(build.lock.images),
            size=build.lock.carried_size,
            sites=tuple(site.name for site in build.sites),
            direct=build.first.direct,
            is_made=is_made,
        )


class FleetSummary(ResultDocument):
    """All sites in the order in which they were named, how many builds they took, and why the rollout `stopped`.

    The builds are `shared` by the sites that each of them names.
    """

    what: ClassVar[str] = "the summary of a fleet"

    format: Literal["edgelift.fleet/v1"] = FORMAT
    builds: int
    sites: tuple[SiteOutcome, ...]
    stopped: str | None = None
    shared: tuple[SharedBuild, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether every site is."""
        return all(each.state == "whole" for each in self.sites)

    @property
    def headline(self) -> str:
        """In one line, how many sites are in which state, and what it took."""
        states: tuple[SiteState, ...] = ("whole", "failed", "not begun")
        counts = ", ".join(f"{sum(each.state == state for each in self.sites)} {state}" for state in states)
        moved = format_size(sum(each.moved_bytes for each in self.sites))
        stopped = f"; stopped: {self.stopped}" if self.stopped is not None else ""
        return f"{count(len(self.sites), 'site')}: {counts}; builds: {self.builds}; sent: {moved}{stopped}"

    def raise_unless_whole(self) -> None:
        """Raises `IncompleteError` that names each site that is not whole."""
        if self.is_whole:
            return
        undone = [each for each in self.sites if each.state != "whole"]
        failed_first = sorted(undone, key=lambda each: each.state != "failed")
        raise IncompleteError(
            f"{len(undone)} of {len(self.sites)} sites are not whole; the others are done and stay done",
            [each.told() for each in failed_first],
            hint=_AGAIN,
        )

    def derived(self) -> dict[str, Any]:
        """The verdict on the whole."""
        return {"whole": self.is_whole}


def explain_error(error: Exception) -> str:
    """Why, on one line: what an error says, and the first of what it names."""
    if not isinstance(error, EdgeliftError):
        return f"{type(error).__name__}: {error}"
    failures = error.failures if isinstance(error, ManyError) else ()
    named = [" ".join(failure.split()) for failure in failures[:_NAMED]]
    more = [f"and {len(failures) - _NAMED} more"] if len(failures) > _NAMED else []
    return "; ".join((error.message, *named, *more))
