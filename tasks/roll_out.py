"""Roll out: what a fleet shares → its sites, canaries first, so many at a time, until too many fail."""

from contextlib import suppress
from typing import Any

from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, as_completed

from edgelift.delivery.expected import receipt_path
from edgelift.delivery.receipt import DeliveryReceipt
from edgelift.errors import EdgeliftError, UndeliveredError
from edgelift.fleet.rollout import Rollout
from edgelift.fleet.summary import FleetSummary, SharedBuild, SiteOutcome
from edgelift.site import EdgeSite
from tasks.as_is import as_is
from tasks.connect import connect, known_blobs, open_content, path_of
from tasks.deliver import deliver_site
from tasks.narrate import narrate
from tasks.record import staged
from tasks.settle import outcome_of
from tasks.share import FleetContent
from tasks.validate import validate_target


@staged("roll out")
def roll_out(content: FleetContent, parallel: int, stop_on_failure_rate: float, output: str) -> FleetSummary:
    """Deliver to every site, `parallel` of them at a time, each as a task of its own; gives what came of each.

    A delivery that an earlier attempt at this run has finished is not made again, where validation finds all of it.
    """
    rollout = Rollout(content.sites, stop_on_failure_rate)
    course = _Course(content, output)
    for site in content.sites:
        if site.name in content.failures:
            rollout.refuse(site)
    while True:
        while len(course.running) < parallel and (begun := rollout.begin()) is not None:
            course.begin(begun)
        if not course.running:
            break
        site, outcome = course.advance()
        if outcome is not None:
            rollout.settle(site, is_whole=outcome.state == "whole")
            narrate(course.progress(outcome), warn=outcome.state != "whole", is_reported=False)
    if rollout.stopped is not None:
        narrate(f"no further site is begun: {rollout.stopped}", warn=True, is_reported=False)
    return course.summary(rollout.stopped)


class _Course:
    """The deliveries that are under way, and what has come of the others."""

    def __init__(self, content: FleetContent, output: str) -> None:
        self.running: dict[PrefectFuture[Any], EdgeSite] = {}
        self._content = content
        self._output = output
        self._builds = {site.name: (build.lock, build.lock.digest) for build in content.builds for site in build.sites}
        self._outcomes = {
            site.name: self._unbegun(site).explained(content.failures[site.name])
            for site in content.sites
            if site.name in content.failures
        }
        self._earlier: dict[str, SiteOutcome] = {}  # what an earlier attempt has delivered

    def begin(self, site: EdgeSite, *, anew: bool = False) -> None:
        """Have the content delivered to `site`; `anew`, whatever an earlier attempt has done."""
        place, (lock, digest) = self._content.contents[site.name], self._builds[site.name]
        with suppress(EdgeliftError):  # the task tells of it; what is open is shared by all tasks
            connect(site.access)
            known_blobs(site.target)
            open_content(place, site.public_key)
        deliver = deliver_site.with_options(refresh_cache=True) if anew else deliver_site
        future = deliver.submit(as_is(site), as_is(lock), digest, place, self._output)
        self.running[future] = site

    def advance(self) -> tuple[EdgeSite, SiteOutcome | None]:
        """Wait for one of those under way; its outcome, or None where there is more to do for it, which is begun."""
        future = next(as_completed(list(self.running)))
        future.wait()  # for its state: that it has ended is all that is known
        site, state = self.running.pop(future), future.state
        found = outcome_of(state)
        if isinstance(found, DeliveryReceipt):
            earlier = self._earlier.pop(site.name)
            if not (found.is_whole and receipt_path(path_of(self._output), site.name).is_file()):
                self.begin(site, anew=True)
                return site, None
            outcome = earlier.model_copy(update={"moved_bytes": 0, "seconds": 0.0})
        elif isinstance(found, SiteOutcome) and state.name == "Cached":
            # A result taken over from an earlier attempt proves nothing about the registry as it is now.
            self._earlier[site.name] = found
            lock, _ = self._builds[site.name]
            self.running[validate_target.submit(as_is(lock), site.access, site.target)] = site
            return site, None
        else:
            outcome = self._judge(site, state, found)
        self._outcomes[site.name] = outcome
        return site, outcome

    def progress(self, last: SiteOutcome) -> str:
        """How far the fleet is, in one line."""
        done, many = len(self._outcomes), len(self._content.sites)
        why = f": {last.why}" if last.why else ""
        return f"{done} of {many} sites: {last.site} is {last.state}{why}"

    def summary(self, stopped: str | None) -> FleetSummary:
        """What has come of all."""
        outcomes = (self._outcomes.get(site.name) or self._unbegun(site) for site in self._content.sites)
        made, builds = self._content.contents, self._content.builds
        shared = (SharedBuild.of(build, is_made=any(site.name in made for site in build.sites)) for build in builds)
        return FleetSummary(builds=len(builds), sites=tuple(outcomes), stopped=stopped, shared=tuple(shared))

    def _judge(self, site: EdgeSite, state: State[Any], found: object) -> SiteOutcome:
        if isinstance(found, SiteOutcome):
            return found
        if isinstance(found, UndeliveredError):
            return SiteOutcome.model_validate(found.outcome)
        error = found if isinstance(found, Exception) else EdgeliftError(str(state.message or state.name))
        return self._unbegun(site).explained(error)

    def _unbegun(self, site: EdgeSite) -> SiteOutcome:
        """What is known of a site that nothing has been delivered to."""
        lock, digest = self._builds.get(site.name, (None, None))
        return SiteOutcome.of(
            site,
            "not begun",
            bundle=lock.definition.name if lock is not None else None,
            lock=digest,
            next_step="mend what has stopped the fleet, then run it again",
        )
