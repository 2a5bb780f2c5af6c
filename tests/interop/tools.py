"""The tools that only these tests need. What is missing fails a test: who runs them wants to know what other tools say."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def require_tool(name: str, install: str) -> str:
    """The path of the program `name`, on the PATH or where Go installs; the test fails where it is not there."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path.home() / "go" / "bin")])
    found = shutil.which(name, path=places)
    if found is None:
        pytest.fail(f"{name} is not installed: {install}")
    return found


def run(*arguments: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """What a program prints; the test fails, and shows it, where it ends with an error."""
    done = subprocess.run(
        list(map(str, arguments)), cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr
