"""One upload session at a registry (distribution-spec, "Pushing blobs"): where it is, and what can be done with it.

Every request is sent once: what to do after a failure depends on what has become of the session, which is for
`upload` and `chunked` to find out.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx

from edgelift.errors import IntegrityError, RegistryError
from edgelift.oci.channel import Channel
from edgelift.oci.content import ContentError, guard_content
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.wire import Call, Reply

SLOWEST_COMMIT = 8 * 2**20  # bytes/s; how slowly a registry may put what it got in its place before it answers

Content = Callable[[], Iterator[bytes]]

LENGTH = re.compile(r"[0-9]{1,19}")
_RANGE = re.compile(r"(?:bytes[ =])?0-([0-9]{1,19})")  # no unit, says the specification; some write one
_LOST = frozenset({"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"})


class Session:
    """The session that `reply`, to `call`, has opened; it moves with the registry's answers.

    Whoever sends content holds a slot at the registry (`Slots.body`).

    Raises `RegistryError` where none was opened, or where it lies at a place that we do not go to.
    """

    def __init__(self, channel: Channel, call: Call, reply: Reply) -> None:
        if reply.status != httpx.codes.ACCEPTED:
            is_missing = reply.status == httpx.codes.NOT_FOUND
            hint = "some registries want repositories to be created first" if is_missing else None
            raise channel.refusal(call, reply, hint)
        self._channel = channel
        self._doing, self._repository, self._scopes = call.doing, call.repository, call.scopes[:1]
        self._url = session_of(channel, call, reply)
        least = reply.headers.get("oci-chunk-min-length", "")
        self.smallest_chunk = int(least) if LENGTH.fullmatch(least) else 0

    def put(self, blob: Descriptor, content: Content | bytes, length: int) -> None:
        """Send `content`, the last `length` bytes of `blob`, and have it named. Raises `RegistryError`.

        Raises `ContentError` where `content` fails, and calls the upload off where that is final; `IntegrityError`
        where the registry says that it got something else.
        """
        url = with_digest(self._url, blob.digest)
        call = self._call("PUT", url, {"content-length": str(length)}, content, blob.size)
        reply = self._exchange(call)
        if reply.status not in (httpx.codes.CREATED, httpx.codes.NO_CONTENT):
            raise self._channel.refusal(call, reply)
        check_digest(self._channel.host, reply, blob.digest)

    def patch(self, start: int, stop: int, content: Content) -> int:
        """Send bytes `start` to `stop` (exclusive); gives where the registry wants to go on.

        Raises `RegistryError`, and `ContentError` as `put` does. An answer without `Range` is taken at its status:
        the digest at the end tells the truth.
        """
        headers = {"content-length": str(stop - start), "content-range": f"{start}-{stop - 1}"}
        call = self._call("PATCH", self._url, headers, content, stop - start)
        reply = self._exchange(call)
        if reply.status not in (httpx.codes.ACCEPTED, httpx.codes.CREATED, httpx.codes.NO_CONTENT):  # 201: Amazon ECR
            raise self._channel.refusal(call, reply)
        self._move(call, reply)
        offset = _offset(reply, stop)
        return stop if offset is None else offset

    def ask(self, sent: int) -> int | None:
        """How many of the `sent` bytes the registry has; None where the session is lost, or cannot be asked for."""
        call = Call("GET", self._url, self._doing, self._repository, self._scopes)
        reply = self._channel.exchange(call)
        if reply.status not in (httpx.codes.OK, httpx.codes.ACCEPTED, httpx.codes.NO_CONTENT):
            return None
        self._move(call, reply)
        offset = _offset(reply, sent)
        return offset if offset is not None and offset <= sent else None

    def call_off(self) -> None:
        """Tell the registry that nothing more will come: a courtesy, since it clears what is left behind anyway."""
        with suppress(RegistryError):  # some do not let us
            self._channel.exchange(
                Call("DELETE", self._url, "call an upload off", self._repository, self._scopes, attempts=1)
            )

    def _call(self, method: str, url: str, headers: dict[str, str], content: Content | bytes, size: int) -> Call:
        return Call(
            method,
            url,
            self._doing,
            self._repository,
            self._scopes,
            headers={"content-type": "application/octet-stream", **headers},
            content=(lambda: guard_content(content())) if callable(content) else content,
            attempts=1,
            extra_time=size / SLOWEST_COMMIT,
            has_slot=True,
        )

    def _exchange(self, call: Call) -> Reply:
        try:
            return self._channel.exchange(call)
        except ContentError as error:
            if not error.retryable:  # else it may go on
                self.call_off()
            raise

    def _move(self, call: Call, reply: Reply) -> None:
        if reply.headers.get("location"):
            self._url = session_of(self._channel, call, reply)


def session_of(channel: Channel, call: Call, reply: Reply) -> str:
    """The URL where the upload goes on after `reply`; raises `RegistryError` where it names none that may be used."""
    location = reply.headers.get("location", "")
    if not location:
        raise RegistryError(f"{channel.host}: cannot {call.doing}: the answer does not say where to")
    return channel.gate.admit(location, "upload location", base=str(reply.url)).url


def with_digest(session: str, digest: Digest) -> str:
    """The URL that ends the upload at `session`, whose own query stays as it is, to the letter."""
    return f"{session}{'&' if '?' in session else '?'}digest={digest}"


def is_session_lost(error: RegistryError) -> bool:
    """Whether `error` says that there is no such session (any more)."""
    is_gone = error.status == httpx.codes.NOT_FOUND and error.code is None
    return error.code in _LOST or is_gone or error.status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE


def check_digest(host: str, reply: Reply, sent: Digest) -> None:
    """Raise `IntegrityError` where the registry says that it holds something else than was `sent`.

    Nothing follows from another algorithm: some registries answer with sha256 whatever they were sent.
    """
    held = reply.headers.get("docker-content-digest", "")
    if held.startswith(f"{sent.algorithm}:") and held != sent:
        raise IntegrityError(f"{host}: {sent} was sent, and the registry says that it holds other content")


def _offset(reply: Reply, sent: int) -> int | None:
    """The first byte that is still to come, of which `sent` went out; None where the answer does not say.

    The last byte that is there cannot be told as 0 from none at all: registries write `0-0` for both.
    """
    found = _RANGE.fullmatch(reply.headers.get("range", "").strip())
    if found is None:
        return None
    last = int(found[1])
    return 0 if last == 0 and sent != 1 else last + 1
