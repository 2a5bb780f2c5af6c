"""One object in S3, read by ranges: the one that was opened, or none.

A passage is one request whose answer is taken as it is needed: it reads ahead as far as the connection's buffers, never
beyond its end, and holds no more in memory than what is asked for at once.
"""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Self

from edgelift.bundle.parts import whole_name
from edgelift.bundle.parts_afar import open_parts_afar
from edgelift.bundle.seek_table import ReadAt
from edgelift.bundle.source import ByteSource
from edgelift.errors import ConfigurationError, StoreError
from edgelift.oci.content import CHUNK
from edgelift.s3 import get_if_there, host_of, make_client, s3_errors

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3.client import S3Client

_CONNECTIONS = 32
_TAIL = 64 * 2**10  # bytes; most bundles have their seek table in it
_PIECE = 128 * 2**10  # bytes that are waited for at once
_NEAR = 64 * 2**10  # bytes that are sooner received and dropped than left out by another request
_RIGHTS = "allow s3:GetObject on this bucket for these keys"
_ATTEMPTS = 6  # in a row without one new piece
_log = logging.getLogger(__name__)


def open_object(url: str) -> ByteSource:
    """What is at s3://bucket/key, with the server and the keys that boto3 finds: AWS_* variables, profile, role.

    The index or a part of a bundle in parts stands for all of it.

    Raises `ConfigurationError` where these cannot be used, or the URL is none, and `StoreError` where the server fails.
    """
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not bucket or not key or not url.isprintable():
        raise ConfigurationError(f"{url[:200]!r} does not name an object", hint="write it as s3://bucket/key")
    client = make_client(
        endpoint=None,
        region=None,
        access_key=None,
        secret_key=None,
        ca_cert=None,
        insecure=False,
        connections=_CONNECTIONS,
    )
    return open_key(client, host_of(client.meta.endpoint_url), bucket, key)


def open_key(client: "S3Client", server: str, bucket: str, key: str) -> ByteSource:
    """As `open_object`, with a client of one's own; `server` is what messages call the other side."""
    whole = whole_name(key)
    if whole is None:
        return S3Object.find(client, server, bucket, key)

    def open_file(name: str, *, is_read_next: bool) -> S3Object:
        return S3Object.find(client, server, bucket, name, tail=_TAIL if is_read_next else 1)

    beside = S3Object(client, server, bucket, whole, size=0, etag="").read_beside  # there need not be such an object
    return open_parts_afar(whole, f"s3://{bucket}/{whole}", open_file, beside)


class S3Object:
    """The object `key` of `bucket` as it is now, for any number of threads. Implements `bundle.source.ByteSource`."""

    is_remote = True

    def __init__(self, client: "S3Client", server: str, bucket: str, key: str, *, size: int, etag: str) -> None:
        """The object of `size` bytes that has this `etag`; `server` is what messages call the other side."""
        self.name = f"s3://{bucket}/{key}"
        self.size = size
        self.etag = etag
        self._client = client
        self._server = server
        self._bucket = bucket
        self._key = key
        self._tail = b""

    @classmethod
    def find(cls, client: "S3Client", server: str, bucket: str, key: str, *, tail: int = _TAIL) -> Self:
        """Read the object's last `tail` bytes, and with them which one it is.

        Raises `StoreError` where it is not there, may not be read, or is empty.
        """
        with s3_errors(f"read s3://{bucket}/{key}", server, _RIGHTS):
            answer = client.get_object(Bucket=bucket, Key=key, Range=f"bytes=-{tail}")
        _, _, whole = answer.get("ContentRange", "").rpartition("/")
        size = int(whole) if whole.isdecimal() else answer["ContentLength"]
        found = cls(client, server, bucket, key, size=size, etag=answer["ETag"])
        with closing(answer["Body"]) as body:
            if answer["ContentLength"] > tail:
                raise found._not_what_was_asked_for()
            with suppress(StoreError), found.errors():  # what breaks off is asked for again when it is needed
                found._tail = body.read()
        return found

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset` on; raises `StoreError` where the server fails or has another object."""
        if offset + length > self.size:
            raise StoreError(f"{self.name} has {self.size:,} bytes: there are no {length:,} from byte {offset} on")
        in_tail = offset - (self.size - len(self._tail))
        if in_tail >= 0:
            return self._tail[in_tail : in_tail + length]
        with self.passage(offset, offset + length) as read_at:
            return read_at(offset, length)

    def chunks(self, start: int) -> Iterator[bytes]:
        """All bytes from `start` on, in order; raises what `read_at` does."""
        with self.passage(start, self.size) as read_at:
            for offset in range(start, self.size, CHUNK):
                yield read_at(offset, min(CHUNK, self.size - offset))

    @contextmanager
    def passage(self, start: int, stop: int) -> Iterator[ReadAt]:
        """As `read_at`, for one thread that goes forward from `start` to `stop`, in one request if nothing breaks."""
        passage = _Passage(self, start, min(stop, self.size))
        try:
            yield passage.read_at
        finally:
            passage.close()

    def request(self, start: int, stop: int) -> "StreamingBody":
        """The answer with the bytes from `start` to `stop`, to be read and closed; raises `StoreError`."""
        with self.errors():
            answer = self._client.get_object(
                Bucket=self._bucket, Key=self._key, IfMatch=self.etag, Range=f"bytes={start}-{stop - 1}"
            )
        if answer["ETag"] == self.etag and answer["ContentLength"] == stop - start:
            return answer["Body"]
        answer["Body"].close()
        raise self._not_what_was_asked_for()

    def state(self) -> None:
        """Nobody can tell whether what comes over a network is what came before."""

    def read_beside(self, suffix: str, limit: int) -> bytes | None:
        """The beginning of the object of this one's name and `suffix`; None where there is none.

        Raises `StoreError` where the server fails.
        """
        with self.errors():
            place = {"Bucket": self._bucket, "Key": f"{self._key}{suffix}"}
            answer = get_if_there(self._client, **place, Range=f"bytes=0-{limit - 1}")
            if answer is None:
                return None
            with closing(answer["Body"]) as body:
                return body.read(limit)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Errors of boto3 are raised as ours."""
        with s3_errors(f"read {self.name}", self._server, _RIGHTS):
            yield

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _not_what_was_asked_for(self) -> StoreError:
        return StoreError(
            f"cannot read {self.name}: {self._server} gave something else than the bytes that were asked for",
            hint="if the object was replaced meanwhile, run it again; else the server does not serve ranges",
        )


class _Passage:
    """One way forward through `whole`, from `start` to `stop`."""

    def __init__(self, whole: S3Object, start: int, stop: int) -> None:
        self._whole = whole
        self._start = start
        self._position = start
        self._stop = stop
        self._body: StreamingBody | None = None
        self._last, self._last_offset = b"", 0

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset` on, which may be some of those that were read last."""
        if self._last_offset <= offset and offset + length <= self._last_offset + len(self._last):
            within = offset - self._last_offset
            return self._last[within : within + length]
        found = self._read_at(offset, length)
        self._last, self._last_offset = found if length <= _PIECE else b"", offset
        return found

    def _read_at(self, offset: int, length: int) -> bytes:
        if not self._start <= offset <= offset + length <= self._stop:
            return self._whole.read_at(offset, length)
        if self._body is not None and 0 <= offset - self._position <= _NEAR:
            self._take(offset - self._position)
        else:
            self.close()
            self._position = offset
        return self._take(length)

    def close(self) -> None:
        """Drop the answer that is being read, if there is one."""
        body, self._body = self._body, None
        if body is not None:
            body.close()

    def _take(self, length: int) -> bytes:
        """The next `length` bytes."""
        parts = []
        while length:
            parts.append(self._piece(min(length, _PIECE)))
            length -= len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _piece(self, length: int) -> bytes:
        """Some of the next `length` bytes; where the connection breaks, another goes on from there."""
        broken = 0
        while True:
            body = self._body = self._body or self._whole.request(self._position, self._stop)
            try:
                piece = self._receive(body, length)
            except StoreError as error:
                self.close()
                broken += 1
                if broken == _ATTEMPTS or not error.retryable:
                    raise
                _log.warning("%s broke off at byte %d: asking for the rest", self._whole.name, self._position)
            else:
                self._position += len(piece)
                return piece

    def _receive(self, body: "StreamingBody", length: int) -> bytes:
        with self._whole.errors():
            piece = body.read(length)
        if not piece:
            raise StoreError(f"{self._whole.name} ended early, at byte {self._position}", retryable=True)
        return piece
