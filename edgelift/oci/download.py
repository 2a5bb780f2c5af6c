"""Reading a blob from a registry, from its start or from the middle (distribution-spec, "Pulling blobs")."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import httpx

from edgelift.errors import IntegrityError, UnreachableError
from edgelift.oci.channel import Channel
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.upload import scope_of
from edgelift.oci.wire import Call

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)")


@dataclass(frozen=True)
class BlobBody:
    """Bytes of a blob from `offset` to its end, not checked against the digest; `chunks` can be read once."""

    offset: int
    chunks: Iterator[bytes]


def read_blob(channel: Channel, repository: str, blob: Descriptor, offset: int) -> BlobBody:
    """The bytes of `blob` from `offset`, or from 0 where the registry does not do, or botches, ranges.

    Each call asks the registry itself: what it redirects to is signed for minutes. Raises `RegistryError`, and
    `IntegrityError` where the registry announces another size.
    """
    if 0 < offset == blob.size:
        return BlobBody(offset, iter(()))  # an empty range cannot be asked for (RFC 9110 §14.1.2)
    url, doing = f"/v2/{repository}/blobs/{blob.digest}", f"read {repository}@{blob.digest}"
    call = Call("GET", url, doing, repository, (scope_of(repository, "pull"),))
    response = _open_rest(channel, call, offset, blob.size) if 0 < offset < blob.size else channel.open(call)
    if response.status_code == httpx.codes.PARTIAL_CONTENT and "range" in response.request.headers:
        return BlobBody(offset, _chunks(channel, call, response, blob.size - offset))
    if response.status_code != httpx.codes.OK:
        raise channel.refusal(call, channel.read(call, response))
    announced = response.headers.get("content-length", str(blob.size))
    if announced != str(blob.size):
        response.close()
        raise IntegrityError(f"{channel.host}: {repository}@{blob.digest} has {announced} bytes there, not {blob.size}")
    return BlobBody(0, _chunks(channel, call, response, blob.size))


def _open_rest(channel: Channel, call: Call, offset: int, size: int) -> httpx.Response:
    """The answer to `call` from `offset` on, or to all of it where a range is refused or answered wrongly."""
    response = channel.open(replace(call, headers={"range": f"bytes={offset}-"}))
    is_partial = response.status_code == httpx.codes.PARTIAL_CONTENT
    if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE or (
        is_partial and not _is_rest(response, offset, size)
    ):
        response.close()  # unread: Distribution 2.8 announces more for a 416 than it sends
        return channel.open(call)
    return response


def _is_rest(response: httpx.Response, offset: int, size: int) -> bool:
    """Whether a partial answer is exactly what is missing (RFC 9110 §14.4); anything else must not be appended."""
    found = _CONTENT_RANGE.fullmatch(", ".join(response.headers.get_list("content-range")))
    if found is None or response.headers.get("content-length", str(size - offset)) != str(size - offset):
        return False
    return (int(found[1]), int(found[2])) == (offset, size - 1) and found[3] in (str(size), "*")


def _chunks(channel: Channel, call: Call, response: httpx.Response, expected: int) -> Iterator[bytes]:
    received = 0
    for chunk in channel.stream(call, response):
        received += len(chunk)
        if received > expected:
            response.close()
            raise IntegrityError(f"{channel.host}: cannot {call.doing}: it is longer than it should be")
        yield chunk
    if received < expected:
        raise UnreachableError(f"{channel.host}: cannot {call.doing}: cut after {received:,} of {expected:,} bytes")
