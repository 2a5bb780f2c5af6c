"""`--chart`: charts by name, told apart from images in what the commands print."""

from collections.abc import Iterator

import pytest

from edgelift.demo.charts import make_chart
from tests.cli.commands import CommandLine
from tests.simulators.charts import ChartRepositorySimulator


@pytest.fixture
def charts() -> Iterator[ChartRepositorySimulator]:
    """A repository with a chart."""
    with ChartRepositorySimulator() as simulator:
        simulator.add(make_chart("web", "1.2.3"))
        yield simulator


def test_a_plan_of_a_chart(charts: ChartRepositorySimulator, command_line: CommandLine) -> None:
    """The range has become a version, and the table says that it is a chart."""
    outcome = command_line.run("plan", "--chart", f"{charts.url}#web:^1", "--output", "site.lock.json")

    assert (outcome.code, outcome.err.strip()) == (0, "lock: site.lock.json")
    assert f"{charts.host}/stable/web:1.2.3 (chart)" in outcome.out
    assert "0 images, 1 chart, 2 unique blobs" in outcome.out

    same = command_line.run("diff", "site.lock.json", "site.lock.json", "--json").document
    assert same["unchanged"] == 1


def test_a_chart_that_is_not_there(charts: ChartRepositorySimulator, command_line: CommandLine) -> None:
    """The error says what there is, and who asked."""
    outcome = command_line.run("plan", "--chart", f"{charts.url}#web:2.x")

    assert outcome.code == 1
    assert "has no version 2.x of web; it has 1.2.3" in outcome.error


@pytest.mark.parametrize("command", ["plan", "build"])
def test_what_names_no_chart(command_line: CommandLine, command: str) -> None:
    """It is told before anything starts."""
    outcome = command_line.run(command, "--name", "site", "--chart", "web")

    assert outcome.code == 2
    assert "'web' names no chart" in outcome.error
