"""How often a person is told how far long work is."""

from concurrent.futures import ThreadPoolExecutor

from edgelift.progress import Pace


def test_a_line_is_due_once_an_interval() -> None:
    """Within the interval nothing is told, however much is done."""
    pace = Pace(interval=3600)

    assert [pace.add(1) for _ in range(100)] == [None] * 100


def test_everything_done_is_counted_whoever_did_it() -> None:
    """The line that is due tells what all threads have done so far."""
    pace = Pace(interval=0)

    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(pace.add, [3] * 200))

    assert max(done for done in told if done is not None) == 600
