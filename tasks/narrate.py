"""One line a step, in the run's log and, through the command line, in the terminal."""

import logging
from collections.abc import Callable

from prefect.logging import get_run_logger

from edgelift.oci.transfer import Transfer
from edgelift.progress import Pace
from edgelift.sizes import count, format_size
from tasks.record import record

CHANNEL = "edgelift"  # the command line shows what is logged under this name, and nothing of the engine's own
_ENGINE = "prefect.task_runs"
_ALL_WELL = "Finished in state Completed()"


def narrate(message: str, *, warn: bool = False, is_reported: bool = True) -> None:
    """Log one line about the step that is running; a warning is in the report of the run, too.

    Not where it `is_reported` otherwise: give False for what the report says by itself.
    """
    if warn and is_reported:
        record().warn(message)
    logger = get_run_logger().getChild(CHANNEL)
    logger.log(logging.WARNING if warn else logging.INFO, message)


def narrate_progress(verb: str, total: int, pace: Pace | None = None) -> Callable[[int], None]:
    """A callback for bytes done; it logs how far `verb` is, every few seconds, and nothing of short work.

    A `pace` that is given counts them for others as well.
    """
    logger, pace = get_run_logger().getChild(CHANNEL), pace or Pace()

    def progress(size: int) -> None:
        if done := pace.add(size):
            share = 100 * done // max(total, 1)
            logger.info("%s: %s of %s (%d %%)", verb, format_size(done), format_size(total), share)

    return progress


def describe(transfer: Transfer) -> str:
    """What a copy did: `1.2 MiB moved in 3 blobs, 2 mounted, 1 there already`."""
    moved = f"{format_size(transfer.moved_bytes)} moved in {count(transfer.moved, 'blob')}"
    taken = f"{format_size(transfer.taken_bytes)} taken from existing bundles in {count(transfer.taken, 'blob')}"
    parts = [moved if transfer.moved else "0 B moved"]
    parts += [taken] if transfer.taken else []
    parts += [f"{transfer.mounted} mounted"] if transfer.mounted else []
    parts += [f"{transfer.present} there already"] if transfer.present else []
    return ", ".join(parts)


def _says_more(line: logging.LogRecord) -> bool:
    """Whether the engine says more of a task than that it went well: its state shows that, and each line is stored.

    That a result was taken over is said, and what went wrong.
    """
    return line.msg != _ALL_WELL


logging.getLogger(_ENGINE).addFilter(_says_more)
