"""One line a step, in the run's log and, through the command line, in the terminal."""

import logging
import time
from collections.abc import Callable
from threading import Lock

from prefect.logging import get_run_logger

from edgelift.oci.transfer import Transfer
from edgelift.sizes import format_size

CHANNEL = "edgelift"  # the command line shows what is logged under this name, and nothing of the engine's own
INTERVAL = 5.0  # seconds between two progress lines


def narrate(message: str, *, warn: bool = False) -> None:
    """Log one line about the step that is running."""
    logger = get_run_logger().getChild(CHANNEL)
    logger.log(logging.WARNING if warn else logging.INFO, message)


def narrate_progress(verb: str, total: int) -> Callable[[int], None]:
    """A callback for bytes done; it logs how far `verb` is, at most every few seconds, and never at the very end."""
    logger = get_run_logger().getChild(CHANNEL)
    lock, state = Lock(), {"done": 0, "said": time.monotonic()}

    def progress(count: int) -> None:
        with lock:
            state["done"] += count
            now = time.monotonic()
            if now - state["said"] < INTERVAL or state["done"] >= total:
                return
            state["said"] = now
            done = int(state["done"])
        logger.info("%s: %s of %s (%d %%)", verb, format_size(done), format_size(total), 100 * done // max(total, 1))

    return progress


def describe(transfer: Transfer) -> str:
    """What a copy did: `1.2 MiB moved in 3 blobs, 2 mounted, 1 there already`."""
    parts = [f"{format_size(transfer.moved_bytes)} moved in {transfer.moved} blobs" if transfer.moved else "0 B moved"]
    parts += [f"{transfer.mounted} mounted"] if transfer.mounted else []
    parts += [f"{transfer.present} there already"] if transfer.present else []
    return ", ".join(parts)
