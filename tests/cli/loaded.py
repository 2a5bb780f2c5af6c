"""The command line in a process that has it loaded: each command is a child of its own, without the start of Python.

code = run_loaded(Command(["inspect", "site.tar.zst"], folder, environment, out, err), patience=120)

What a command does, it does as in the installed program, but for loading what all of them need: `test_start.py` looks
at that, and so does every command that is run within another one.
"""

import atexit
import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from importlib.abc import MetaPathFinder
from pathlib import Path

_PROJECT = Path(__file__).parents[2]
# First what has the last word when a process ends, then what single commands load later.
_PROGRAM = """\
from edgelift.cli import main
from importlib import import_module
from edgelift.cli.commands import COMMANDS
for place in COMMANDS.values():
    import_module("edgelift.cli." + place.partition(".")[0])
import edgelift.bundle.signature, edgelift.s3_object
import edgelift.serve.access, edgelift.serve.pinned, edgelift.serve.server
from tests.cli.loaded import load_flows, serve
load_flows()
serve()
main()
"""
_FLOWS = ("audit_site", "build_bundle", "push_bundle", "rebuild_bundle", "sync_fleet", "sync_site")
_PREFECT = "prefect.main"  # what reads the settings, when it is imported
_OWN = 3  # the first descriptor that a program does not find open
_MANY = 256  # more than are ever open here


@dataclass(frozen=True)
class Command:
    """What to run, where, and into which files it writes."""

    arguments: Sequence[str]
    folder: str
    environment: Mapping[str, str]
    out: str
    err: str


def run_loaded(command: Command, patience: float) -> int:
    """The exit code of `command`, or minus the signal that ended it."""
    process = _loaded()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(asdict(command)).encode() + b"\n")
    number = int(process.stdout.readline())
    answer = select.poll()  # not `select`, which knows no files above the 1,024th
    answer.register(process.stdout, select.POLLIN)
    if not answer.poll(patience * 1000):
        os.kill(number, 9)
    return os.waitstatus_to_exitcode(int(process.stdout.readline()))


@cache
def _loaded() -> "subprocess.Popen[bytes]":
    """Started with the first command; ends with the tests."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        cwd=_PROJECT,
        # What Python and the libraries see while they are loaded.
        env={"PATH": "/usr/bin:/bin", "PREFECT_HOME": os.environ["PREFECT_HOME"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,  # nothing that was said may be out of sight of `poll`
    )
    atexit.register(process.communicate)
    return process


def _become(command: Command) -> None:
    """Make this child what the shell makes of a program that it starts."""
    files = [(os.devnull, os.O_RDONLY), (command.out, os.O_WRONLY), (command.err, os.O_WRONLY)]
    for number, (path, flags) in enumerate(files):
        os.dup2(os.open(path, flags), number)
    os.closerange(_OWN, _MANY)
    os.chdir(command.folder)
    os.environ.clear()
    os.environ.update(command.environment)
    sys.argv[:] = ["edgelift", *command.arguments]


def load_flows() -> None:
    """Load Prefect and our flows, two seconds for each command that runs one; every child has settings of its own."""
    for name in _FLOWS:
        import_module(f"flows.{name}")
    del sys.modules[_PREFECT]
    sys.meta_path.insert(0, _OwnSettings())


class _OwnSettings(MetaPathFinder):
    """Reads Prefect's settings anew when a child comes to import it, from the environment that the child has then."""

    def find_spec(self, name: str, _path: object, _target: object = None) -> None:
        """Finds nothing: the next finder does."""
        if name == _PREFECT:
            import_module("prefect.context").refresh_global_settings_context()


def serve() -> None:
    """For each line a child: its number at once, its wait status when it has ended. Returns in the children only."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(Command(**json.loads(line)))
            return
        print(child, flush=True)  # noqa: T201 - the protocol
        print(os.waitpid(child, 0)[1], flush=True)  # noqa: T201
    os._exit(0)
