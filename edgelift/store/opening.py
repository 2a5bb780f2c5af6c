"""Which working store people name: a folder, s3://bucket/prefix, or the block that has the keys of one."""

from pathlib import Path

from edgelift.bundle.source import is_object
from edgelift.errors import ConfigurationError
from edgelift.store.holdings import Holdings
from edgelift.store.local import LocalStore
from edgelift.store.local_holdings import LocalHoldings
from edgelift.store.working import WorkingStore

BLOCK = "block:"  # and the name of a Blob Store block; a folder that is called so is ./block:NAME


def is_block(place: str) -> bool:
    """Whether `place` names a block, which is loaded with Prefect."""
    return place.startswith(BLOCK)


def is_elsewhere(place: str) -> bool:
    """Whether `place` is none on this machine: s3://bucket/prefix, or block:NAME."""
    return is_object(place) or is_block(place)


def open_place(place: str) -> WorkingStore:
    """The store at s3://bucket/prefix, with the server and the keys that boto3 finds, or in the folder at a path.

    Raises `ConfigurationError` and `StoreError`.
    """
    if is_object(place):
        from edgelift.store.s3 import S3Store  # noqa: PLC0415 - loads boto3, which no folder needs

        return S3Store.at(place)
    return LocalStore(Path(place))


def open_standing(place: str) -> WorkingStore:
    """As `open_place`; raises `ConfigurationError` where there is no store: none is made by looking after it."""
    if is_object(place):
        from edgelift.store.s3 import S3Store  # noqa: PLC0415 - as above

        return S3Store.at(place, is_made=False)
    if not (Path(place) / "blobs").is_dir():
        raise ConfigurationError(f"there is no store in {place}", hint="name the one that runs use")
    return LocalStore(Path(place))


def holdings_of(store: WorkingStore) -> Holdings:
    """What `store` holds, for those who look after it."""
    if isinstance(store, LocalStore):
        return LocalHoldings(store)
    from edgelift.store.s3 import S3Store  # noqa: PLC0415 - as above
    from edgelift.store.s3_holdings import S3Holdings  # noqa: PLC0415 - as above

    if not isinstance(store, S3Store):
        raise TypeError(f"{type(store).__name__} is no store that can be looked after")
    return S3Holdings(store)
