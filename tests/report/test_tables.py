"""What Prefect shows of a run: the plan, the table of images, the figures; nothing in them is markup by accident."""

from edgelift.report.plan_page import BIGGEST, Present, plan_page
from edgelift.report.summary_page import MOST_TOLD, headline, summary_page
from edgelift.report.tables import MOST_ROWS, image_rows
from tests.report.runs import lock_with, run_over

LOCK = lock_with(12)
HOSTILE = "`|</td>\n# x [y](javascript:z)"


def test_the_table_of_images_has_failures_first() -> None:
    """With the reason and the next step; the others follow, large ones first."""
    rows = image_rows(run_over(LOCK, failed=[7]))

    assert rows[0]["image"] == f"`{LOCK.images[7].reference}`"
    assert (rows[0]["state"], rows[0]["why it failed"]) == ("failed", "`503 from the registry`")
    assert rows[0]["next step"] == "`run it again`"
    assert {row["state"] for row in rows[1:]} == {"pulled, not pushed"}
    assert len(rows) == 12


def test_the_table_has_an_end() -> None:
    """However many images there are, the artifact stays one that a page can show."""
    report = run_over(LOCK)
    many = report._replace(images=report.images * MOST_ROWS)

    assert len(image_rows(many)) == MOST_ROWS


def test_nothing_in_a_cell_is_markup() -> None:
    """Names and reasons are code, on one line."""
    (row, *_) = image_rows(run_over(LOCK, failed=[0], reason=HOSTILE))

    assert row["why it failed"] == "`'|</td> # x [y](javascript:z)`"


def test_the_plan_tells_what_will_be_done() -> None:
    """Counts, bytes, what is there already, the biggest images and every warning."""
    page = plan_page(LOCK, Present(stored=100, standing=3, names=12, place="mirror.example/edge"), [HOSTILE])

    assert page.startswith("# site: 12 images\n")
    assert "| the site has already, as it should be | 3 of 12 names at `mirror.example/edge` |" in page
    assert "| in the store already | 100 B |" in page
    assert "- `'|</td> # x [y](javascript:z)`" in page
    assert page.count("| `registry.example/") == BIGGEST


def test_the_plan_says_nothing_of_what_nobody_looked_at() -> None:
    """Without a store and a target there is no word on what they have; without warnings none on these."""
    page = plan_page(LOCK, Present(), [])

    assert "already" not in page
    assert "Warnings" not in page


def test_the_figures_are_told_in_a_line() -> None:
    """Of a run that went well, and of one that did not."""
    assert headline(run_over(LOCK)).startswith("12 of 12 images are done, ")
    assert headline(run_over(LOCK, failed=[1, 2])).startswith("0 of 12 images are done, ")


def test_the_summary_says_where_to_look() -> None:
    """The first problems are told, and where the report is."""
    report = run_over(lock_with(40), failed=range(40))
    page = summary_page(report, {"report on worker-1": "/srv/harbour.report.html"})

    assert page.startswith("# harbour: Failed\n")
    assert page.count("503 from the registry") == MOST_TOLD
    assert "- and 20 more: see the report" in page
    assert page.endswith("- report on worker-1: `/srv/harbour.report.html`")
