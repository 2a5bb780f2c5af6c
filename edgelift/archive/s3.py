"""Bundles kept in an S3 bucket: AWS, SeaweedFS, MinIO, Ceph and the like.

What is sent is hashed on the way, and becomes an object only when that is the bundle's digest; the digest stands in the
object's metadata. `s3_upload` has how it is sent, `landing` how it comes back.
"""

import datetime
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr

from edgelift.archive.landing import write_continued
from edgelift.archive.place import ArchivedBundle, KeptFile, Leftover, Progress, check_name, is_ours
from edgelift.archive.s3_upload import BegunUpload, SourceFile, Uploader
from edgelift.bundle.source import ByteSource
from edgelift.errors import ConfigurationError, IntegrityError, MalformedReferenceError, StoreError
from edgelift.oci.digest import Digest
from edgelift.s3 import host_of, make_client, s3_errors, status_of
from edgelift.s3_checksum import Crc32, ServerChecksum, crc32_of
from edgelift.s3_object import S3Object, open_key
from edgelift.store.disk import disk_errors

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef, MultipartUploadTypeDef

_CONNECTIONS = 32  # kept, at most
_DIGEST = "edgelift-digest"
_LIST = "allow s3:ListBucket on this bucket for these keys"
_LIST_UPLOADS = "allow s3:ListBucketMultipartUploads on this bucket for these keys"
_READ = "allow s3:GetObject on this bucket for these keys"
_DELETE = "allow s3:DeleteObject for these keys; where the object is locked, it stays until its lock ends"
_ABORT = "allow s3:AbortMultipartUpload on this bucket for these keys"
_NOT_IMPLEMENTED = 501
_log = logging.getLogger(__name__)


class S3Archive:
    """Keeps bundles in `bucket`, under `prefix`.

    Without `endpoint` that is what boto3 finds, or AWS; without keys, too (environment, profile, the machine's role).
    `metadata` goes onto every object. `part_size` is that of `Uploader`; above 10 000 parts they grow. What an upload
    of the same name left behind that began `leftovers_after` ago is removed.
    Raises `ConfigurationError` for settings that cannot be used; nothing is asked of the server yet.
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        endpoint: str | None = None,
        region: str | None = None,
        access_key: SecretStr | None = None,
        secret_key: SecretStr | None = None,
        ca_cert: Path | None = None,
        insecure: bool = False,
        metadata: Mapping[str, str] | None = None,
        part_size: int = 16 * 2**20,
        leftovers_after: datetime.timedelta = datetime.timedelta(days=1),
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{check_name(prefix.strip('/'))}/" if prefix.strip("/") else ""
        self._metadata = dict(metadata or {})
        self._leftovers_after = leftovers_after
        self._place = host_of(endpoint)
        self._client = make_client(
            endpoint=endpoint,
            region=region,
            access_key=access_key,
            secret_key=secret_key,
            ca_cert=ca_cert,
            insecure=insecure,
            connections=_CONNECTIONS,
        )
        self._uploader = Uploader(self._client, bucket, part_size)

    @classmethod
    def at(cls, url: str) -> Self:
        """The archive at s3://bucket/prefix, with the server and the keys that boto3 finds: see `open_object`."""
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket or not url.isprintable():
            raise ConfigurationError(f"{url[:200]!r} does not name a bucket", hint="write it as s3://bucket/prefix")
        archive = cls(bucket, prefix=prefix)
        archive._place = host_of(archive._client.meta.endpoint_url)
        return archive

    def store(
        self, path: Path, *, digest: Digest, name: str | None = None, progress: Progress | None = None
    ) -> ArchivedBundle:
        """Send `path` to the bucket; see `Archive.store`."""
        key = self._prefix + check_name(name or path.name)
        with disk_errors(f"read {path}"):
            file = path.open("rb")
        told = progress or _unheard
        with file, s3_errors(f"archive {path.name} as {self._url(key)}", self._place):
            source = SourceFile(file, os.fstat(file.fileno()).st_size, digest, str(path), Crc32())
            if _is(source, self._head(key)):
                _log.info("%s is archived already", self._url(key))
                told(source.size)
            else:
                self._send(source, key, told)
        return ArchivedBundle(url=self._url(key), size=source.size, digest=digest)

    def restore(
        self,
        name: str,
        destination: Path,
        *,
        digest: Digest | None = None,
        progress: Progress | None = None,
        confirm: Callable[[Path], None] | None = None,
    ) -> ArchivedBundle:
        """Fetch `name` from the bucket, continuing where the connection, or an earlier run, broke off.

        As `Archive.restore`; what the server has as the object's checksum is compared, too. `confirm` is called with
        the file before it has its name, and raises where it is not right; with it, no digest has to be known.
        """
        key = self._prefix + check_name(name)
        url = self._url(key)
        with s3_errors(f"restore {url}", self._place, _READ):
            head = self._client.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
        source = S3Object(self._client, self._place, self._bucket, key, size=head["ContentLength"], etag=head["ETag"])
        expected = digest or _noted_digest(head["Metadata"])
        if expected is None and confirm is None:
            raise StoreError(
                f"{url} cannot be checked: it has no digest in its metadata", hint="give the bundle's digest"
            )
        found = write_continued(
            destination, source, digest=expected, checksum=ServerChecksum.of(head), confirm=confirm, progress=progress
        )
        return ArchivedBundle(url=url, size=source.size, digest=found)

    def open(self, name: str) -> ByteSource:
        """Open what is kept under `name`, or at the URL that `store` gave, for reading in place: see `BundleReader.of`.

        Raises `StoreError` where it is not there or the server fails.
        """
        key = self._prefix + check_name(name.removeprefix(self._url(self._prefix)))
        return open_key(self._client, self._place, self._bucket, key)

    def url(self, name: str) -> str:
        """See `BrowsableArchive.url`."""
        return self._url(self._prefix + name)

    def noted_digest(self, name: str) -> Digest | None:
        """See `RestorableArchive.noted_digest`."""
        key = self._prefix + check_name(name)
        with s3_errors(f"read {self._url(key)}", self._place, _READ):
            head = self._head(key)
        return _noted_digest(head["Metadata"]) if head is not None else None

    def files(self) -> Iterator[KeptFile]:
        """See `BrowsableArchive.files`; a request for every thousand."""
        with s3_errors(f"list {self.url('')}", self._place, _LIST):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
            for found in (found for page in pages for found in page.get("Contents", [])):
                name = found["Key"].removeprefix(self._prefix)
                if name and not name.endswith("/"):  # these are folders, as some tools make them
                    yield KeptFile(name, found["Size"], found["LastModified"], found["ETag"])

    def leftovers(self) -> Iterator[Leftover]:
        """See `BrowsableArchive.leftovers`: uploads in parts that were begun and not ended."""
        with s3_errors(f"list the uploads to {self.url('')}", self._place, _LIST_UPLOADS):
            for name, found in self._uploads(self._prefix):
                if is_ours(name):
                    yield Leftover(name.removeprefix(self._prefix), found["Initiated"], found["UploadId"])

    def remove(self, file: KeptFile) -> bool:
        """See `BrowsableArchive.remove`."""
        key = self._prefix + check_name(file.name)
        with s3_errors(f"delete {self._url(key)}", self._place, _DELETE):
            self._client.head_object(Bucket=self._bucket, Key=key, IfMatch=file.version)  # some delete without a look
            try:
                answer = self._client.delete_object(Bucket=self._bucket, Key=key, IfMatch=file.version)
            except ClientError as error:
                if status_of(error) != _NOT_IMPLEMENTED:
                    raise
                answer = self._client.delete_object(Bucket=self._bucket, Key=key)
        return answer.get("DeleteMarker", False)

    def abort(self, leftover: Leftover) -> None:
        """See `BrowsableArchive.abort`."""
        with s3_errors(f"abort an upload of {self.url(leftover.name)}", self._place, _ABORT):
            self._uploader.abort(BegunUpload(self._bucket, self._prefix + leftover.name, leftover.id))

    def _url(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"

    def _uploads(self, prefix: str) -> "Iterator[tuple[str, MultipartUploadTypeDef]]":
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=prefix)
        return ((upload["Key"], upload) for page in pages for upload in page.get("Uploads", []))

    def _head(self, key: str) -> "HeadObjectOutputTypeDef | None":
        """What the server says of the object; None where there is none, or where we may write but not look."""
        try:
            return self._client.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
        except ClientError as error:
            if status_of(error) in {403, 404}:
                return None
            raise

    def _send(self, source: SourceFile, key: str, told: Progress) -> None:
        """Send it, and see that it is kept: shown with its size and digest, and with its checksum if it has one."""
        if self._uploader.takes_parts(source):
            self._remove_leftovers(key)
        labels = {**self._metadata, _DIGEST: source.digest}
        self._uploader.send(source, key, labels, told, lambda: _is(source, self._head(key)))
        head = self._head(key)
        if head is None or not _is(source, head):
            raise StoreError(
                f"{self._place} took {self._url(key)}, but does not show it with {source.size:,} bytes and its digest",
                hint="allow s3:GetObject on the bucket, and look whether something else writes that name",
                retryable=True,
            )
        if crc32_of(head) not in (None, source.crc.text):
            raise IntegrityError(
                f"{self._place} has {self._url(key)} with the CRC32 {crc32_of(head)}, where {source.crc.text} was sent",
                hint="archive it again; if it stays so, something between here and the server changes content",
            )

    def _remove_leftovers(self, key: str) -> None:
        """Abort what killed runs left of this name: invisible, but paid for."""
        began_before = datetime.datetime.now(datetime.UTC) - self._leftovers_after
        try:
            for name, upload in self._uploads(key):
                if name == key and upload["Initiated"] <= began_before:
                    self._uploader.abort(BegunUpload(self._bucket, key, upload["UploadId"]))
        except (ClientError, BotoCoreError) as error:  # a courtesy that takes rights of its own
            _log.debug("leftover uploads of %s cannot be removed: %s", self._url(key), type(error).__name__)


def _is(source: SourceFile, head: "HeadObjectOutputTypeDef | None") -> bool:
    """Whether what the server has is `source`."""
    return head is not None and head["ContentLength"] == source.size and head["Metadata"].get(_DIGEST) == source.digest


def _unheard(_size: int) -> None:
    """Progress that nobody asked for."""


def _noted_digest(metadata: Mapping[str, str]) -> Digest | None:
    try:
        return Digest(metadata[_DIGEST])
    except (KeyError, MalformedReferenceError):
        return None
