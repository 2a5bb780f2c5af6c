"""The programs that the interoperability tests run: on the PATH, or where `go install` puts them."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest


def find_tool(name: str, how: str) -> str:
    """The path of the program `name`; the test fails where it is not there, and says `how` to install it."""
    places = [os.environ.get("PATH", os.defpath), os.environ.get("GOBIN", ""), str(Path.home() / "go" / "bin")]
    found = shutil.which(name, path=os.pathsep.join(filter(None, places)))
    if found is None:
        pytest.fail(f"{name} is not installed: {how}")
    return found


def run_tool(*command: object, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> str:
    """What a program says; the test fails, with all of it, where the program does."""
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=folder,
        env={**os.environ, **(environment or {})},
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr
