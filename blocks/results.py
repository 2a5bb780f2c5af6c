"""Where Prefect keeps the results of tasks, for every worker to find: a retry skips what has one."""

import asyncio
from typing import TYPE_CHECKING, Any

from prefect.filesystems import WritableFileSystem
from pydantic import ConfigDict, PrivateAttr

from blocks.bucket import Bucket

if TYPE_CHECKING:
    from edgelift.s3_documents import S3Documents


class ResultStorage(Bucket, WritableFileSystem):
    """A bucket, at AWS or at any other S3 server, that keeps the results of tasks.

    Its name goes into `PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK` of each worker: `result-storage/BLOCK_NAME`.

    Example:
        Load a configured block:
        ```python
        from blocks.results import ResultStorage

        results = ResultStorage.load("BLOCK_NAME")
        ```
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # a wrong block is told of without what is in it

    _block_type_name = "Result Storage"
    _block_type_slug = "result-storage"
    _description = "A bucket that keeps what tasks have given, so that a retry on any worker skips what is done."
    _documentation_url = "https://docs.prefect.io/v3/advanced/results"

    _documents: Any = PrivateAttr(default=None)

    def get_client(self) -> "S3Documents":
        """The bucket, ready to read from and write to; made once, since that takes longer than a request."""
        from edgelift.s3_documents import S3Documents  # noqa: PLC0415 - loads boto3, which few runs need

        if self._documents is None:
            self._documents = S3Documents(**self.place())
        client: S3Documents = self._documents
        return client

    # Prefect calls either form of both, and tells the first by `_sync` that it wants no coroutine.

    def read_path(self, path: str, *, _sync: bool = True) -> bytes:  # type: ignore[override]  # as Prefect's own do
        """The result that was written at `path`; raises `ValueError` where there is none, else `StoreError`."""
        content = self.get_client().read(path)
        if content is None:
            raise ValueError(f"there is no result at {path}")
        return content

    def write_path(self, path: str, content: bytes, *, _sync: bool = True) -> None:  # type: ignore[override]  # as above
        """Keep `content` at `path`; raises `StoreError`."""
        self.get_client().write(path, content)

    async def aread_path(self, path: str) -> bytes:
        """As `read_path`."""
        return await asyncio.to_thread(self.read_path, path)

    async def awrite_path(self, path: str, content: bytes) -> None:
        """As `write_path`."""
        await asyncio.to_thread(self.write_path, path, content)
