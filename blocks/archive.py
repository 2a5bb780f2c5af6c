"""Where finished bundles are kept."""

from datetime import timedelta
from typing import TYPE_CHECKING

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field

from blocks.bucket import Bucket

if TYPE_CHECKING:
    from edgelift.archive.retention import Retention
    from edgelift.archive.s3 import S3Archive


class BundleArchive(Bucket, Block):
    """A bucket, at AWS or at any other S3 server, that keeps finished bundles.

    Example:
        Load a configured block:
        ```python
        from blocks.archive import BundleArchive

        archive = BundleArchive.load("BLOCK_NAME")
        ```
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # a wrong block is told of without what is in it

    _block_type_name = "Bundle Archive"
    _block_type_slug = "bundle-archive"
    _description = "A bucket that keeps finished content bundles."
    _documentation_url = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html"

    metadata: dict[str, str] = Field(default={}, description="Metadata put on every object.")

    keep: int | None = Field(
        default=None,
        ge=1,
        description="Keep so many bundles of each name, each under a name of its own; older ones are deleted.",
    )
    keep_days: int | None = Field(
        default=None,
        ge=1,
        description="Keep bundles for so many days; with keep, too, only those go that neither of them keeps.",
    )

    def retention(self) -> "Retention | None":
        """Which bundles may go after a new one was archived; None where each replaces the one before."""
        from edgelift.archive.retention import Retention  # noqa: PLC0415 - as below

        if self.keep is None and self.keep_days is None:
            return None
        return Retention(self.keep, timedelta(days=self.keep_days) if self.keep_days is not None else None)

    def get_client(self) -> "S3Archive":
        """The archive, ready to store and restore."""
        from edgelift.archive.s3 import S3Archive  # noqa: PLC0415 - loads boto3, which few runs need

        return S3Archive(**self.place(), metadata=self.metadata)
