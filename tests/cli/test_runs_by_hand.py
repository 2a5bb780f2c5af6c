"""What a run that a command begins is to Prefect, beside those of deployments."""

import time
from pathlib import Path

import httpx

from edgelift.demo.content import make_image
from tests.cli.commands import CommandLine, references
from tests.simulators.registry import RegistrySimulator

PATIENCE = 60  # seconds; the server writes its events some time after they have come


def test_a_run_begun_by_hand_sends_no_heartbeats(api: str, tmp_path: Path) -> None:
    """Nobody could begin it again, were its host lost; and its end would wait for them to stop, up to a second."""
    image = make_image("team/by-hand")
    with RegistrySimulator(tmp_path / "source") as source:
        source.put_image(image)
        asked = ("--image", *references(source.host, image), "--output", "out", "--store", "store")
        done = CommandLine(tmp_path, {"PREFECT_API_URL": api}).run("build", "--name", "by-hand", *asked)

    assert done.code == 0, done.err
    events = _events_of(api, "build by-hand")
    assert "prefect.flow-run.Completed" in events
    assert "prefect.flow-run.heartbeat" not in events


def _events_of(api: str, run: str) -> list[str]:
    """The names of all events of the flow run with that name, once its end is among them."""
    [found] = httpx.post(f"{api}/flow_runs/filter", json={"flow_runs": {"name": {"any_": [run]}}}).json()
    wanted = {"resource": {"id": [f"prefect.flow-run.{found['id']}"]}}
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        told = httpx.post(f"{api}/events/filter", json={"filter": wanted, "limit": 50}).json()["events"]
        events = [each["event"] for each in told]
        if "prefect.flow-run.Completed" in events:
            return events
        time.sleep(0.2)
    raise AssertionError(f"the end of {run} is not among {events}")
