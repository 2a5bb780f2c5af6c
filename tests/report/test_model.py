"""What errors say of a run, image by image, and the figures that follow."""

import pytest

from edgelift.errors import ConfigurationError, IncompleteError
from edgelift.report.model import Problem, RunReport, Step, Verb, headline_of, problems_of, with_problems
from edgelift.report.throughput import COLUMNS, measure_throughput
from tests.report.runs import BEGUN, lock_with, run_over

LOCK = lock_with(4)
REFERENCES = [image.reference for image in LOCK.images]
FAILED = IncompleteError(
    "2 of 4 images could not be pulled",
    [f"{REFERENCES[1]}: 503\n  → wait", f"{REFERENCES[2]}: HTTP: 404"],
    hint="run it again",
)
ERRORS: dict[str, tuple[BaseException, tuple[Problem, ...]]] = {
    "many": (FAILED, (Problem(REFERENCES[1], "503", "wait"), Problem(REFERENCES[2], "HTTP: 404", "run it again"))),
    "one": (ConfigurationError("no such block", hint="make it"), (Problem("", "no such block", "make it"),)),
    "without a next step": (ConfigurationError("no such block"), (Problem("", "no such block"),)),
    "about something with spaces": (IncompleteError("1", ["chart a 1.2: 404"]), (Problem("", "chart a 1.2: 404"),)),
    "a defect": (KeyError("x"), (Problem("", "KeyError: 'x'"),)),
    "a silent defect": (ValueError(), (Problem("", "ValueError"),)),
}


@pytest.mark.parametrize(("error", "problems"), ERRORS.values(), ids=ERRORS)
def test_an_error_is_taken_apart(error: BaseException, problems: tuple[Problem, ...]) -> None:
    """Each failure is a problem with its subject, its reason and its next step, or that of the whole."""
    assert problems_of(error) == problems


def test_an_error_about_many_things_has_a_headline() -> None:
    """What it says as a whole is kept; an error about one thing has nothing besides."""
    assert headline_of(FAILED) == Problem("", "2 of 4 images could not be pulled", "run it again")
    assert headline_of(ConfigurationError("no such block")) is None


def test_a_problem_finds_its_image() -> None:
    """The first step of it that is not done has failed, whether it was seen to begin or not."""
    steps: dict[tuple[Verb, str], Step] = {
        ("pull", REFERENCES[1]): Step("done"),
        ("pull", REFERENCES[2]): Step("failed"),
    }
    found = with_problems(steps, problems_of(FAILED), LOCK.images, ("pull", "push"))

    assert found["push", REFERENCES[1]] == Step("failed", problem=Problem(REFERENCES[1], "503", "wait"))
    assert found["pull", REFERENCES[2]].problem == Problem(REFERENCES[2], "HTTP: 404", "run it again")
    assert set(found) == {("pull", REFERENCES[1]), ("push", REFERENCES[1]), ("pull", REFERENCES[2])}


def test_throughput_has_all_that_moved() -> None:
    """Bytes a second, over all columns, are the bytes that moved; nothing of an earlier attempt is among them."""
    for report in (run_over(LOCK), run_over(LOCK, earlier=[0])):
        found = measure_throughput(report)

        assert sum(found.pulled) * found.seconds == pytest.approx(report.moved("pull"), rel=0.001)
        assert sum(found.pushed) * found.seconds == pytest.approx(report.moved("push"), rel=0.001)


def test_throughput_survives_clocks_that_are_set() -> None:
    """Transfers before the beginning, after the end, and of no length lose nothing and break nothing."""
    report = run_over(LOCK)._replace(started=BEGUN + 100, ended=BEGUN + 99)
    found = measure_throughput(report)

    assert (len(found.pulled), min(found.pulled)) == (COLUMNS, 0.0)
    assert sum(found.pulled) * found.seconds == pytest.approx(report.moved("pull"), rel=0.001)


def test_a_run_of_nothing_moved_nothing() -> None:
    """Without images all figures are zero."""
    report = RunReport("x", "x", "x", BEGUN, BEGUN)

    assert (report.moved("pull"), measure_throughput(report).peak, report.seconds) == (0, 0.0, 0.0)
