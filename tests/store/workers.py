"""Processes that work in a store and wait for each other, so that their work really meets."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HEAD = """
import sys, time
from pathlib import Path
from edgelift.errors import StoreError
from edgelift.store.local import LocalStore
from tests.store.content import describe, make_bytes
store = LocalStore(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
"""


@contextmanager
def worker(script: str, root: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has opened the store in `root` and waits for `begin` to run `script`; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HEAD + script, str(root), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def begin(*processes: subprocess.Popen[str]) -> None:
    """Let workers go."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
