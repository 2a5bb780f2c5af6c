"""The sections of the report, each of which is left out where there is nothing to say. Pure."""

from collections.abc import Iterator, Sequence

from edgelift.delivery.receipt import DeliveryReceipt, Proof, Verdict
from edgelift.report.axis import Scale
from edgelift.report.fleet_sections import fleet_figures
from edgelift.report.markup import Markup, chip, element, note, section, table
from edgelift.report.model import Problem, RunReport, Stage, Verb
from edgelift.report.tables import image_table, told_problem
from edgelift.report.throughput import draw_throughput
from edgelift.report.timeline import draw_timeline, legend
from edgelift.report.wording import count, format_duration
from edgelift.sizes import format_size
from edgelift.treemap.svg import draw_treemap

MOST_TOLD = 100  # problems, and warnings; the log has all of them
MOST_CELLS = 2000
MOST_FOUND = 1000
_VERDICTS: dict[Verdict, tuple[str, str]] = {
    "ok": ("good", "✓"),
    "not-checkable": ("plain", "?"),
    "differs": ("care", "≠"),
    "missing": ("bad", "✕"),
}


def problems(report: RunReport) -> Iterator[Markup]:
    """What went wrong, and below it what deserves a warning."""
    if report.problems:
        headline = report.headline
        common = headline.next_step if headline is not None else ""
        told = [each._replace(next_step="") if each.next_step == common else each for each in report.problems]
        above = [element("p", told_problem(headline), class_="headline")] if headline is not None else []
        yield section("What went wrong", *above, _told(told), class_="problems")
    if report.warnings:
        warnings = [Problem("", each) for each in report.warnings]
        yield section(count(len(warnings), "warning"), _told(warnings), class_="warnings")


def summary(report: RunReport) -> Iterator[Markup]:
    """The figures, and what each stage took."""
    tiles = element("div", *(_tile(value, name) for value, name in _figures(report)), class_="tiles")
    yield section("Summary", tiles, *(_stages(report) if report.stages else ()))


def transfers(report: RunReport) -> Iterator[Markup]:
    """The timeline, and the throughput over the same time."""
    timeline = draw_timeline(report)
    if timeline is None:
        return
    if timeline.others:
        about = (
            f"The {timeline.shown} images that failed or took longest have a bar each; "
            f"the other {timeline.others:,} are shown together, at the bottom. The table below has all of them."
        )
    else:
        about = "One bar an image, in the order in which they began. Time is that of the run."
    yield section("Transfers", note(about), legend(report), timeline.picture)
    picture = draw_throughput(report)
    if picture is not None:
        about = "Bytes over the wire. Each transfer counts with its mean over its own time."
        yield section("Throughput", note(about), picture)


def validation(report: RunReport) -> Iterator[Markup]:
    """What the target has of each image, under each of its names there."""
    receipt = report.receipt
    if receipt is None or not receipt.proofs:
        return
    worst = list(reversed(_VERDICTS))
    proofs = sorted(receipt.proofs, key=lambda proof: (worst.index(proof.verdict), proof.reference, proof.target))
    open_proofs = [proof for proof in proofs if proof.verdict != "ok"]
    counts = ", ".join(f"{number:,} {verdict}" for verdict, number in receipt.counts.items() if number)
    depth = "every blob was read back" if receipt.deep else "manifests and blob sizes were asked for"
    yield section(
        "Validation",
        note(f"{receipt.registry}: {counts}; {depth}. One square for each image under each of its names there."),
        element("div", *map(_cell, proofs[:MOST_CELLS]), class_="cells"),
        *([_matrix(open_proofs)] if open_proofs else []),
        element(
            "details",
            element("summary", f"All {count(len(proofs), 'name')} at the target"),
            _matrix(proofs[:MOST_CELLS]),
        ),
        *_extras(receipt),
    )


def sizes(report: RunReport) -> Iterator[Markup]:
    """What of the content costs how much."""
    if report.lock is not None and report.lock.images:
        about = "What each pack carries, by size: packs, in them images, in them layers. Point at a box for more."
        yield section("What costs how much", note(about), Markup(draw_treemap(report.lock).decode()))


def findings(report: RunReport) -> Iterator[Markup]:
    """What the run has found out beside what it moved."""
    found = report.findings
    if found is None:
        return
    headings = (element("th", name) for name in found.columns)
    rows = (element("tr", *(element("td", text, class_="reason") for text in row)) for row in found.rows[:MOST_FOUND])
    rest = len(found.rows) - MOST_FOUND
    more = [note(f"And {rest:,} more.")] if rest > 0 else []
    yield section(found.heading, note(found.said), *([table(headings, rows)] if found.rows else []), *more)


def images(report: RunReport) -> Iterator[Markup]:
    """The table."""
    if report.images:
        yield section(count(len(report.images), "image"), image_table(report))


def _told(told: Sequence[Problem]) -> Markup:
    rest = len(told) - MOST_TOLD
    items = [
        element(
            "li",
            element("span", each.subject, class_="subject") if each.subject else "",
            told_problem(each),
        )
        for each in told[:MOST_TOLD]
    ]
    items += [element("li", f"and {rest:,} more: see the log of the run")] if rest > 0 else []
    return element("ul", *items, class_="told")


def _tile(value: str, name: str) -> Markup:
    return element("div", element("b", value), element("span", name), class_="tile")


def _figures(report: RunReport) -> Iterator[tuple[str, str]]:
    yield format_duration(report.seconds), "wall time of the run"
    if report.fleet is not None:
        yield from fleet_figures(report.fleet)
    if report.images:
        done = sum(image.state == "done" for image in report.images)
        pulled = sum(step.state != "failed" for step in report.steps("pull"))
        rest = f", {pulled:,} are pulled" if done < pulled else ""
        yield f"{done:,} of {len(report.images):,}", f"images are done{rest}"
    if report.lock is not None:
        yield format_size(report.lock.carried_size), "of content, each blob once"
    verbs: tuple[tuple[Verb, str], ...] = (("pull", "pulled from registries"), ("push", "pushed to the target"))
    for verb, name in verbs:
        if any(step.state == "done" for step in report.steps(verb)):
            rate = _mean_rate(report, verb)
            yield format_size(report.moved(verb)), f"{name}, {rate}" if rate else name
    if report.receipt is not None:
        yield f"{report.receipt.counts['ok']:,} of {len(report.receipt.proofs):,}", "names are proved"


def _mean_rate(report: RunReport, verb: Verb) -> str:
    """What moved, over the time of the stage; nothing where that would say nothing."""
    seconds = sum(stage.seconds for stage in report.stages if stage.name == verb)
    moved = report.moved(verb)
    return f"{format_size(round(moved / seconds))}/s" if seconds > 0 and moved else ""


def _stages(report: RunReport) -> Iterator[Markup]:
    """A row a stage: when it was, as a bar, how long it took, and what it moved at which rate."""
    headings = (
        element("th", "Stage"),
        element("th", "Time", class_="number"),
        element("th", "Moved", class_="number"),
        element("th", "When"),
    )
    yield table(headings, (_stage(report, stage) for stage in report.stages))


def _stage(report: RunReport, stage: Stage) -> Markup:
    moved: dict[str, Verb] = {"pull": "pull", "push": "push"}
    verb = moved.get(stage.name)
    told = ""
    if verb is not None and report.images:  # a fleet tells of its sites alone
        rate = _mean_rate(report, verb)
        told = f"{format_size(report.moved(verb))}{f', {rate}' if rate else ''}"
    failed = chip("not finished", "bad") if stage.is_failed else ""
    return element(
        "tr",
        element("td", stage.name, Markup(" "), failed),
        element("td", format_duration(stage.seconds), class_="number"),
        element("td", told, class_="number"),
        element("td", _span(report, stage), class_="stage"),
    )


def _span(report: RunReport, stage: Stage) -> Markup:
    scale = Scale(max(report.seconds, 0.1), 0, 500)
    left, right = scale.at(stage.started - report.started), scale.at(stage.ended - report.started)
    style = f"span {stage.name if stage.name in ('pull', 'push') else ''}{' failed' if stage.is_failed else ''}"
    bar = {"x": f"{min(left, 497):.1f}", "width": f"{max(right - left, 3):.1f}"}
    return element(
        "svg",
        element("rect", class_="track", x=0, y=0, width=500, height=10, rx=3),
        element("rect", class_=style, y=0, height=10, rx=3, **bar),
        class_="chart",
        viewBox="0 0 500 10",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def _cell(proof: Proof) -> Markup:
    style, sign = _VERDICTS[proof.verdict]
    told = f"{proof.target}: {proof.verdict}. {proof.reason}" if proof.reason else f"{proof.target}: {proof.verdict}"
    return element("span", sign, class_=f"cell {style}", title=told)


def _matrix(proofs: Sequence[Proof]) -> Markup:
    """A row for each image under each of its names."""
    headings = (element("th", name) for name in ("Image", "Name at the target", "Verdict", "Why"))
    rows = (
        element(
            "tr",
            element("td", proof.reference, class_="name"),
            element("td", proof.target, class_="name"),
            element("td", chip(proof.verdict, _VERDICTS[proof.verdict][0])),
            element("td", proof.reason, class_="reason"),
        )
        for proof in proofs
    )
    return table(headings, rows)


def _extras(receipt: DeliveryReceipt) -> Iterator[Markup]:
    found = len(receipt.extras.tags) + len(receipt.extras.repositories)
    if found:
        yield note(f"Tags and repositories that stand there beside these: {found:,}; the receipt names them.")
    if receipt.cluster_definition is not None:
        yield note(str(receipt.cluster_definition))
