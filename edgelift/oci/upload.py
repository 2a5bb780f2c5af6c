"""Bringing a blob to a registry (distribution-spec, "Pushing blobs"): mount, else one POST and one PUT.

An upload whose answer is lost may have succeeded, and few registries keep a session that was cut, so the way on is
always the same: look whether the blob is there, else begin anew. Nothing is continued in the middle.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Literal

import httpx

from edgelift.errors import IntegrityError, RegistryError
from edgelift.oci.channel import Channel
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.wire import Call, Reply

Outcome = Literal["exists", "mounted", "uploaded"]

UPLOADS = 5  # of one blob, each from its first byte
SLOWEST_COMMIT = 8 * 2**20  # bytes/s; how slowly a registry may put a finished upload in its place before it answers
_LENGTH = re.compile(r"[0-9]{1,19}")
_SESSION_LOST = frozenset({"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"})


def scope_of(repository: str, actions: str) -> str:
    """The token scope for `actions`, such as `pull,push`, on `repository` (distribution project, "Token Scope")."""
    return f"repository:{repository}:{actions}"


def find_blob(channel: Channel, repository: str, digest: Digest, actions: str) -> int | None:
    """The size in bytes that the registry gives for a blob; None where it has none. Raises `RegistryError`.

    `actions` is what the token is to allow: one that is about to push need not get a second one for looking.
    """
    scopes = (scope_of(repository, actions),)
    call = Call("HEAD", f"/v2/{repository}/blobs/{digest}", f"look for {repository}@{digest}", repository, scopes)
    reply = channel.exchange(call)
    if reply.status == httpx.codes.NOT_FOUND:
        return None
    if reply.status != httpx.codes.OK:
        raise channel.refusal(call, reply)
    length = reply.headers.get("content-length", "")
    if not _LENGTH.fullmatch(length):
        raise RegistryError(f"{channel.host}: cannot {call.doing}: the answer does not say how long it is")
    return int(length)


def check_push(channel: Channel, repository: str) -> None:
    """Prove that `repository` takes uploads, by beginning one and calling it off. Raises `RegistryError`."""
    scopes = (scope_of(repository, "pull,push"),)
    call = Call("POST", f"/v2/{repository}/blobs/uploads/", f"push to {repository}", repository, scopes)
    session = _session(channel, call, channel.exchange(call))
    _call_off(channel, session, repository)


class Upload:
    """One blob on its way into one repository. `read` gives its bytes, and is called anew for each attempt."""

    def __init__(
        self, channel: Channel, repository: str, blob: Descriptor, read: Callable[[], Iterator[bytes]]
    ) -> None:
        self._channel = channel
        self._repository = repository
        self._blob = blob
        self._read = read
        self._doing = f"upload {blob.digest} to {repository}"
        self._scope = scope_of(repository, "pull,push")

    def run(self, mount_from: str | None, *, force: bool) -> Outcome:
        """Bring the blob there in the cheapest way.

        With `force` the registry is not asked whether it has the blob: its word has proved wrong.
        """
        if not force and self._is_there():
            return "exists"
        session = self._mount(mount_from) if mount_from is not None else self._begin()
        if session is None:
            return "mounted"
        for attempt in range(1, UPLOADS):
            try:
                self._send(session)
            except RegistryError as error:
                if not error.retryable and not _is_session_lost(error):
                    raise
                self._channel.back_off(attempt, error)
            else:
                return "uploaded"
            if not force and self._is_there():
                return "uploaded"
            session = self._begin()
        self._send(session)
        return "uploaded"

    def _is_there(self) -> bool:
        return find_blob(self._channel, self._repository, self._blob.digest, "pull,push") == self._blob.size

    def _mount(self, source: str) -> str | None:
        """None where the blob was mounted from `source`, else the session to upload to (§ "Mounting a blob").

        Whatever else a registry or its token server says to that wish, a plain upload is the answer.
        """
        url = f"/v2/{self._repository}/blobs/uploads/?mount={self._blob.digest}&from={source}"
        call = Call("POST", url, self._doing, self._repository, (self._scope, scope_of(source, "pull")))
        try:
            reply = self._channel.exchange(call)
        except RegistryError as error:
            if error.retryable:
                raise
            return self._begin()
        if reply.status == httpx.codes.CREATED:
            return None
        return _session(self._channel, call, reply) if reply.status == httpx.codes.ACCEPTED else self._begin()

    def _begin(self) -> str:
        call = Call("POST", f"/v2/{self._repository}/blobs/uploads/", self._doing, self._repository, (self._scope,))
        return _session(self._channel, call, self._channel.exchange(call))

    def _send(self, session: str) -> None:
        """Put the whole blob, with one attempt: whether to try again depends on what has become of it."""
        call = Call(
            "PUT",
            f"{session}{'&' if '?' in session else '?'}digest={self._blob.digest}",
            self._doing,
            self._repository,
            (self._scope,),
            headers={"content-type": "application/octet-stream", "content-length": str(self._blob.size)},
            content=self._read,
            attempts=1,
            extra_time=self._blob.size / SLOWEST_COMMIT,
        )
        try:
            reply = self._channel.exchange(call)
        except IntegrityError:  # from our own side: what we would send is not the blob
            _call_off(self._channel, session, self._repository)
            raise
        if reply.status not in (httpx.codes.CREATED, httpx.codes.NO_CONTENT):
            raise self._channel.refusal(call, reply)
        check_digest(self._channel.host, reply, self._blob.digest)


def check_digest(host: str, reply: Reply, sent: Digest) -> None:
    """Raise `IntegrityError` where the registry says that it holds something else than was `sent`.

    Nothing follows from another algorithm: some registries answer with sha256 whatever they were sent.
    """
    held = reply.headers.get("docker-content-digest", "")
    if held.startswith(f"{sent.algorithm}:") and held != sent:
        raise IntegrityError(f"{host}: {sent} was sent, and the registry says that it holds other content")


def _session(channel: Channel, call: Call, reply: Reply) -> str:
    """The URL of the upload that `reply` has opened."""
    if reply.status != httpx.codes.ACCEPTED:
        hint = (
            "some registries want repositories to be created first" if reply.status == httpx.codes.NOT_FOUND else None
        )
        raise channel.refusal(call, reply, hint)
    location = reply.headers.get("location", "")
    if not location:
        raise RegistryError(f"{channel.host}: cannot {call.doing}: the answer does not say where to")
    return channel.gate.admit(location, "upload location", base=str(reply.url)).url


def _call_off(channel: Channel, session: str, repository: str) -> None:
    scopes = (scope_of(repository, "pull,push"),)
    with suppress(RegistryError):  # registries clear what is left behind; some do not let us
        channel.exchange(Call("DELETE", session, "call an upload off", repository, scopes, attempts=1))


def _is_session_lost(error: RegistryError) -> bool:
    gone = (httpx.codes.NOT_FOUND, httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE)
    return error.code in _SESSION_LOST or (error.status in gone and error.code is None)
