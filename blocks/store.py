"""Where several machines keep what they pull."""

from typing import TYPE_CHECKING

from prefect.blocks.core import Block
from pydantic import ConfigDict

from blocks.bucket import Bucket
from blocks.load import load_block
from edgelift.store.opening import BLOCK, is_block, open_place, open_standing
from edgelift.store.working import WorkingStore

if TYPE_CHECKING:
    from edgelift.store.s3 import S3Store


class BlobStore(Bucket, Block):
    """A bucket, at AWS or at any other S3 server, that is the working store of several machines.

    Example:
        Load a configured block:
        ```python
        from blocks.store import BlobStore

        store = BlobStore.load("BLOCK_NAME")
        ```
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # a wrong block is told of without what is in it

    _block_type_name = "Blob Store"
    _block_type_slug = "blob-store"
    _description = "A bucket that is the working store of several machines."
    _documentation_url = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html"

    def get_client(self, *, is_made: bool = True) -> "S3Store":
        """The store, ready to read and write; made where there is none, if it `is_made`."""
        from edgelift.store.s3 import S3Store  # noqa: PLC0415 - loads boto3, which a store in a folder does not need

        return S3Store(**self.place(), is_made=is_made)


def load_store(place: str, *, is_made: bool = True) -> WorkingStore:
    """The store in a folder, at s3://bucket/prefix or of block:NAME; made where there is none, if it `is_made`.

    Raises `ConfigurationError` where there is none otherwise, and `StoreError`.
    """
    if is_block(place):
        return load_block(BlobStore, place.removeprefix(BLOCK)).get_client(is_made=is_made)
    return open_place(place) if is_made else open_standing(place)
