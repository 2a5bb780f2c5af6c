"""What a store in S3 asks of its bucket: small objects at once, large ones by ranges, and in pieces that are joined.

Each request that sends content goes under its MD5, which every S3 server compares.
"""

import base64
import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from edgelift.documents import LIMIT
from edgelift.errors import EdgeliftError, StoreError
from edgelift.s3 import abort_if_there, get_if_there, head_if_there, keeps_conditions, put_if, refusal, s3_errors
from edgelift.s3_object import S3Object

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, CopySourceTypeDef

_RIGHTS = (
    "allow s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on this bucket for "
    "these keys"
)
_PARALLEL_COPIES = 4
_MOST_DELETED = 1000  # in one request
_MD5 = re.compile(r"[0-9a-f]{32}")
_log = logging.getLogger(__name__)


class Standing(NamedTuple):
    """An object as it stands: its size, which one it is, and for how long (seconds, by the server's clock)."""

    size: int
    etag: str
    age: float


class Entry(NamedTuple):
    """An object in a list: its name, its size, when it was written (seconds since 1970), and its age (seconds).

    Both are by the server's clock.
    """

    name: str
    size: int
    modified: float
    age: float


class Upload(NamedTuple):
    """An upload of `name` in parts, `begun` at a moment (seconds since 1970) and neither completed nor aborted."""

    name: str
    id: str
    begun: float


class Piece(NamedTuple):
    """An object that is a part of another: its bytes, and their MD5."""

    name: str
    size: int
    md5: str


class BucketFolder:
    """The objects of `bucket` below `prefix`, by their names there; for any number of threads.

    Errors of boto3 are raised as `StoreError`; `server` is what they call the other side.
    """

    def __init__(self, client: "S3Client", server: str, bucket: str, prefix: str) -> None:
        self.server = server
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    def url(self, name: str = "") -> str:
        """What messages call `name`."""
        return f"s3://{self._bucket}/{self._prefix}{name}"

    def keeps_conditions(self, name: str) -> bool:
        """Whether the server heeds the condition of a write; `name` is there afterwards."""
        with self._errors(f"open the store {self.url()}"):
            return keeps_conditions(self._client, self._bucket, self._prefix + name)

    def find(self, name: str) -> Standing | None:
        """The object as it stands; None where there is none."""
        with self._errors(f"look at {self.url(name)}"):
            answer = head_if_there(self._client, **self._at(name))
        return _standing(answer) if answer is not None else None

    def read(self, name: str) -> tuple[bytes, Standing] | None:
        """A small object; None where there is none."""
        with self._errors(f"read {self.url(name)}"):
            answer = get_if_there(self._client, **self._at(name))
            if answer is None:
                return None
            with closing(answer["Body"]) as body:
                if answer["ContentLength"] > LIMIT:
                    raise StoreError(f"{self.url(name)} is larger than {LIMIT >> 20} MiB: edgelift has not written it")
                return body.read(), _standing(answer)

    def open(self, name: str, standing: Standing) -> S3Object:
        """An object, to be read by ranges, as long as it stands so."""
        key = self._prefix + name
        return S3Object(self._client, self.server, self._bucket, key, size=standing.size, etag=standing.etag)

    def write(self, name: str, content: bytes) -> None:
        """Put `content` there, whatever stood there before."""
        with self._errors(f"write {self.url(name)}"):
            self._client.put_object(**self._at(name), Body=content, ContentMD5=_md5_header(content))

    def write_new(self, name: str, content: bytes) -> str | None:
        """Put `content` where nothing stands; its ETag, or None where something does."""
        return self._write_if(name, content, IfNoneMatch="*")

    def replace(self, name: str, content: bytes, etag: str) -> str | None:
        """Put `content` in the place of the object with this `etag`; its own, or None where another stands there."""
        return self._write_if(name, content, IfMatch=etag)

    def remove(self, names: Sequence[str]) -> None:
        """Take objects away; those that are not there are gone already."""
        for start in range(0, len(names), _MOST_DELETED):
            some = names[start : start + _MOST_DELETED]
            attempt = f"delete {self.url(some[0])}"
            with self._errors(attempt):
                answer = self._client.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": [{"Key": self._prefix + name} for name in some], "Quiet": True},
                )
            errors = answer.get("Errors", [])  # the answer as a whole is a good one all the same
            if errors:
                code, message = errors[0].get("Code", ""), errors[0].get("Message", "")
                raise refusal(attempt, self.server, code, HTTPStatus.OK, message, rights=_RIGHTS)

    def move(self, name: str, to: str, etag: str) -> None:
        """Give the object with this `etag` another name; one that was replaced meanwhile stays where it is.

        What the server does not copy (AWS: above 5 GiB) only goes.
        """
        try:
            with self._errors(f"copy {self.url(name)}"):
                source: CopySourceTypeDef = {"Bucket": self._bucket, "Key": self._prefix + name}
                self._client.copy_object(**self._at(to), CopySource=source, CopySourceIfMatch=etag)
        except EdgeliftError as error:
            _log.warning("%s; it is not kept", error.message)
        found = self.find(name)
        if found is not None and found.etag == etag:
            self.remove([name])

    def entries(self, beginning: str = "") -> Iterator[Entry]:
        """The objects whose names begin so, in order."""
        with self._errors(f"list {self.url(beginning)}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + beginning
            )
            for page in pages:
                for found in page.get("Contents", []):
                    written = found["LastModified"]
                    age = (_now(page, written) - written).total_seconds()
                    yield Entry(found["Key"].removeprefix(self._prefix), found["Size"], written.timestamp(), age)

    def uploads(self, beginning: str) -> list[Upload]:
        """The uploads in parts under names that begin so; none where we may not list them, which is told."""
        try:
            with self._errors(f"list the uploads to {self.url(beginning)}"):
                pages = self._client.get_paginator("list_multipart_uploads").paginate(
                    Bucket=self._bucket, Prefix=self._prefix + beginning
                )
                found = [upload for page in pages for upload in page.get("Uploads", [])]
        except StoreError as error:
            _log.warning("%s; allow s3:ListBucketMultipartUploads to have what is left of them found", error.message)
            return []
        return [
            Upload(each["Key"].removeprefix(self._prefix), each["UploadId"], each["Initiated"].timestamp())
            for each in found
        ]

    def abort(self, name: str, upload: str) -> None:
        """End an upload in parts, and let go of its parts; one that has ended meanwhile is no error."""
        with self._errors(f"abort the upload of {self.url(name)}"):
            abort_if_there(self._client, **self._at(name), UploadId=upload)

    def join(self, pieces: Sequence[Piece], name: str, told: Callable[[], None]) -> None:
        """Have the server make `name` of `pieces`; it is seen when all of it is there. `told` is called after each."""
        with self._errors(f"join the pieces of {self.url(name)}"):
            upload = self._client.create_multipart_upload(**self._at(name))["UploadId"]
        try:
            with self._errors(f"join the pieces of {self.url(name)}"):
                parts = self._copy(pieces, name, upload, told)
                self._client.complete_multipart_upload(
                    **self._at(name), UploadId=upload, MultipartUpload={"Parts": parts}
                )
        except BaseException:
            self._give_up(name, upload)
            raise

    def _copy(
        self, pieces: Sequence[Piece], name: str, upload: str, told: Callable[[], None]
    ) -> "list[CompletedPartTypeDef]":
        parts: list[CompletedPartTypeDef] = []

        def copy(number: int, piece: Piece) -> str:
            answer = self._client.upload_part_copy(
                **self._at(name),
                UploadId=upload,
                PartNumber=number,
                CopySource={"Bucket": self._bucket, "Key": self._prefix + piece.name},
            )
            return answer["CopyPartResult"]["ETag"]

        with ThreadPoolExecutor(_PARALLEL_COPIES, thread_name_prefix="s3-join") as pool:
            etags = pool.map(copy, count(1), pieces)
            for number, (piece, etag) in enumerate(zip(pieces, etags, strict=True), start=1):
                self._compare(piece, etag)
                parts.append({"PartNumber": number, "ETag": etag})
                told()
        return parts

    def _compare(self, piece: Piece, etag: str) -> None:
        """See that what was copied is the piece, where the server tells: an ETag need not be an MD5."""
        copied = etag.strip('"')
        if _MD5.fullmatch(copied) and copied != piece.md5:
            raise StoreError(f"{self.server} has copied {self.url(piece.name)} wrongly", retryable=True)

    def _give_up(self, name: str, upload: str) -> None:
        try:
            self.abort(name, upload)
        except EdgeliftError as error:  # what went wrong before matters more
            _log.warning("%s; `edgelift store gc` takes it away", error.message)

    def _write_if(self, name: str, content: bytes, **condition: str) -> str | None:
        with self._errors(f"write {self.url(name)}"):
            answer = put_if(self._client, **self._at(name), Body=content, ContentMD5=_md5_header(content), **condition)
        return answer["ETag"] if answer is not None else None

    def _at(self, name: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._prefix + name}

    def _errors(self, attempt: str) -> AbstractContextManager[None]:
        return s3_errors(attempt, self.server, _RIGHTS)


def md5_of(content: bytes) -> str:
    """What S3 compares content by."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _md5_header(content: bytes) -> str:
    return base64.b64encode(bytes.fromhex(md5_of(content))).decode()


def _standing(answer: Any) -> Standing:
    """What an answer to HeadObject or GetObject says; the age is 0 where the server does not tell its time."""
    written = answer["LastModified"]
    return Standing(answer["ContentLength"], answer["ETag"], (_now(answer, written) - written).total_seconds())


def _now(answer: Any, otherwise: datetime) -> datetime:
    """The server's time when it gave an answer."""
    told = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(told) if told else otherwise
