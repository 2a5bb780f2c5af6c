"""Who comes when, and when to stop. Pure: sites are begun and settled by somebody else."""

from collections import deque
from collections.abc import Sequence

from edgelift.site import EdgeSite


class Rollout:
    """The order of the sites of a fleet: canaries first, the others once all of these are whole.

    `stopped` says why no further site is begun, as soon as that is so: a canary is not whole, or of the sites that were
    begun and have ended, more than `stop_on_failure_rate` (0 to 1) are not. What is under way is not called back.
    """

    def __init__(self, sites: Sequence[EdgeSite], stop_on_failure_rate: float) -> None:
        self.stopped: str | None = None
        self._canaries = deque(site for site in sites if site.canary)
        self._others = deque(site for site in sites if not site.canary)
        self._limit = stop_on_failure_rate
        self._proving = {site.name for site in self._canaries}
        self._ended = 0
        self._failed = 0

    def begin(self) -> EdgeSite | None:
        """The next site; None where none may begin now, or at all."""
        if self.stopped is not None:
            return None
        if self._canaries:
            return self._canaries.popleft()
        return self._others.popleft() if self._others and not self._proving else None

    def refuse(self, site: EdgeSite) -> None:
        """Note that `site` cannot begin: there is nothing to deliver. It counts against no other, but as a canary."""
        for queue in (self._canaries, self._others):
            if site in queue:
                queue.remove(site)
        self._judge_canary(site, is_whole=False)

    def settle(self, site: EdgeSite, *, is_whole: bool) -> None:
        """Note how a site that was begun has ended."""
        self._ended += 1
        self._failed += not is_whole
        self._judge_canary(site, is_whole=is_whole)
        if self.stopped is None and self._failed > self._limit * self._ended:
            self.stopped = f"{self._failed} of the {self._ended} sites that have ended are not whole"

    def _judge_canary(self, site: EdgeSite, *, is_whole: bool) -> None:
        self._proving.discard(site.name)
        if site.canary and not is_whole and self.stopped is None:
            self.stopped = f"the canary {site.name} is not whole"
