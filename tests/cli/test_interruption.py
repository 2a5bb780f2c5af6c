"""Being interrupted: the command ends within seconds, says that it can be resumed, and can."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from edgelift.cli.interruption import GRACE
from edgelift.demo.content import SampleLayer, make_image
from tests.cli.commands import EDGELIFT, CommandLine, files_below, references
from tests.simulators.registry import RegistrySimulator

IMAGES = [make_image(f"team/app-{number}", layers=(SampleLayer("tar", 300_000),)) for number in range(6)]
PATIENCE = 60  # seconds; a silent socket alone would take longer


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry with six images."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        simulator.put_image(*IMAGES)
        yield simulator


def start(command_line: CommandLine, *arguments: object) -> subprocess.Popen[str]:
    """Start a command, and do not wait for it."""
    return subprocess.Popen(
        [EDGELIFT, *map(str, arguments)],
        cwd=command_line.folder,
        env=command_line.full_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_requests(sim: RegistrySimulator, path: str, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until so many requests have come in."""
    deadline = time.monotonic() + PATIENCE
    while sim.count("GET", path) < count:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "terminated"])
def test_a_run_on_silent_sockets_ends_and_can_be_resumed(
    number: signal.Signals, api: str, sim: RegistrySimulator, command_line: CommandLine
) -> None:
    """Although every download hangs the run ends; started again, it brings what is missing."""
    run = replace(command_line, environment={"PREFECT_API_URL": api})
    asked = [option for name in references(sim.host, *IMAGES) for option in ("--image", name)]
    arguments = ("build", "--name", "site", *asked, "--output", "out", "--store", "store")
    sim.stall("GET", "/blobs/", after_bytes=100_000, times=None)
    process = start(run, *arguments)
    wait_for_requests(sim, "/blobs/", 4, process)
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE)

    assert process.returncode == 128 + number
    assert said.count("interrupted; run the same command again: it continues") == 1
    assert "Traceback" not in said
    assert files_below(run.folder / "out") == []

    sim.heal()
    assert run.run(*arguments).code == 0
    assert "site.tar.zst" in files_below(run.folder / "out")


def test_a_second_interrupt_ends_sooner(api: str, sim: RegistrySimulator, command_line: CommandLine) -> None:
    """Who presses Ctrl-C twice does not wait for the end of the grace."""
    run = replace(command_line, environment={"PREFECT_API_URL": api})
    sim.stall("GET", "/blobs/", after_bytes=100_000, times=None)
    process = start(run, "build", "--name", "site", "--image", references(sim.host, *IMAGES)[0], "--store", "store")
    wait_for_requests(sim, "/blobs/", 1, process)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert time.monotonic() - begun < GRACE


def test_a_plan_can_be_interrupted(sim: RegistrySimulator, command_line: CommandLine) -> None:
    """The same words and the same exit code without a flow; no lock is written."""
    sim.stall("GET", "/manifests/", after_bytes=None, times=None)
    name = references(sim.host, *IMAGES)[0]
    process = start(command_line, "plan", "--image", name, "--store", "store", "--output", "out/site.lock.json")
    wait_for_requests(sim, "/manifests/", 1, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)

    assert (process.returncode, said.count("interrupted; run the same command again")) == (130, 1)
    assert files_below(command_line.folder / "out") == []


def test_a_server_ends_quietly(command_line: CommandLine) -> None:
    """Ctrl-C is how `serve` is meant to end."""
    process = start(command_line, "serve", "--writable", "content", "--port", "0")
    assert process.stderr is not None
    address = process.stderr.readline().rpartition("listening on ")[2].strip()
    assert httpx.get(f"{address}/v2/", trust_env=False, timeout=PATIENCE).status_code == 200
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)

    assert (process.returncode, said) == (0, "")


def test_a_reader_that_goes_away_is_no_error(command_line: CommandLine) -> None:
    """`edgelift … | head` ends as other programs do: by the signal's exit code, and without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(
        [EDGELIFT, "--version"],
        env=command_line.full_environment,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    _, said = process.communicate(timeout=PATIENCE)

    assert (process.returncode, said) == (128 + signal.SIGPIPE, "")
