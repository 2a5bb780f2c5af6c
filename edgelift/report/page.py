"""The report of a run as one HTML file, which needs nothing else: no network, no script, no font. Pure.

A policy in the page forbids everything but its own style, should anything hostile get into it all the same.
"""

from edgelift.report import fleet_sections, sections
from edgelift.report.markup import Markup, element, join
from edgelift.report.model import RunReport
from edgelift.report.style import STYLE
from edgelift.report.wording import format_moment

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def render_report(report: RunReport) -> bytes:
    """The page: problems, summary, sites, findings, transfers, validation, sizes and all images, in this order."""
    content = join(
        part
        for section in (
            sections.problems,
            sections.summary,
            fleet_sections.sites,
            fleet_sections.builds,
            sections.findings,
            sections.transfers,
            sections.validation,
            sections.sizes,
            sections.images,
        )
        for part in section(report)
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{report.name}: {report.flow}, {report.outcome}"),
        element("style", Markup(STYLE)),
    )
    body = element("body", element("main", _header(report), content, _footer(report)))
    page = element("html", head, body, lang="en")
    return f"<!DOCTYPE html>\n{page}\n".encode()


def _header(report: RunReport) -> Markup:
    style = "bad" if report.is_failed else "good"
    attempt = f", attempt {report.attempt}" if report.attempt > 1 else ""
    place = f" to {report.place}" if report.place else ""
    about = f"{report.flow}{place}, run {report.run}{attempt}, {format_moment(report.started)}"
    return element(
        "header",
        element("h1", report.name),
        element("span", report.outcome, class_=f"pill {style}"),
        element("p", about, class_="about"),
    )


def _footer(report: RunReport) -> Markup:
    lock = f"Lock {report.lock.digest}. " if report.lock is not None else ""
    return element("footer", f"{lock}Written by edgelift at {format_moment(report.ended)}.")
