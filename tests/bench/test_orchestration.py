"""The cost of Prefect: what is computed from a run, and the page of it."""

from bench.figures import MIB
from bench.orchestration import Row, to_markdown
from bench.stub_flow import Taken


def a_row(images: int = 1000, alone: float = 1.0, flow: float = 11.0) -> Row:
    """A run over `images`, of which the library alone takes `alone` seconds and the flow `flow` seconds."""
    return Row(
        images=images,
        alone=Taken(alone, alone, 60 * MIB, ""),
        flow=Taken(flow, flow, 150 * MIB, "a run"),
        settled=4.0,
        server_cpu=30.0,
        server_memory=300 * MIB,
        database=20 * MIB,
    )


def test_what_the_library_takes_anyway_is_no_overhead() -> None:
    """The overhead of an image is the flow's time beyond the library's, shared by all of them."""
    assert a_row(images=1000, alone=1.0, flow=11.0).overhead == 0.010


def test_a_line_has_every_figure_of_a_run() -> None:
    """Seconds, milliseconds an image, and what server and database took stand in one line of the table."""
    line = next(line for line in to_markdown([a_row()]).splitlines() if line.startswith("| 1,000 |"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == [
        *("1,000", "1.00 s", "11.00 s", "10.0 ms", "150 MiB", "4.0 s"),
        *("30.0 s", "30.0 ms", "300 MiB", "20.0 MiB", "20.5 KiB"),
    ]
