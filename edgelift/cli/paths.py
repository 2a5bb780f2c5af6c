"""Paths that options name."""

from pathlib import Path


def text_of(path: Path | None) -> str | None:
    """The absolute path as a flow takes it."""
    return str(path.absolute()) if path is not None else None
