"""The entry point: which commands there are, and what an error looks like in a terminal."""

import atexit
import signal
import sys
from typing import Annotated, NoReturn

import typer

from edgelift.cli.commands import Commands
from edgelift.cli.console import forgive_log, say, say_error
from edgelift.cli.interruption import INTERRUPTED, TERMINATED, end_in_time, say_interrupted
from edgelift.cli.leaving import leave
from edgelift.errors import EdgeliftError

EPILOG = """
Exit codes: 0 done, every reference right · 1 error, nothing to build on · 2 usage or configuration ·
3 incomplete, run it again to continue · 130/143 interrupted, resumable.
"""

app = typer.Typer(
    cls=Commands,
    name="edgelift",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as installed  # noqa: PLC0415 - 30 ms that other commands need not pay

        say(f"edgelift {installed('edgelift')}")
        raise typer.Exit


@app.callback()
def edgelift(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Carry what an edge Kubernetes cluster needs from its Palette profiles to the site's registry, and prove it."""


def main() -> NoReturn:
    """Run the command line; every error of ours becomes one message and its exit code, without a traceback."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    end_in_time()
    atexit.register(forgive_log)
    try:
        app()
    except EdgeliftError as error:
        say_error(str(error))
        leave(error.exit_code)
    except (KeyboardInterrupt, SystemExit) as end:
        code = INTERRUPTED if isinstance(end, KeyboardInterrupt) else end.code
        if code in (INTERRUPTED, TERMINATED):
            say_interrupted()
        if isinstance(code, str):
            say_error(code)
        leave(code if isinstance(code, int) else 0 if code is None else 1)
    leave(0)
