"""The working store that an option names."""

from pathlib import Path

from edgelift.access import default_place
from edgelift.errors import ConfigurationError
from edgelift.store.opening import is_block, is_elsewhere, open_place
from edgelift.store.runs import RunLocks
from edgelift.store.working import KeptLocks, WorkingStore


def place_of(store: str | None) -> str | None:
    """The store as a flow takes it."""
    return store if store is None or is_elsewhere(store) else str(Path(store).absolute())


def open_named(store: str | None) -> WorkingStore:
    """The store that is named, or that of the environment; raises `ConfigurationError` for a block."""
    place = store or default_place()
    if is_block(place):
        raise ConfigurationError(
            f"{place[:200]} is a block of Prefect's, which only build and sync load",
            hint="name the store as s3://bucket/prefix, with its keys in AWS_* variables or a profile",
        )
    return open_place(place)


def folder_of(store: str | None) -> Path:
    """The folder of the store; raises `ConfigurationError` for one that is in none."""
    place = store or default_place()
    if is_elsewhere(place):
        raise ConfigurationError(
            f"{place[:200]} is a store in S3, and this command is for one in a folder",
            hint="name a folder; what a store in S3 need not hold any more is for the rules of its bucket",
        )
    return Path(place)


def runs_of(store: str | None) -> KeptLocks:
    """The locks of the runs that use the store; a folder that is not there has none, and is not made."""
    return open_named(store).runs if is_elsewhere(store or default_place()) else RunLocks(folder_of(store))
