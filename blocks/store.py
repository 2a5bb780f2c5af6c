"""Where several machines keep what they pull."""

from typing import TYPE_CHECKING

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, SecretStr

if TYPE_CHECKING:
    from edgelift.store.s3 import S3Store


class BlobStore(Block):
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

    bucket: str = Field(description="Name of the bucket.")
    prefix: str = Field(default="", description="Prefix of every key, for example store/.")
    endpoint: str | None = Field(default=None, description="Address of an S3 server other than AWS.")
    region: str | None = Field(default=None, description="Region of the bucket.")
    access_key: SecretStr | None = Field(default=None, description="Access key; empty for the worker's own identity.")
    secret_key: SecretStr | None = Field(default=None, description="Secret key that goes with the access key.")

    def get_client(self) -> "S3Store":
        """The store, ready to read and write."""
        from edgelift.store.s3 import S3Store  # noqa: PLC0415 - loads boto3, which a store in a folder does not need

        return S3Store(
            self.bucket,
            prefix=self.prefix,
            endpoint=self.endpoint,
            region=self.region,
            access_key=self.access_key,
            secret_key=self.secret_key,
        )
