"""Bundles kept in an S3 bucket: AWS, SeaweedFS, MinIO, Ceph and the like.

A bundle is sent in parts, each under its MD5: the one checksum that every S3 server compares. (SHA-256 checksums and
signed payloads are accepted and then ignored by some.) What is sent is hashed on the way, and the parts become an
object only when that is the bundle's digest; the digest stands in the object's metadata.
"""

import base64
import datetime
import hashlib
import logging
import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr

from edgelift.archive.place import ArchivedBundle, Progress, check_digest, check_name, write_verified
from edgelift.bundle.source import ByteSource
from edgelift.errors import ConfigurationError, MalformedReferenceError, StoreError
from edgelift.oci.content import CHUNK
from edgelift.oci.digest import Digest
from edgelift.s3 import code_of, host_of, make_client, s3_errors, status_of
from edgelift.s3_object import open_key
from edgelift.store.disk import disk_errors

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

MIN_PART, MAX_PART, MAX_PARTS = 5 * 2**20, 5 * 2**30, 10_000  # AWS, "Amazon S3 multipart upload limits"
PARALLEL_PARTS = 4
_CONNECTIONS = 32  # kept, at most
_DIGEST = "edgelift-digest"
_READ_ATTEMPTS = 6  # in a row without one new byte
_log = logging.getLogger(__name__)


class _Source(NamedTuple):
    """The file on its way: open at its start, with the size and digest it has to have."""

    file: BinaryIO
    size: int
    digest: Digest
    name: str


class _Upload(NamedTuple):
    """An upload in parts that has begun."""

    bucket: str
    key: str
    id: str


class S3Archive:
    """Keeps bundles in `bucket`, under `prefix`.

    Without `endpoint` that is AWS; without keys, what boto3 finds (environment, profile, the machine's role).
    `metadata` goes onto every object. `part_size` bytes are held in memory `PARALLEL_PARTS` + 1 times; above 10 000
    parts they grow. What an upload of the same name left behind that began `leftovers_after` ago is removed.
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
        if not MIN_PART <= part_size <= MAX_PART:
            raise ConfigurationError(f"a part of {part_size:,} bytes: S3 takes {MIN_PART:,} to {MAX_PART:,}")
        self._bucket = bucket
        self._prefix = f"{check_name(prefix.strip('/'))}/" if prefix.strip("/") else ""
        self._metadata = dict(metadata or {})
        self._part_size = part_size
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

    def store(
        self, path: Path, *, digest: Digest, name: str | None = None, progress: Progress | None = None
    ) -> ArchivedBundle:
        """Send `path` to the bucket; see `Archive.store`."""
        key = self._prefix + check_name(name or path.name)
        with disk_errors(f"read {path}"):
            file = path.open("rb")
        told = progress or _unheard
        with file, s3_errors(f"archive {path.name} as {self._url(key)}", self._place):
            size = os.fstat(file.fileno()).st_size
            if self._holds(key, size, digest):
                _log.info("%s is archived already", self._url(key))
                told(size)
            else:
                self._send(_Source(file, size, digest, str(path)), key, told)
                self._check_kept(key, size, digest)
        return ArchivedBundle(url=self._url(key), size=size, digest=digest)

    def restore(
        self, name: str, destination: Path, *, digest: Digest | None = None, progress: Progress | None = None
    ) -> ArchivedBundle:
        """Fetch `name` from the bucket, continuing where the connection breaks; see `Archive.restore`."""
        key = self._prefix + check_name(name)
        url = self._url(key)
        with s3_errors(f"restore {url}", self._place):
            head = self._client.head_object(Bucket=self._bucket, Key=key)
            expected = digest or _noted_digest(head["Metadata"], url)
            chunks = self._read(key, head["ETag"], head["ContentLength"])
            size = write_verified(destination, chunks, digest=expected, source=url, progress=progress)
        return ArchivedBundle(url=url, size=size, digest=expected)

    def open(self, name: str) -> ByteSource:
        """Open what is kept under `name`, or at the URL that `store` gave, for reading in place: see `BundleReader.of`.

        Raises `StoreError` where it is not there or the server fails.
        """
        key = self._prefix + check_name(name.removeprefix(self._url(self._prefix)))
        return open_key(self._client, self._place, self._bucket, key)

    def _url(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"

    def _holds(self, key: str, size: int, digest: Digest) -> bool:
        """Whether the object is there with that size and digest; false too where we may write but not look."""
        try:
            head = self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if status_of(error) in {403, 404}:
                return False
            raise
        return head["ContentLength"] == size and head["Metadata"].get(_DIGEST) == digest

    def _check_kept(self, key: str, size: int, digest: Digest) -> None:
        if not self._holds(key, size, digest):
            raise StoreError(
                f"{self._place} took {self._url(key)}, but does not show it with {size:,} bytes and its digest",
                hint="allow s3:GetObject on the bucket, and look whether something else writes that name",
                retryable=True,
            )

    def _send(self, source: _Source, key: str, told: Progress) -> None:
        """Send what fits into one part in one request, else in parts that become an object when all of it is right."""
        if source.size > self._part_size:
            self._send_in_parts(source, key, told)
            return
        content = b"".join(_parts(source, self._part_size))
        self._client.put_object(
            Bucket=self._bucket, Key=key, Body=content, ContentMD5=_md5(content), Metadata=self._labels(source)
        )
        told(len(content))

    def _send_in_parts(self, source: _Source, key: str, told: Progress) -> None:
        self._remove_leftovers(key)
        upload = self._client.create_multipart_upload(Bucket=self._bucket, Key=key, Metadata=self._labels(source))
        target = _Upload(self._bucket, key, upload["UploadId"])
        try:
            sent = self._send_parts(source, target, told)
            self._client.complete_multipart_upload(
                Bucket=target.bucket, Key=target.key, UploadId=target.id, MultipartUpload={"Parts": sent}
            )
        except ClientError as error:
            # An earlier try of the same request may have completed it, with its answer lost on the way.
            if code_of(error) == "NoSuchUpload" and self._holds(key, source.size, source.digest):
                return
            self._abort(target)
            raise
        except BaseException:
            self._abort(target)
            raise

    def _send_parts(self, source: _Source, target: _Upload, told: Progress) -> "list[CompletedPartTypeDef]":
        sent: list[CompletedPartTypeDef] = []
        on_the_way: deque[Future[CompletedPartTypeDef]] = deque()
        with ThreadPoolExecutor(PARALLEL_PARTS, thread_name_prefix="s3-part") as pool:
            for number, content in enumerate(_parts(source, part_size_for(source.size, self._part_size)), start=1):
                if len(on_the_way) == PARALLEL_PARTS:
                    sent.append(on_the_way.popleft().result())
                on_the_way.append(pool.submit(self._send_part, target, number, content, told))
            sent.extend(part.result() for part in on_the_way)
        return sent

    def _send_part(self, target: _Upload, number: int, content: bytes, told: Progress) -> "CompletedPartTypeDef":
        answer = self._client.upload_part(
            Bucket=target.bucket,
            Key=target.key,
            UploadId=target.id,
            PartNumber=number,
            Body=content,
            ContentMD5=_md5(content),
        )
        told(len(content))
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def _remove_leftovers(self, key: str) -> None:
        """Abort what killed runs left of this name: invisible, but paid for."""
        began_before = datetime.datetime.now(datetime.UTC) - self._leftovers_after
        try:
            pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=key)
            for upload in (upload for page in pages for upload in page.get("Uploads", [])):
                if upload["Key"] == key and upload["Initiated"] <= began_before:
                    self._abort(_Upload(self._bucket, key, upload["UploadId"]))
        except ClientError as error:  # a courtesy that takes a right of its own
            _log.debug("leftover uploads of %s cannot be listed: %s", self._url(key), code_of(error))

    def _abort(self, target: _Upload) -> None:
        try:
            self._client.abort_multipart_upload(Bucket=target.bucket, Key=target.key, UploadId=target.id)
        except (ClientError, BotoCoreError) as error:  # what went wrong before matters more
            _log.warning("the parts of %s stay until a later run: %s", self._url(target.key), type(error).__name__)

    def _labels(self, source: _Source) -> dict[str, str]:
        return {**self._metadata, _DIGEST: source.digest}

    def _read(self, key: str, etag: str, size: int) -> Iterator[bytes]:
        """The object in chunks; a broken connection is continued as long as it brings new bytes."""
        offset, stalled = 0, 0
        while offset < size:
            answer = self._client.get_object(Bucket=self._bucket, Key=key, IfMatch=etag, Range=f"bytes={offset}-")
            try:
                with closing(answer["Body"]) as body:
                    for chunk in body.iter_chunks(CHUNK):
                        offset, stalled = offset + len(chunk), 0
                        yield chunk
            except BotoCoreError as error:
                stalled += 1
                if stalled == _READ_ATTEMPTS:
                    raise
                _log.warning("%s broke off at %d of %d bytes: %s", self._url(key), offset, size, type(error).__name__)


def part_size_for(size: int, smallest: int) -> int:
    """The bytes a part has in an upload of `size` bytes: `smallest`, where 10 000 of these are enough."""
    part = max(smallest, -(-size // MAX_PARTS))
    if part > MAX_PART:
        raise ConfigurationError(f"{size:,} bytes are more than S3 keeps in one object ({MAX_PARTS * MAX_PART:,})")
    return part


def _parts(source: _Source, part_size: int) -> Iterator[bytes]:
    """What the file holds, in parts; raises `IntegrityError` at its end where that is not the bundle."""
    hasher = source.digest.hasher()
    while True:
        with disk_errors(f"read {source.name}"):
            part = source.file.read(part_size)
        if not part:
            check_digest(hasher.hexdigest(), source.digest, source.name)
            return
        hasher.update(part)
        yield part


def _unheard(_size: int) -> None:
    """Progress that nobody asked for."""


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _noted_digest(metadata: Mapping[str, str], url: str) -> Digest:
    try:
        return Digest(metadata[_DIGEST])
    except (KeyError, MalformedReferenceError):
        raise StoreError(
            f"{url} cannot be checked: it has no digest in its metadata", hint="give the bundle's digest"
        ) from None
