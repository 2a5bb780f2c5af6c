"""The command line: parse, call a flow or the library, print. Only the commands that run a flow load Prefect."""

import edgelift.cli.starting  # first, as all that is imported later gains by it

# isort: split
import edgelift.cli.leaving  # noqa: F401 - then this, since what is registered for the exit later is called before it

# isort: split
from edgelift.cli.app import main

__all__ = ["main"]
