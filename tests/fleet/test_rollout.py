"""Who comes when, and when to stop."""

from collections.abc import Sequence

import pytest

from edgelift.fleet.rollout import Rollout
from edgelift.site import EdgeSite
from tests.fleet.sites import make_site


def fleet(canaries: str, others: str) -> dict[str, EdgeSite]:
    """Sites by their names, which are single letters."""
    sites = [make_site(name, canary=name in canaries) for name in canaries + others]
    return {site.name: site for site in sites}


def begin_all(rollout: Rollout) -> str:
    """Begin as many as may begin now."""
    names = ""
    while (site := rollout.begin()) is not None:
        names += site.name
    return names


def test_canaries_come_first_wherever_they_stand() -> None:
    """No other begins before the last canary has ended."""
    sites = fleet("ab", "cd")
    rollout = Rollout([sites[name] for name in "cadb"], 0.5)

    stages = [begin_all(rollout)]
    for canary in "ab":
        rollout.settle(sites[canary], is_whole=True)
        stages.append(begin_all(rollout))

    assert (stages, rollout.stopped) == (["ab", "", "cd"], None)


def test_a_canary_that_fails_stops_the_rest() -> None:
    """Whatever share of failures is allowed: that is what a canary is for."""
    sites = fleet("ab", "cd")
    rollout = Rollout(list(sites.values()), 1.0)
    begun = begin_all(rollout)
    rollout.settle(sites["a"], is_whole=False)
    rollout.settle(sites["b"], is_whole=True)

    assert (begun, begin_all(rollout), rollout.stopped) == ("ab", "", "the canary a is not whole")


STOPS: dict[str, tuple[float, Sequence[bool], int | None]] = {
    "none may fail, none does": (0.0, [True, True, True], None),
    "none may fail, the third does": (0.0, [True, True, False], 3),
    "one in four may": (0.25, [True, True, True, False], None),
    "two in five may not, at a quarter": (0.25, [True, True, True, False, False], 5),
    "the first alone is all of them": (0.5, [False], 1),
    "half of two is not more than half": (0.5, [True, False], None),
    "all may fail": (1.0, [False, False, False], None),
}


@pytest.mark.parametrize(("limit", "ends", "stopped_after"), STOPS.values(), ids=STOPS)
def test_too_many_failures_stop_the_rest(limit: float, ends: Sequence[bool], stopped_after: int | None) -> None:
    """What counts is the share of those that have ended, each time that one ends."""
    sites = [make_site(f"site-{number}") for number in range(len(ends) + 1)]
    rollout = Rollout(sites, limit)
    stopped = None
    for number, is_whole in enumerate(ends, 1):
        site = rollout.begin()
        assert site is not None
        rollout.settle(site, is_whole=is_whole)
        stopped = stopped or (number if rollout.stopped else None)

    assert stopped == stopped_after
    assert (rollout.begin() is None) == (stopped_after is not None)


def test_a_site_without_content_counts_against_no_other() -> None:
    """Nothing has been done to it; the others are begun all the same, and it never is."""
    sites = fleet("", "abc")
    rollout = Rollout(list(sites.values()), 0.0)
    rollout.refuse(sites["b"])

    assert (begin_all(rollout), rollout.stopped) == ("ac", None)


def test_a_canary_without_content_stops_the_rest() -> None:
    """Nobody can say how the others would fare."""
    sites = fleet("a", "b")
    rollout = Rollout(list(sites.values()), 1.0)
    rollout.refuse(sites["a"])

    assert (begin_all(rollout), rollout.stopped) == ("", "the canary a is not whole")
