"""Faults F5 and F15: a server that says nothing more, or hardly anything, and a process that was asleep meanwhile."""

import signal
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import UnreachableError
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.faults.children import Children
from tests.faults.jobs import Job
from tests.faults.parts import assert_store_is_whole, layer_of, open_registry, pull, sent_blobs, size_of, write_lock
from tests.faults.silence import NEEDED, SILENCES, Met
from tests.faults.table import Notes
from tests.simulators.registry import RegistrySimulator

SHORT = TransportSettings(idle_timeout=1.0, connect_timeout=1.0)
MARGIN = 5.0  # seconds; what may pass on a busy machine between a time-out and the end of the pull
NOTICED_WITHIN = 65.0  # seconds, with the default of 60


@pytest.mark.parametrize(("what", "meet"), SILENCES.items(), ids=SILENCES)
def test_f05_silence_is_noticed(
    what: str, meet: Callable[[Path, TransportSettings], Met], tmp_path: Path, note: Notes
) -> None:
    """With an idle time-out of a second silence is noticed after one, wherever it comes, and the pull goes on."""
    met = meet(tmp_path, SHORT)

    assert SHORT.idle_timeout * 0.9 <= met.seconds <= SHORT.idle_timeout + MARGIN
    assert met.moved - NEEDED <= 1024 * SHORT.idle_timeout
    note(f"{what}; time-out 1 s", "noticed in time, then continued", moved=met.moved, needed=NEEDED)


def test_f05_silence_is_noticed_with_the_defaults(silences: dict[str, Future[Met]], note: Notes) -> None:
    """As it is delivered, every silence is noticed within 65 seconds, and the pull goes on to its end."""
    met = {what: future.result(timeout=120) for what, future in silences.items()}

    slow = {what: each.seconds for what, each in met.items() if what != "stalled TLS handshake"}
    assert all(55 <= seconds <= NOTICED_WITHIN for seconds in slow.values()), slow
    assert met["stalled TLS handshake"].seconds <= NOTICED_WITHIN
    for what, each in met.items():
        note(
            f"{what}; as delivered",
            f"noticed, and the pull whole, after {each.seconds:.0f} s",
            moved=each.moved,
            needed=NEEDED,
        )


def test_f05_a_slow_line_is_not_silence(sim: RegistrySimulator, store: LocalStore, note: Notes) -> None:
    """A line that brings little, but more than the least, is left alone: one request, however long it takes."""
    image = make_image("team/small", layers=(SampleLayer("tar", 12_000),))
    sim.put_image(image)
    sim.drip(layer_of(image).digest, piece=512, pause=0.02)
    settings = TransportSettings(idle_timeout=0.2, slowest=1024)

    pull(open_registry(sim.host, settings), image, store)

    assert sim.count("GET", layer_of(image).digest) == 1
    assert_store_is_whole(store, image)
    note("a slow line, above the least", "left alone", moved=sent_blobs(sim), needed=size_of(image))


def test_f05_silence_without_end_is_given_up(sim: RegistrySimulator, store: LocalStore, note: Notes) -> None:
    """A registry that never says more is given up with what has come; once it speaks again, only the rest is asked."""
    image = make_image("team/app", layers=(SampleLayer("tar", 400_000),))
    sim.put_image(image)
    sim.stall("GET", layer_of(image).digest, after_bytes=100_000)
    sim.stall("GET", layer_of(image).digest, after_bytes=0, times=None, skip=1)
    with pytest.raises(UnreachableError, match="it fell silent") as caught:
        pull(open_registry(sim.host, TransportSettings(idle_timeout=0.2)), image, store)

    assert "100,000 of" in caught.value.message
    sim.heal()
    pull(open_registry(sim.host), image, store)
    assert_store_is_whole(store, image)
    note("stalled for ever", "given up; the re-run continued", moved=sent_blobs(sim), needed=size_of(image))


def test_f15_a_process_that_was_stopped(
    sim: RegistrySimulator, children: Children, tmp_path: Path, note: Notes
) -> None:
    """Stopped for longer than its time-out while its connection was cut, a pull goes on where it was."""
    image = make_image("team/app", layers=(SampleLayer("tar", 4_000_000),))
    sim.put_image(image)
    lock = write_lock(tmp_path / "lock.json", sim.host, image)
    sim.forget_requests()
    sim.drip(layer_of(image).digest, piece=100_000, pause=0.05)
    store = tmp_path / "store"
    child = children.start(Job(("pull",), str(lock), str(store), idle_timeout=1.0))
    while sent_blobs(sim) < 1_000_000:
        time.sleep(0.01)
    child.kill(signal.SIGSTOP)
    time.sleep(0.2)
    sim.cut("GET", layer_of(image).digest, after_bytes=0, times=2)  # and two more when it is back
    time.sleep(1.8)
    child.kill(signal.SIGCONT)
    outcome = child.wait()

    assert (outcome.code, outcome.said) == (0, "")
    assert_store_is_whole(LocalStore(store), image)
    note(
        "SIGSTOP for twice the time-out, then SIGCONT",
        "went on where it was",
        moved=sent_blobs(sim),
        needed=size_of(image),
    )
