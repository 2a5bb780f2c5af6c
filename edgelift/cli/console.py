"""What the terminal shows: results on standard output, everything else on standard error."""

import json
import logging
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, TextIO

# What is shown comes from bundles, profiles and servers of strangers, and may not steer the terminal. JSON stays JSON.
_CONTROLS = {code: f"\\u{code:04x}" for code in (*range(9), *range(11, 32), *range(127, 160))}
CHANNEL = "edgelift"  # the name under which the tasks of a flow log what is meant for people


def say(line: str) -> None:
    """A result, on standard output; the command ends where nobody reads it any more."""
    try:
        sys.stdout.write(f"{line.translate(_CONTROLS)}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        _silence(sys.stdout)
        say_error(f"cannot write the result: {error.strerror}")
        sys.exit(1)


def say_json(document: Any) -> None:
    """A result for scripts, on standard output."""
    say(json.dumps(document, indent=2, ensure_ascii=False))


def tell(line: str) -> None:
    """What goes on, on standard error; where that cannot be written, the work is done all the same."""
    with suppress(OSError):
        sys.stderr.write(f"{line.translate(_CONTROLS)}\n")
        sys.stderr.flush()


def forgive_log() -> None:
    """Have a log that could not be written forgotten: Python would end with an exit code of its own."""
    try:
        sys.stderr.flush()
    except OSError:
        _silence(sys.stderr)


def say_error(message: str) -> None:
    """Why the command fails, on standard error."""
    tell(f"error: {message}")


def say_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A plain table; the last column is not padded, so that it can be cut or wrapped by the terminal."""
    cells = [list(map(str, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    for row in (list(headings), *cells):
        say("  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)), row[-1]]).rstrip())


def set_verbosity(*, verbose: bool, quiet: bool, informative: bool = False) -> None:
    """Show the library's own log on standard error: warnings, with `verbose` everything, with `quiet` errors.

    `informative` shows what goes on, too, for commands that run until they are stopped.
    """
    usual = logging.INFO if informative else logging.WARNING
    level = logging.DEBUG if verbose else logging.ERROR if quiet else usual
    logger = logging.getLogger(CHANNEL)
    logger.setLevel(level)
    if not logger.handlers:
        logger.addHandler(_terminal("%(levelname)s %(name)s: %(message)s" if verbose else "%(message)s"))


def _silence(stream: TextIO) -> None:
    """Send what is still to come, and what Python writes when it ends, nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def show_run_log(*, quiet: bool) -> None:
    """Show what the tasks of a flow say on standard error, and nothing of the engine's own log."""
    handler = _terminal("%(message)s")
    handler.setFormatter(_Warning("%(message)s"))
    handler.addFilter(lambda record: record.name.endswith(f".{CHANNEL}"))
    handler.setLevel(logging.ERROR if quiet else logging.INFO)
    logging.getLogger("prefect").addHandler(handler)


class _Plain(logging.Formatter):
    """Leaves nothing in a line that could steer the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).translate(_CONTROLS)


class _Warning(_Plain):
    """Says of a warning that it is one."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"warning: {text}" if record.levelno == logging.WARNING else text


def _terminal(form: str) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain(form))
    return handler
