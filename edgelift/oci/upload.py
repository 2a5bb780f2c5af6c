"""Bringing a blob to a registry (distribution-spec, "Pushing blobs"): mount, else one POST and one PUT.

An upload whose answer is lost may have succeeded, and few registries keep a session that was cut, so the way on is
the same after every failure: look whether the blob is there, else begin anew. Where a request of that size does not
get through, `chunked` sends smaller ones.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import httpx

from edgelift.errors import RegistryError
from edgelift.oci.channel import Channel
from edgelift.oci.chunked import SMALLEST_CHUNK, BlobSource, ChunkedUpload, ReadRange, RequestLimit
from edgelift.oci.content import ContentError, unwrap_content_errors
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.pacing import Clock
from edgelift.oci.session import LENGTH, Content, Session, is_session_lost
from edgelift.oci.wire import Call, Reply

Outcome = Literal["exists", "mounted", "uploaded"]
CreateRepository = Callable[[str], None]

_log = logging.getLogger(__name__)
UPLOADS = 5  # of one blob, each from its first byte
_CUT = frozenset({None, 408, 502, 504})  # answers, or none at all, to a request that a proxy has cut
_SHORT = 10.0  # seconds; two cuts as early as that have nothing in common yet


@dataclass
class UploadTerms:
    """How one registry takes uploads, as far as that is known; shared by every thread of a run.

    `create` makes a repository that is missing, where that is wanted; it raises `EdgeliftError`. `has_mounted` is set
    once the registry has mounted a blob.
    """

    limit: RequestLimit
    clock: Clock
    create: CreateRepository | None = None
    has_mounted: bool = False


@dataclass
class _Cut:
    """How far an upload came that was cut in the middle."""

    began: float
    sent: int = 0
    seconds: float = 0.0

    def is_like(self, other: "_Cut") -> bool:
        """Whether both came about as far, in bytes or in time: then a limit has cut them, and no accident."""
        is_late = min(self.seconds, other.seconds) >= _SHORT
        return _is_near(self.sent, other.sent) or (is_late and _is_near(self.seconds, other.seconds))


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
    if not LENGTH.fullmatch(length):
        raise RegistryError(f"{channel.host}: cannot {call.doing}: the answer does not say how long it is")
    return int(length)


def check_push(channel: Channel, repository: str, *, may_be_missing: bool = False) -> None:
    """Prove that `repository` takes uploads, by beginning one and calling it off. Raises `RegistryError`.

    `may_be_missing` is for repositories that are made when they are pushed to.
    """
    scopes = (scope_of(repository, "pull,push"),)
    call = Call("POST", f"/v2/{repository}/blobs/uploads/", f"push to {repository}", repository, scopes)
    reply = channel.exchange(call)
    if not (may_be_missing and _misses_repository(reply)):
        Session(channel, call, reply).call_off()


class Upload:
    """One blob on its way into one repository. `read` gives its bytes, and is called anew for each attempt.

    `read_range` gives a part of them, where the source can do that.
    """

    def __init__(
        self,
        channel: Channel,
        repository: str,
        blob: Descriptor,
        read: Content,
        terms: UploadTerms,
        *,
        read_range: ReadRange | None = None,
    ) -> None:
        self._channel = channel
        self._repository = repository
        self._blob = blob
        self._read = read
        self._terms = terms
        self._doing = f"upload {blob.digest} to {repository}"
        self._scope = scope_of(repository, "pull,push")
        self._source = BlobSource(blob, read, read_range)
        self._last_cut: _Cut | None = None
        self._chunk: int | None = None  # bytes; set where cuts suggest that only chunks get through
        self._is_whole_only = False
        self._is_hopeless = False  # neither whole nor in chunks
        self._is_believed = True  # the registry, where it says that it has the blob

    @unwrap_content_errors()
    def run(self, mount_from: str | None, *, force: bool) -> Outcome:
        """Bring the blob there in the cheapest way; raises `RegistryError`, and errors of `read` as they are.

        With `force` the registry is not asked whether it has the blob: its word has proved wrong.
        """
        self._is_believed = not force
        begun = self._mount_or_look(mount_from)
        if not isinstance(begun, Session):
            return begun
        session = begun
        attempt = 1
        while True:
            way = self._way()
            try:
                # One slot for all of it, chunks too: content that is read from another registry holds a slot there
                # from chunk to chunk, and two uploads must not wait for each other's.
                with self._channel.slots.body(self._blob.size):
                    self._send(session)
            except (RegistryError, ContentError) as error:
                is_answer = isinstance(error, RegistryError)
                has_other_way = is_answer and self._way() != way and not self._is_hopeless
                if not has_other_way and (attempt == UPLOADS or not _may_pass(error)):
                    raise
                self._channel.back_off(attempt, error)
                attempt = 1 if has_other_way else attempt + 1
            else:
                return "uploaded"
            if self._is_there():
                return "uploaded"
            session = self._begin()

    def _mount_or_look(self, mount_from: str | None) -> Session | Outcome:
        """The session to upload to; else how the blob came to be there.

        A registry that mounts is asked for a mount from the repository itself, where no other is known to have the
        blob: one request tells whether it is there, and begins the upload where it is not.
        """
        if mount_from is None and self._terms.has_mounted and self._is_believed:
            session = self._mount(self._repository)
            return "exists" if session is None else session
        session = None
        if mount_from is not None:  # one request, whether the repository has the blob already or not
            session = self._mount(mount_from)
            if session is None:
                self._terms.has_mounted = True
                return "mounted"
        if self._is_there():
            if session is not None:
                session.call_off()
            return "exists"
        return session or self._begin()

    def _is_there(self) -> bool:
        """Whether the registry says so. Where it breaks down over the question, it is not asked again: blobs are sent.

        Distribution does for good over a blob that it was writing when it was killed, until that is uploaded anew.
        """
        if not self._is_believed:
            return False
        try:
            return find_blob(self._channel, self._repository, self._blob.digest, "pull,push") == self._blob.size
        except RegistryError as error:
            if error.status != httpx.codes.INTERNAL_SERVER_ERROR:
                raise
            _log.warning("%s; sending it, as the registry may have it damaged", error.message)
            self._is_believed = False
            return False

    def _mount(self, source: str) -> Session | None:
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
        return Session(self._channel, call, reply) if reply.status == httpx.codes.ACCEPTED else self._begin()

    def _begin(self) -> Session:
        call = Call("POST", f"/v2/{self._repository}/blobs/uploads/", self._doing, self._repository, (self._scope,))
        reply = self._channel.exchange(call)
        if self._terms.create is not None and _misses_repository(reply):
            self._terms.create(self._repository)
            reply = self._channel.exchange(call)
        return Session(self._channel, call, reply)

    def _way(self) -> tuple[int | None, int | None, bool]:
        """What decides how the blob is sent."""
        return self._terms.limit.largest, self._chunk, self._is_whole_only

    def _send(self, session: Session) -> None:
        size = self._blob.size
        is_cut = self._chunk is not None and not self._is_whole_only
        if size > SMALLEST_CHUNK and (is_cut or not self._terms.limit.allows(size)):
            self._send_in_chunks(session)
        else:
            self._send_whole(session)

    def _send_in_chunks(self, session: Session) -> None:
        limit, suggested = self._terms.limit, self._chunk
        is_needed = not limit.allows(self._blob.size)  # and not only suggested by cuts
        largest = suggested or limit.chunk
        upload = ChunkedUpload(self._channel, session, self._source, limit, largest=largest, is_there=self._is_there)
        try:
            refusal = upload.send()
        finally:
            self._source.close()
            if upload.largest < largest:
                self._chunk = upload.largest
        if refusal is not None:
            self._is_whole_only, self._is_hopeless = not is_needed, is_needed
            raise refusal
        if suggested is not None and not is_needed:
            limit.lower(upload.largest)

    def _send_whole(self, session: Session) -> None:
        """Put the whole blob, with one attempt: whether to try again depends on what has become of it."""
        cut = _Cut(self._terms.clock.now())
        try:
            session.put(self._blob, lambda: self._watch(cut), self._blob.size)
        except RegistryError as error:
            cut.seconds = self._terms.clock.now() - cut.began
            if error.status == httpx.codes.REQUEST_ENTITY_TOO_LARGE and self._terms.limit.refuse(self._blob.size):
                session.call_off()
            elif error.status in _CUT and error.retryable and cut.sent < self._blob.size:
                self._compare(cut)
            raise

    def _watch(self, cut: _Cut) -> Iterator[bytes]:
        cut.sent = 0
        for piece in self._read():
            cut.sent += len(piece)
            yield piece

    def _compare(self, cut: _Cut) -> None:
        """Send the blob in chunks where it was cut at about the same place before."""
        if cut.sent <= SMALLEST_CHUNK:
            return
        if self._last_cut is not None and not self._is_whole_only and self._last_cut.is_like(cut):
            self._chunk = self._terms.limit.chunk_below(cut.sent // 2)  # buffers on the way have taken a part of it
        self._last_cut = cut


def _is_near(first: float, second: float) -> bool:
    return abs(first - second) <= max(first, second) / 10


def _may_pass(error: RegistryError | ContentError) -> bool:
    return error.retryable or (isinstance(error, RegistryError) and is_session_lost(error))


def _misses_repository(reply: Reply) -> bool:
    return reply.status == httpx.codes.NOT_FOUND and reply.problem.code == "NAME_UNKNOWN"
