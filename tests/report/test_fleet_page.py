"""The report of a fleet: one page for all its sites, what went wrong first, and what they share."""

from edgelift.fleet.summary import FleetSummary, SharedBuild, SiteOutcome
from edgelift.oci.digest import Digest
from edgelift.report.model import Findings, Problem, RunReport, Stage, merge_stages
from edgelift.report.page import render_report
from edgelift.report.summary_page import headline
from tests.fleet.sites import make_site
from tests.report.runs import BEGUN, Page

LOCK = Digest.of(b"lock")
WHOLE = SiteOutcome.of(
    make_site("quay-1", canary=True), "whole", bundle="fleet-0123", lock=LOCK, images=60, ok=60, moved_bytes=2048
)
FAILED = SiteOutcome.of(make_site("quay-2"), "failed", images=60, ok=58, why="two are missing", next_step="look there")
UNBEGUN = SiteOutcome.of(make_site("quay-3"), "not begun", bundle="fleet-0123", lock=LOCK)
BUILDS = (
    SharedBuild(bundle="fleet-0123", lock=LOCK, images=60, size=2**30, sites=("quay-1", "quay-3")),
    SharedBuild(bundle="fleet-4567", lock=LOCK, images=2, size=2**20, sites=("quay-2",), is_made=False),
)
REPORT = RunReport(
    name="fleet",
    flow="sync-fleet",
    run="sync fleet (1234)",
    started=BEGUN,
    ended=BEGUN + 60,
    is_failed=True,
    outcome="Failed",
    problems=(Problem("quay-2", "failed, two are missing", "look there"),),
    fleet=FleetSummary(builds=2, sites=(WHOLE, UNBEGUN, FAILED), stopped="too many failed", shared=BUILDS),
)


def text_of(report: RunReport) -> str:
    """All text of its page, in one line."""
    return " ".join(" ".join(Page.of(render_report(report)).texts).split())


def test_what_went_wrong_comes_first_and_each_site_has_a_row() -> None:
    """State, validation, bundle, time and the next step; those that are not whole stand above the others."""
    page = text_of(REPORT)
    table = page[page.index("Why, and what to do next") :]

    assert page.index("What went wrong") < page.index("Summary") < page.index("3 sites")
    assert "1 of 3 sites are whole" in page
    assert table.index("quay-2") < table.index("quay-3") < table.index("quay-1")
    assert ("58 of 60 are ok" in table, "60 of 60 are ok" in table) == (True, True)
    assert "two are missing look there" in table
    assert "No further site was begun: too many failed." in page


def test_what_was_built_once_names_who_shares_it() -> None:
    """The bundle, its lock, how large it is, and whether there is one."""
    page = text_of(REPORT)
    builds = page[page.index("What was built once") :]

    assert "built 60 images, 1.0 GiB 2 sites quay-1, quay-3" in builds
    assert "failed 2 images, 1.0 MiB 1 site quay-2" in builds
    assert str(LOCK) in builds


def test_a_fleet_of_many_sites_stays_a_page() -> None:
    """Rows and names have an end, and the page says what it leaves out."""
    sites = tuple(SiteOutcome.of(make_site(f"site-{number:04}"), "whole") for number in range(1200))
    shared = SharedBuild(bundle="fleet-0123", lock=LOCK, images=1, size=1, sites=tuple(each.site for each in sites))
    page = render_report(REPORT._replace(fleet=FleetSummary(builds=1, sites=sites, shared=(shared,))))

    assert (b"200 more sites: see fleet.json." in page, b"and 1,150 more" in page) == (True, True)
    assert len(page) < 1_000_000


def test_what_is_said_of_a_fleet_in_a_line() -> None:
    """How many sites are in which state, and the time of all."""
    assert headline(REPORT).startswith("3 sites: 1 whole, 1 failed, 1 not begun; builds: 2;")
    assert headline(REPORT).endswith("in 1 min 00 s")


def test_the_stages_of_many_builds_are_told_as_one() -> None:
    """From the first beginning to the last end; one that failed somewhere has failed."""
    stages = [Stage("pull", 5, 6), Stage("plan", 0, 1), Stage("plan", 2, 4, is_failed=True)]
    merged = merge_stages(stages)

    assert merged == (Stage("plan", 0, 4, is_failed=True), Stage("pull", 5, 6))
    assert "pull 1.0 s 3 sites" in text_of(REPORT._replace(stages=merged))


def test_findings_have_a_table_of_their_own() -> None:
    """What an audit has found, or a refresh; nothing in it is markup."""
    found = Findings("What has changed", "1 missing", ("Image", "Change"), (("<b>app</b>", "missing"),))
    told = REPORT._replace(fleet=None, findings=found)

    assert "What has changed 1 missing Image Change <b>app</b> missing" in text_of(told)
    assert "1 missing" in headline(told)
