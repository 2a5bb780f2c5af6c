"""How many requests one registry gets at once: bounded, the largest bodies first, fewer while it shows strain."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import RegistryError
from edgelift.oci.credentials import Credentials
from edgelift.oci.registry import Registry
from edgelift.oci.slots import Slots
from edgelift.transport import TransportSettings
from tests.oci.clocks import Hands
from tests.simulators.registry import RegistrySimulator


def begin(*jobs: Callable[[], None]) -> list[threading.Thread]:
    """Threads that do `jobs`."""
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    return threads


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what other threads are about to do."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.002)


class Bodies:
    """Threads that each hold a slot for a body until they are let go; `begun` has the sizes in order."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.begun: list[int] = []
        self.go_on = threading.Event()

    def carry(self, size: int) -> None:
        """Hold a slot for `size` bytes."""
        with self.slots.body(size):
            self.begun.append(size)
            self.go_on.wait(10)


def test_the_largest_waiting_body_goes_first() -> None:
    """A large body that is begun last travels alone while everything else is done."""
    slots = Slots(2)
    bodies = Bodies(slots)
    threads = begin(lambda: bodies.carry(50))
    wait_until(lambda: bodies.begun == [50])
    threads += begin(*(lambda size=size: bodies.carry(size) for size in (10, 900, 300)))
    wait_until(lambda: slots.waiting == 3)
    bodies.go_on.set()
    for thread in threads:
        thread.join(10)

    assert bodies.begun == [50, 900, 300, 10]


def test_bodies_leave_one_slot_to_small_requests() -> None:
    """With every body stalled a manifest can still be asked for."""
    slots = Slots(4)
    bodies = Bodies(slots)
    threads = begin(*(lambda: bodies.carry(1) for _ in range(4)))
    wait_until(lambda: len(bodies.begun) == 3)
    with slots.small():
        assert len(bodies.begun) == 3
    bodies.go_on.set()
    for thread in threads:
        thread.join(10)

    assert len(bodies.begun) == 4


def test_bodies_and_small_requests_together_keep_to_the_limit() -> None:
    """What small requests hold is not there for bodies, which begin as those end."""
    slots = Slots(4)
    bodies = Bodies(slots)
    with slots.small(), slots.small(), slots.small():
        threads = begin(*(lambda: bodies.carry(1) for _ in range(3)))
        wait_until(lambda: slots.waiting == 2)
        assert len(bodies.begun) == 1
    wait_until(lambda: len(bodies.begun) == 3)
    bodies.go_on.set()
    for thread in threads:
        thread.join(10)


def test_a_single_slot_still_lets_a_small_request_through() -> None:
    """A body that asks for something small on its way (a token, a new session) must not wait for itself."""
    slots = Slots(1)
    with slots.body(100), slots.small():
        assert slots.limit == 1


def test_strain_halves_the_limit_once_for_requests_that_were_on_their_way_together() -> None:
    """Eight refusals at the same moment are one sign, not eight."""
    slots = Slots(8)
    for _ in range(8):
        slots.report_strain()

    assert slots.limit == 4


def test_the_limit_falls_to_one_and_climbs_back_with_good_answers_to_what_it_was() -> None:
    """Down by half at each new sign of strain, up by one after as many good answers as there are slots."""
    slots = Slots(8)
    limits = []
    for _ in range(4):
        slots.report_strain()
        limits.append(slots.limit)
        slots.report_success()
    climbed = []
    for _ in range(60):
        slots.report_success()
        climbed.append(slots.limit)

    assert limits == [4, 2, 1, 1]
    assert climbed[-1] == 8
    assert climbed == sorted(climbed)


@pytest.fixture
def sim(tmp_path: Path) -> RegistrySimulator:
    """A registry with one image of many layers."""
    simulator = RegistrySimulator(tmp_path)
    simulator.put_image(make_image("team/app", layers=tuple(SampleLayer("tar", 900 + n) for n in range(12))))
    return simulator


@pytest.mark.parametrize("status", [429, 503])
def test_a_registry_that_refuses_for_now_is_asked_less_at_once(sim: RegistrySimulator, status: int) -> None:
    """The limit halves with the refusal and returns with good answers."""
    with sim:
        registry = Registry(sim.host, TransportSettings(), Credentials(), clock=Hands().clock)
        sim.fail("GET", "/manifests/", status=status)
        registry.read_manifest("team/app", "1.0")
        lowered = registry.channel.slots.limit
        for _ in range(40):
            registry.describe("team/app", "1.0")

    assert lowered in (4, 5)  # halved, and perhaps one up again with the answer that followed
    assert registry.channel.slots.limit == 8


def test_a_registry_that_falls_silent_is_asked_less_at_once(sim: RegistrySimulator) -> None:
    """A time-out is a sign of strain like a refusal."""
    with sim:
        registry = Registry(sim.host, TransportSettings(idle_timeout=0.2), Credentials(), clock=Hands().clock)
        sim.stall("GET", "/manifests/", after_bytes=None, times=None)
        with pytest.raises(RegistryError):
            registry.read_manifest("team/app", "1.0")

    assert registry.channel.slots.limit == 4


def test_no_more_requests_are_on_their_way_than_allowed(sim: RegistrySimulator) -> None:
    """`parallel` is a bound on what one registry sees at once, whatever asks."""
    with sim:
        registry = Registry(sim.host, TransportSettings(parallel=3), Credentials())
        registry.log_in()
        sim.stall("GET", "/blobs/", after_bytes=None, times=None)
        manifest = registry.read_manifest("team/app", "1.0")

        def fetch(number: int) -> None:
            blob = manifest.blobs[number]
            with registry.open_blob("team/app", blob) as body:
                list(body.chunks)

        threads = begin(*(lambda n=n: fetch(n) for n in range(8)))
        wait_until(lambda: sim.count("GET", "/blobs/") >= 2)
        time.sleep(0.2)
        at_once = sim.count("GET", "/blobs/")
        sim.heal()
        for thread in threads:
            thread.join(10)

    assert at_once == 2
    assert sim.count("GET", "/blobs/") == 8
