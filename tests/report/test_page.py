"""The report of a run: whole, harmless whatever it tells of, readable with few images and with many."""

import re
from collections.abc import Sequence

import pytest

from edgelift.bundle.definition import Origin, RequestedImage
from edgelift.bundle.lock import BundleLock
from edgelift.oci.transfer import Transfer
from edgelift.report.model import Problem, RunReport, Step, StepState, Timing, Verb, report_images
from edgelift.report.page import render_report
from edgelift.report.tables import state_of
from edgelift.report.timeline import MOST_BARS
from tests.report.runs import BEGUN, SECTIONS, Page, lock_with, run_over

FEW, MANY = lock_with(5), lock_with(500)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;\u202e\x00\ud800`|"


def texts(report: RunReport) -> str:
    """All text of the page of `report`, in one line."""
    return " ".join(" ".join(Page.of(render_report(report)).texts).split())


def sections_of(report: RunReport) -> list[str]:
    """The headings of its page, in their order."""
    found = re.findall(r"<h2>(.*?)</h2>", render_report(report).decode())
    return [heading for heading in found if heading in SECTIONS]


def test_a_run_that_went_well_has_every_section_but_problems() -> None:
    """Summary, transfers, throughput, validation and sizes come in this order; there is nothing to complain of."""
    assert sections_of(run_over(FEW)) == list(SECTIONS[1:])


def test_problems_come_first() -> None:
    """What failed stands above everything else, with the reason and the next step, and first in the table."""
    report = run_over(FEW, failed=[3])
    page = texts(report)

    assert sections_of(report)[0] == "What went wrong"
    assert report.problems_first[0].name == FEW.images[3].reference
    assert page.index("1 image could not be pulled") < page.index("Summary")
    assert page.index(FEW.images[3].reference) < page.index("Summary")
    assert "503 from the registry" in page


def test_a_run_of_which_nothing_is_known_has_a_page() -> None:
    """A run that ended before it had a plan says how it ended and what went wrong; nothing else is drawn."""
    report = RunReport("harbour", "sync-site", "a run", BEGUN, BEGUN, is_failed=True, outcome="Failed")
    told = report._replace(problems=(Problem("", "no such profile", "look at its name"),))

    assert sections_of(report) == ["Summary"]
    assert sections_of(told) == ["What went wrong", "Summary"]
    assert "no such profile" in texts(told)
    assert "look at its name" in texts(told)


def hostile_report() -> RunReport:
    """A run in which every text that a stranger can choose is hostile."""
    written = HOSTILE.replace("\ud800", "")  # what no YAML and no JSON can hold
    asked = RequestedImage(
        reference=FEW.images[0].reference, origins=(Origin(profile=written, pack=written, path=written),)
    )
    lock = FEW.model_copy(
        update={"definition": FEW.definition.model_copy(update={"images": (asked, *FEW.definition.images[1:])})}
    )
    report = run_over(lock, verdicts={0: "missing"})
    receipt = report.receipt
    assert receipt is not None
    proofs = tuple(each.model_copy(update={"reason": HOSTILE, "target": HOSTILE}) for each in receipt.proofs)
    problem = Problem("", HOSTILE, HOSTILE)
    failed = Step("failed", Timing(started=BEGUN, ended=BEGUN + 1), Transfer(), HOSTILE, problem)
    images = tuple(each._replace(name=HOSTILE, pull=failed) for each in report.images)
    return report._replace(
        name=HOSTILE,
        flow=HOSTILE,
        run=HOSTILE,
        outcome=HOSTILE,
        place=HOSTILE,
        problems=(Problem(HOSTILE, HOSTILE, HOSTILE),),
        headline=Problem("", HOSTILE, HOSTILE),
        warnings=(HOSTILE,),
        images=images,
        lock=lock,
        receipt=receipt.model_copy(update={"proofs": proofs, "registry": HOSTILE}),
    )


def test_hostile_names_and_reasons_do_no_harm() -> None:
    """No text becomes an element or an attribute, nothing turns a line around, and the page can still be written."""
    page = Page.of(render_report(hostile_report()))
    kinds = {kind for kind, _ in page.elements}
    names = {name for _, attributes in page.elements for name in attributes}

    assert kinds.isdisjoint({"script", "img", "iframe", "object", "embed", "link", "base", "form", "a"})
    assert not [name for name in names if name.startswith("on")]
    assert "<script>alert(1)</script>" in "".join(page.texts)
    assert "\u202e" not in "".join(page.texts)


@pytest.mark.parametrize("lock", [FEW, MANY], ids=["few", "many"])
def test_nothing_is_fetched(lock: BundleLock) -> None:
    """The page names no other file, has no script, and forbids both by a policy of its own."""
    page = Page.of(render_report(run_over(lock)))
    policies = [given for kind, given in page.elements if kind == "meta" and "http-equiv" in given]
    attributes = {name for _, given in page.elements for name in given}

    assert [each["content"] for each in policies] == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert attributes.isdisjoint({"src", "href", "xlink:href", "style", "action", "data", "srcset"})
    style = "".join(text for text in page.texts if "{" in text)
    assert set(re.findall(r"url\(([^)]*)\)", style)) <= {"#earlier-hatch", "#stripes"}
    assert "@import" not in style


def test_five_hundred_images_stay_readable() -> None:
    """Some have bars of their own, the others are a sum, and the page says so; it stays a file that can be mailed."""
    page = render_report(run_over(MANY))

    assert f"the other {500 - MOST_BARS} are shown together" in page.decode()
    assert "460 more images" in page.decode()
    assert len(page) < 2_000_000


def test_what_failed_has_a_bar_among_many() -> None:
    """However many images there are, those that failed are drawn one by one."""
    report = run_over(MANY, failed=[17, 333])
    picture = render_report(report).decode()
    timeline = picture[picture.index("Timeline of transfers") : picture.index("Throughput over time")]

    assert all(f">{MANY.images[number].reference}</text>" in timeline for number in (17, 333))
    assert timeline.count('class="cross"') == 2


def test_what_an_earlier_attempt_did_is_shown_as_such() -> None:
    """It took time, but not of this run: it is hatched, said so in the table, and not counted as moved."""
    report, other = run_over(FEW, earlier=[0, 1]), run_over(FEW)

    assert render_report(report).count(b'class="earlier pull"') == 2
    assert "earlier attempt: 20 s" in texts(report)
    assert report.moved("pull") < other.moved("pull")


def test_the_validation_shows_every_name_at_the_target() -> None:
    """A square for each, what is not right first and in words."""
    report = run_over(FEW, verdicts={2: "missing", 4: "differs"})
    page = Page.of(render_report(report))
    cells = [given["class"] for kind, given in page.elements if str(given.get("class")).startswith("cell ")]

    assert sorted(cells) == ["cell bad", "cell care", "cell good", "cell good", "cell good"]
    assert cells[-3:] == ["cell good"] * 3
    assert "3 ok, 1 differs, 1 missing" in texts(report)


def test_the_same_run_gives_the_same_page() -> None:
    """Nothing of the moment at which it is drawn is in it."""
    assert render_report(run_over(FEW)) == render_report(run_over(FEW))


STATES: dict[str, tuple[tuple[Verb, ...], StepState | None, StepState | None, str]] = {
    "pushed": (("pull", "push"), "done", "done", "pushed"),
    "pulled, and not expected to be pushed": (("pull",), "done", None, "pulled"),
    "pulled only": (("pull", "push"), "done", None, "pulled, not pushed"),
    "not begun": (("pull", "push"), None, None, "not begun"),
    "failed": (("pull", "push"), "failed", None, "failed"),
    "taken over": (("pull", "push"), "earlier", "earlier", "pushed"),
}


@pytest.mark.parametrize(("expected", "pull", "push", "told"), STATES.values(), ids=STATES)
def test_the_state_of_an_image_is_told_in_words(
    expected: Sequence[Verb], pull: StepState | None, push: StepState | None, told: str
) -> None:
    """It is done once all that the run wanted is done, whoever did it."""
    reference = FEW.images[0].reference
    given: dict[Verb, StepState | None] = {"pull": pull, "push": push}
    steps = {(verb, reference): Step(state) for verb, state in given.items() if state is not None}
    (image,) = report_images(FEW.images[:1], expected, steps)

    assert state_of(image) == told
