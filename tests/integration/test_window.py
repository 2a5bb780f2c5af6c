"""The window of a site: runs begin inside it, and begin nothing more once it has closed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import ClassVar

from edgelift.errors import WindowClosedError
from edgelift.site import EdgeSite
from edgelift.timetable import Window
from flows.sync_site import sync_site
from tests.integration.prefect_server import PrefectServer
from tests.integration.sites import Site


def window(begin: int, end: int) -> dict[str, str]:
    """A window that opens and closes so many hours from now."""
    times = (datetime.now(UTC) + timedelta(hours=hours) for hours in (begin, end))
    return dict(zip(("start", "end"), (f"{time:%H:%M}" for time in times), strict=True))


class ClosingWindow(Window):
    """A window for which six hours go by after somebody has looked at it `lasts` times."""

    lasts: ClassVar[float] = 0
    looks: ClassVar[Iterator[int]] = count()

    def require_open(self, at: datetime) -> None:
        """Raises `WindowClosedError`."""
        is_late = next(ClosingWindow.looks) >= ClosingWindow.lasts
        super().require_open(at + timedelta(hours=6 if is_late else 0))


def test_a_run_outside_the_window_moves_nothing(prefect: PrefectServer, site: Site) -> None:
    """It ends before anything is asked for, says when the window opens, and can be told to run all the same."""
    parameters = {"site": with_window(site, Window.model_validate(window(2, 3))), **site.places}
    site.forget_requests()

    refused = prefect.run(sync_site, parameters)

    assert (refused.state, type(refused.outcome)) == ("FAILED", WindowClosedError)
    assert "it opens at" in str(refused.outcome)
    assert (site.source.requests, site.target.requests) == ([], [])

    done = prefect.run(sync_site, {**parameters, "ignore_window": True, "deep": True})

    assert done.state == "COMPLETED"
    assert (site.receipt["whole"], site.receipt["deep"]) == (True, True)


def test_a_window_that_closes_leaves_the_rest_to_the_next_run(prefect: PrefectServer, site: Site) -> None:
    """Pulls that have begun are finished and stay; the others are told in one line, and a retry begins with them."""
    parameters = {"site": with_window(site, ClosingWindow(**window(-2, 2))), **site.places}
    ClosingWindow.looks, ClosingWindow.lasts = count(), 2 + 2  # the run, all pulls, and two of the four pulls

    stopped = prefect.run(sync_site, parameters)

    assert (stopped.state, type(stopped.outcome)) == ("FAILED", WindowClosedError)
    assert "is closed: 2 of 4 images are not pulled yet; the others are done and stay done" in str(stopped.outcome)
    assert [site.delivered(image) for image in site.images] == [None] * 4
    pulled = site.store.references().keys()
    assert len(pulled) == 2

    (site.folder / "store" / "index.json").unlink()  # as of a run that was killed before it gave any name
    ClosingWindow.looks, ClosingWindow.lasts = count(), 2 + 2 + 2  # as before, the other pulls, and one of the pushes
    second = prefect.run_again(sync_site, parameters, stopped)

    assert "3 of 4 images are not pushed yet" in str(second.outcome)
    assert site.store.references().keys() == set(map(site.reference, site.images)) > pulled

    ClosingWindow.lasts = float("inf")
    third = prefect.run_again(sync_site, parameters, second)

    assert (third.state, site.receipt["whole"]) == ("COMPLETED", True)
    assert len(site.fetched_blobs) == len(set(site.fetched_blobs))


def with_window(site: Site, hours: Window) -> EdgeSite:
    """The site, with a window."""
    return EdgeSite.model_validate({**dict(site.settings()), "window": hours})
