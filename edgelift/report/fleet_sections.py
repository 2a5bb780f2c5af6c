"""The sections of the report that are about a fleet: its sites, and what was built once for several of them. Pure."""

from collections.abc import Iterator

from edgelift.fleet.summary import FleetSummary, SharedBuild, SiteOutcome, SiteState
from edgelift.report.markup import Markup, chip, element, join, note, section, table
from edgelift.report.model import Problem, RunReport
from edgelift.report.tables import told_problem
from edgelift.report.wording import count, format_duration
from edgelift.sizes import format_size

MOST_SITES = 1000
MOST_NAMES = 50  # sites that are named beside what they share
_STYLES: dict[SiteState, str] = {"failed": "bad", "not begun": "care", "whole": "good"}


def fleet_figures(fleet: FleetSummary) -> Iterator[tuple[str, str]]:
    """What is told of all sites together."""
    whole = sum(each.state == "whole" for each in fleet.sites)
    yield f"{whole:,} of {len(fleet.sites):,}", "sites are whole"
    yield f"{fleet.builds:,}", "builds for all of them"
    yield format_size(sum(each.moved_bytes for each in fleet.sites)), "sent to their registries"


def sites(report: RunReport) -> Iterator[Markup]:
    """A row a site, those that are not whole first."""
    if report.fleet is None or not report.fleet.sites:
        return
    states = list(_STYLES)
    ordered = sorted(report.fleet.sites, key=lambda each: (states.index(each.state), each.site))
    headings = (
        element("th", "Site"),
        element("th", "State"),
        element("th", "Validated"),
        element("th", "Bundle"),
        element("th", "Sent", class_="number"),
        element("th", "Time", class_="number"),
        element("th", "Why, and what to do next"),
    )
    rest = len(ordered) - MOST_SITES
    yield section(
        count(len(ordered), "site"),
        *([note(f"No further site was begun: {report.fleet.stopped}.")] if report.fleet.stopped else []),
        table(headings, map(_site, ordered[:MOST_SITES])),
        *([note(f"{count(rest, 'more site')}: see fleet.json.")] if rest > 0 else []),
    )


def builds(report: RunReport) -> Iterator[Markup]:
    """A row for everything that was built once, with the sites that share it."""
    if report.fleet is None or not report.fleet.shared:
        return
    headings = (
        element("th", "Bundle"),
        element("th", "State"),
        element("th", "Content"),
        element("th", "Sites that share it"),
    )
    yield section("What was built once", table(headings, map(_build, report.fleet.shared)))


def _site(outcome: SiteOutcome) -> Markup:
    canary = chip("canary", "plain") if outcome.canary else ""
    known = outcome.images is not None and outcome.ok is not None
    return element(
        "tr",
        element("td", outcome.site, Markup(" "), canary, _below(outcome.registry), class_="name"),
        element("td", chip(outcome.state, _STYLES[outcome.state])),
        element("td", f"{outcome.ok:,} of {outcome.images:,} are ok" if known else "no"),
        element("td", outcome.bundle or "", class_="unbroken"),
        element("td", format_size(outcome.moved_bytes), class_="number"),
        element("td", format_duration(outcome.seconds) if outcome.seconds else "", class_="number"),
        element("td", told_problem(Problem("", outcome.why, outcome.next_step)), class_="reason"),
    )


def _build(build: SharedBuild) -> Markup:
    if not build.is_made:
        state = chip("failed", "bad")
    else:
        state = chip("direct copy", "plain") if build.direct else chip("built", "good")
    rest = len(build.sites) - MOST_NAMES
    names = [*build.sites[:MOST_NAMES], *([f"and {rest:,} more"] if rest > 0 else [])]
    return element(
        "tr",
        element("td", build.bundle, _below(f"lock {build.lock}"), class_="name"),
        element("td", state),
        element("td", f"{count(build.images, 'image')}, {format_size(build.size)}"),
        element("td", join((count(len(build.sites), "site"), _below(", ".join(names)))), class_="reason"),
    )


def _below(text: str) -> Markup:
    return element("span", text, class_="below")
