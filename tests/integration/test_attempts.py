"""What an attempt at a run shares among its tasks, and that it ends with it."""

import gc
import json
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from prefect import flow

from edgelift.oci.push import KnownBlobs
from edgelift.site import RegistryAccess, TargetSettings
from tasks.connect import connect, known_blobs, let_go
from tests.integration.prefect_server import PrefectServer
from tests.integration.sites import Site, sync

TARGET = TargetSettings(registry="mirror.example:5000")


def test_outside_of_a_run_nothing_is_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question reads the logins anew: whoever asked before, and with which login, changes nothing."""
    found = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"auths": {"mirror.example": {"auth": "YTpi"}}}))
        monkeypatch.setenv("DOCKER_CONFIG", str(folder))
        found.append(connect(RegistryAccess()).source_of("mirror.example", "team/app"))

    assert found == [str(tmp_path / name / "config.json") for name in ("one", "other")]


def test_a_run_opens_everything_once(prefect: PrefectServer) -> None:
    """Its tasks share it; another run has its own, and after `let_go` so has the same one."""

    @flow
    def ask() -> list[KnownBlobs]:
        known = [known_blobs(TARGET), known_blobs(TARGET)]
        let_go()
        return [*known, known_blobs(TARGET)]

    first, second = (prefect.run(ask, {}).outcome for _ in range(2))

    assert [len({id(each) for each in asked}) for asked in (first, second)] == [2, 2]
    assert first[0] is first[1]
    assert not {id(each) for each in first} & {id(each) for each in second}


def test_a_run_leaves_nothing_open(prefect: PrefectServer, site: Site) -> None:
    """Neither connections nor bundles, nor a hold on the store: a process may carry out one run after another."""
    assert sync(prefect, site).state == "COMPLETED"  # what is loaded and opened once for all stays
    before = open_files()
    for _ in range(2):
        assert sync(prefect, site).state == "COMPLETED"

    deadline = time.monotonic() + 30  # the registries' ends of the connections are in this process, too
    while (found := open_files()).total() > before.total() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found <= before
    with site.store.alone(0):
        pass


def open_files() -> Counter[str]:
    """How many files of this process are open: sockets, pipes, and others by name."""
    gc.collect()
    found = Counter[str]()
    for number in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # what reads this folder is in it
            found[str(number.readlink()).partition(":[")[0]] += 1
    return found
