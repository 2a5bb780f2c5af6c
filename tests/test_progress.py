"""How often a person is told how far long work is."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from edgelift.progress import Outlook, Pace, Standing, Thrift, watching


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


# How long it will take


def test_the_rest_is_foretold_from_the_rate_of_late() -> None:
    """What went before the window counts no more: a slow beginning is forgotten, and so is what was there already."""
    outlook = Outlook(total=1000, window=30)
    for moment, done in ((0, 0), (10, 400), (20, 410), (30, 420), (40, 430), (50, 440)):
        standing = outlook.see(moment, done)

    assert (standing.rate, standing.remaining) == (1.0, 560.0)
    assert str(standing) == "440 B of 1000 B, 1 B/s, about 9 min left"


STANDINGS = {
    "moving": (Standing(512, 1024, 256.0), "512 B of 1.0 KiB, 256 B/s, about 5 s left"),
    "stuck": (Standing(512, 1024), "512 B of 1.0 KiB, nothing moves at the moment"),
    "done": (Standing(1024, 1024, 256.0), "1.0 KiB of 1.0 KiB"),
    "long": (Standing(0, 2**40, 2**20), "0 B of 1.0 TiB, 1.0 MiB/s, about 291 h 16 min left"),
    "nothing to do": (Standing(0, 0), "0 B of 0 B"),
}


@pytest.mark.parametrize(("standing", "told"), STANDINGS.values(), ids=STANDINGS)
def test_how_far_it_is_in_words(standing: Standing, told: str) -> None:
    """Bytes, rate and the time that the rest will take, where something moves."""
    assert str(standing) == told


def test_what_is_counted_twice_is_no_more_than_all() -> None:
    """A download that begins anew may count more than there is; nobody is told of 103 per cent."""
    assert Outlook(total=100).see(1.0, 103).share == 100.0


def test_updates_that_cost_are_few() -> None:
    """The first after the interval; then five per cent and the interval, or a minute with anything new."""
    thrift = Thrift(begun=0.0, interval=5, step=5, longest=60)
    seen = [(1, 50.0), (5, 50.0), (9, 80.0), (10, 54.0), (11, 55.0), (60, 56.0), (71, 56.0), (140, 56.0), (141, 100.0)]

    assert [moment for moment, share in seen if thrift.is_due(moment, share)] == [5, 11, 71, 141]


def test_steady_work_costs_at_most_one_update_for_each_step() -> None:
    """A thousand seconds, each looked at, cost twenty updates besides the first; an hour-long one per cent, sixty."""
    steady, slow = Thrift(0.0), Thrift(0.0)

    assert sum(steady.is_due(second, second / 10) for second in range(1001)) <= 21
    assert sum(slow.is_due(second, second / 3600) for second in range(3601)) <= 61


def test_short_work_is_never_told_of() -> None:
    """Where the work ends before the interval, nothing was published, and nothing is in the end."""
    told = list[Standing]()
    with watching(100, lambda: 50, told.append, interval=3600, look=0.001):
        pass

    assert told == []


def test_long_work_has_the_last_word() -> None:
    """What was told once is told once more at the end, with all that is done."""
    told, done, was_told = list[Standing](), [10], threading.Event()

    def tell(standing: Standing) -> None:
        told.append(standing)
        was_told.set()

    with watching(100, lambda: done[0], tell, interval=0, look=0.001):
        assert was_told.wait(60)
        done[0] = 100

    assert (told[0].done, told[-1].done) == (10, 100)


def test_whoever_cannot_be_told_spoils_nothing() -> None:
    """An error of the one who shows progress ends the telling, once, and not the work."""
    tries, was_told = list[Standing](), threading.Event()

    def tell(standing: Standing) -> None:
        tries.append(standing)
        was_told.set()
        raise ConnectionError("the API is away")

    with watching(100, lambda: 10, tell, interval=0, look=0.001):
        assert was_told.wait(60)

    assert 1 <= len(tries) <= 2


def test_whoever_is_slow_to_be_told_delays_nothing() -> None:
    """The work ends while the one who shows progress still hangs."""
    hangs, released = threading.Event(), threading.Event()

    def tell(_: Standing) -> None:
        hangs.set()
        released.wait(60)

    with watching(100, lambda: 10, tell, interval=0, look=0.001):
        assert hangs.wait(60)

    is_over = not released.is_set()
    released.set()
    assert is_over
