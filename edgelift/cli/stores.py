"""The working store that an option names."""

from pathlib import Path

from edgelift.access import default_place
from edgelift.cli.prefect_api import running_api
from edgelift.errors import ConfigurationError
from edgelift.store.opening import is_block, is_elsewhere, open_place, open_standing
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
            f"{place[:200]} is a block of Prefect's, which only runs and `edgelift store` load",
            hint="name the store as s3://bucket/prefix, with its keys in AWS_* variables or a profile",
        )
    return open_place(place)


def open_standing_named(store: str | None) -> WorkingStore:
    """The store that is named, also by a block, or that of the environment; raises `ConfigurationError` without one."""
    place = store or default_place()
    if not is_block(place):
        return open_standing(place)
    with running_api(quiet=True):
        from blocks.store import load_store  # noqa: PLC0415 - loads Prefect

        return load_store(place, is_made=False)


def runs_of(store: str | None) -> KeptLocks:
    """The locks of the runs that use the store; a folder that is not there has none, and is not made."""
    place = store or default_place()
    return open_named(store).runs if is_elsewhere(place) else RunLocks(Path(place))
