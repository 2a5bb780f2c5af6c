"""The command line: parse, call a flow or the library, print. Only the commands that run a flow load Prefect."""

from edgelift.cli.app import main

__all__ = ["main"]
