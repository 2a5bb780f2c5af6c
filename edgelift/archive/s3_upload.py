"""Files on their way into a bucket: in one request, or in parts that become an object when all of it is right.

Each request goes under its MD5: the one checksum that every S3 server compares. Servers that keep a CRC32 of the whole
object, as AWS and SeaweedFS do, are given one, too; they compare it with what they have before the object is seen.
(SHA-256 checksums and signed payloads are accepted and then ignored by some.)
"""

import base64
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from edgelift.archive.place import Progress, check_digest
from edgelift.errors import ConfigurationError
from edgelift.oci.digest import Digest
from edgelift.s3 import code_of
from edgelift.s3_checksum import Crc32
from edgelift.store.disk import disk_errors

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

MIN_PART, MAX_PART, MAX_PARTS = 5 * 2**20, 5 * 2**30, 10_000  # AWS, "Amazon S3 multipart upload limits"
PARALLEL_PARTS = 4
_log = logging.getLogger(__name__)


class SourceFile(NamedTuple):
    """The file on its way: open at its start, with the size and digest it has to have; `crc` grows as it is read."""

    file: BinaryIO
    size: int
    digest: Digest
    name: str
    crc: Crc32


class BegunUpload(NamedTuple):
    """An upload in parts that has begun; with `is_checked` the server keeps CRC32s."""

    bucket: str
    key: str
    id: str
    is_checked: bool = False


class Uploader:
    """Sends files to `bucket`; an object has its name when all of it is there and is what its digest says."""

    def __init__(self, client: "S3Client", bucket: str, part_size: int) -> None:
        """`part_size` bytes are held in memory `PARALLEL_PARTS` + 1 times. Raises `ConfigurationError`."""
        if not MIN_PART <= part_size <= MAX_PART:
            raise ConfigurationError(f"a part of {part_size:,} bytes: S3 takes {MIN_PART:,} to {MAX_PART:,}")
        self._client = client
        self._bucket = bucket
        self._part_size = part_size

    def takes_parts(self, source: SourceFile) -> bool:
        """Whether it takes more than one request."""
        return source.size > self._part_size

    def send(
        self, source: SourceFile, key: str, labels: Mapping[str, str], told: Progress, is_kept: Callable[[], bool]
    ) -> None:
        """Send `source` to `key` with `labels` as metadata; `is_kept` says whether it is there, in case of doubt.

        Raises what boto3 does, and `IntegrityError` where the file is not what its digest says; nothing stays then.
        """
        if self.takes_parts(source):
            self._send_in_parts(source, key, labels, told, is_kept)
            return
        content = b"".join(_parts(source, self._part_size))
        self._client.put_object(
            Bucket=self._bucket,
            Key=key,
            Body=content,
            ContentMD5=_md5(content),
            ChecksumCRC32=source.crc.text,
            Metadata=labels,
        )
        told(len(content))

    def abort(self, upload: BegunUpload) -> None:
        """Have the server forget the parts of `upload`; raises what boto3 does."""
        self._client.abort_multipart_upload(Bucket=upload.bucket, Key=upload.key, UploadId=upload.id)

    def _send_in_parts(
        self, source: SourceFile, key: str, labels: Mapping[str, str], told: Progress, is_kept: Callable[[], bool]
    ) -> None:
        upload = self._begin(key, labels)
        try:
            self._complete(upload, self._send_parts(source, upload, told), source)
        except ClientError as error:
            # An earlier try of the same request may have completed it, with its answer lost on the way.
            if code_of(error) == "NoSuchUpload" and is_kept():
                return
            self._give_up(upload)
            raise
        except BaseException:
            self._give_up(upload)
            raise

    def _begin(self, key: str, labels: Mapping[str, str]) -> BegunUpload:
        begun = self._client.create_multipart_upload(
            Bucket=self._bucket, Key=key, Metadata=labels, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
        )
        is_checked = (begun.get("ChecksumAlgorithm"), begun.get("ChecksumType")) == ("CRC32", "FULL_OBJECT")
        return BegunUpload(self._bucket, key, begun["UploadId"], is_checked)

    def _complete(self, upload: BegunUpload, parts: "list[CompletedPartTypeDef]", source: SourceFile) -> None:
        complete = partial(
            self._client.complete_multipart_upload,
            Bucket=upload.bucket,
            Key=upload.key,
            UploadId=upload.id,
            MultipartUpload={"Parts": parts},
        )
        if upload.is_checked:
            complete(ChecksumCRC32=source.crc.text, ChecksumType="FULL_OBJECT")
        else:
            complete()

    def _send_parts(self, source: SourceFile, target: BegunUpload, told: Progress) -> "list[CompletedPartTypeDef]":
        sent: list[CompletedPartTypeDef] = []
        on_the_way: deque[Future[CompletedPartTypeDef]] = deque()
        with ThreadPoolExecutor(PARALLEL_PARTS, thread_name_prefix="s3-part") as pool:
            for number, content in enumerate(_parts(source, part_size_for(source.size, self._part_size)), start=1):
                if len(on_the_way) == PARALLEL_PARTS:
                    sent.append(on_the_way.popleft().result())
                on_the_way.append(pool.submit(self._send_part, target, number, content, told))
            sent.extend(part.result() for part in on_the_way)
        return sent

    def _send_part(self, target: BegunUpload, number: int, content: bytes, told: Progress) -> "CompletedPartTypeDef":
        send = partial(
            self._client.upload_part,
            Bucket=target.bucket,
            Key=target.key,
            UploadId=target.id,
            PartNumber=number,
            Body=content,
            ContentMD5=_md5(content),
        )
        if not target.is_checked:
            answer = send()
            told(len(content))
            return {"PartNumber": number, "ETag": answer["ETag"]}
        crc = Crc32()
        crc.update(content)
        answer = send(ChecksumCRC32=crc.text)
        told(len(content))
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC32": crc.text}

    def _give_up(self, upload: BegunUpload) -> None:
        try:
            self.abort(upload)
        except (ClientError, BotoCoreError) as error:  # what went wrong before matters more
            place = f"s3://{upload.bucket}/{upload.key}"
            _log.warning("the parts of %s stay until a later run: %s", place, type(error).__name__)


def part_size_for(size: int, smallest: int) -> int:
    """The bytes a part has in an upload of `size` bytes: `smallest`, where 10 000 of these are enough."""
    part = max(smallest, -(-size // MAX_PARTS))
    if part > MAX_PART:
        raise ConfigurationError(f"{size:,} bytes are more than S3 keeps in one object ({MAX_PARTS * MAX_PART:,})")
    return part


def _parts(source: SourceFile, part_size: int) -> Iterator[bytes]:
    """What the file holds, in parts; raises `IntegrityError` at its end where that is not the bundle."""
    hasher = source.digest.hasher()
    while True:
        with disk_errors(f"read {source.name}"):
            part = source.file.read(part_size)
        if not part:
            check_digest(hasher.hexdigest(), source.digest, source.name)
            return
        hasher.update(part)
        source.crc.update(part)
        yield part


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
