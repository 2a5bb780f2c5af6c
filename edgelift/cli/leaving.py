"""Leaving: Python takes everything apart before it ends, which takes Prefect's modules most of a second.

Nobody waits for that here: threads are joined, everyone who has asked for it gets a last word, then the process ends.
"""

import atexit
import logging
import os
import sys
from contextlib import suppress
from typing import NoReturn

_codes: list[int] = []


def leave(code: int) -> NoReturn:
    """End this process with the exit code `code`."""
    _codes.append(code)
    sys.exit(code)


# Registered before anything else of ours is imported, and so called after all that is registered later.
@atexit.register
def _end() -> None:
    if _codes:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(_codes[-1])
