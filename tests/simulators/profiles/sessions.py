"""How upload sessions go on, and how they are lost, in the registries that differ in it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgelift.serve.directory import DirectoryContent
from edgelift.serve.requests import error_response
from tests.simulators.profiles.layers import Asked, Head, Layer, asked_of, with_query, without_header


def signed_sessions(content: DirectoryContent, *, resumable: bool) -> Layer:
    """Distribution's: a location says where its upload stands, and is refused where the upload stands elsewhere.

    Bytes of a PATCH that was cut count, so that in 2.8 no location fits any more: the upload is lost. `resumable` (3.x)
    lets any location ask for the status, which brings the one that fits.
    """
    return lambda app: _SignedSessions(app, content, resumable=resumable)


@dataclass
class _SignedSessions:
    app: ASGIApp
    content: DirectoryContent
    resumable: bool
    spoiled: set[str] = field(default_factory=set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        asked = asked_of(request)
        if asked("POST", "uploads"):  # a digest in the first request is not read
            return await self.app(with_query(scope, digest=None), receive, self._signing(request, asked, send))
        if asked.kind != "session":
            return await self.app(scope, receive, send)
        session = asked.rest.replace("-", "")
        refusal = self._refuse(asked, session, request.query_params.get("_state", ""))
        if refusal is not None:
            return await refusal(scope, receive, send)
        if asked.method == "PUT" and ":" not in request.query_params.get("digest", ""):
            return await error_response(400, "DIGEST_INVALID", "digest missing")(scope, receive, send)
        inner = with_query(scope, _state=None)
        if not self.resumable:
            inner = without_header(inner, "content-range")  # 2.8 takes what comes, wherever it belongs
        inner["path"] = f"{scope['path'].rpartition('/')[0]}/{session}"
        return await self.app(inner, receive, self._signing(request, asked, send))

    def _refuse(self, asked: Asked, session: str, state: str) -> Response | None:
        offset = self.content.upload_offset(asked.repository, session)
        if not state.isdecimal() or session in self.spoiled:
            return error_response(404, "BLOB_UPLOAD_INVALID", "blob upload invalid")
        if offset is None:
            return error_response(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        if offset == int(state) or (self.resumable and asked.method in ("GET", "DELETE")):
            return None
        if self.resumable:
            return error_response(416, "RANGE_INVALID", "this location is not the latest")
        return error_response(404, "BLOB_UPLOAD_INVALID", "blob upload invalid")

    def _signing(self, request: Request, asked: Asked, send: Send) -> Send:
        """Sign the location with where the upload stands; note the uploads that a wrong digest has ended."""

        async def signing(message: Message) -> None:
            if message["type"] == "http.response.start":
                if asked.method == "PUT" and message["status"] == 400 and not self.resumable:
                    self.spoiled.add(asked.rest.replace("-", ""))
                message = {**message, "headers": list(self._signed(request, message))}
            await send(message)

        return signing

    def _signed(self, request: Request, message: Message) -> list[tuple[bytes, bytes]]:
        headers, asked = dict(message["headers"]), asked_of(request)
        session = headers.get(b"docker-upload-uuid", b"").decode()
        if session:
            offset = self.content.upload_offset(asked.repository, session) or 0
            place = f"/v2/{asked.repository}/blobs/uploads/{UUID(session)}?_state={offset}"
            headers |= {b"docker-upload-uuid": str(UUID(session)).encode(), b"location": place.encode()}
        elif asked("DELETE", "session") and message["status"] == 204:
            headers[b"docker-upload-uuid"] = asked.rest.encode()
        return list(headers.items())


def lost_when_cut(content: DirectoryContent) -> Layer:
    """Zot's: an upload whose body breaks off is deleted."""

    def layer(app: ASGIApp) -> ASGIApp:
        async def watching(scope: Scope, receive: Receive, send: Send) -> None:
            asked = asked_of(Request(scope))
            is_cut = is_complete = False

            async def watch() -> Message:
                nonlocal is_cut, is_complete
                message = await receive()
                is_cut = is_cut or (message["type"] == "http.disconnect" and not is_complete)
                is_complete = is_complete or not message.get("more_body", False)
                return message

            await app(scope, watch, send)
            if is_cut and asked("PATCH PUT", "session"):
                content.cancel_upload(asked.repository, asked.rest)

        return watching

    return layer


def limit_chunks(limit: int, refuse: Callable[[], Response]) -> Callable[[Request], ASGIApp | None]:
    """Refuse a PATCH of more than `limit` bytes, before its body is read."""

    def decide(request: Request) -> ASGIApp | None:
        is_large = int(request.headers.get("content-length", "0")) > limit
        return refuse() if asked_of(request)("PATCH", "session") and is_large else None

    return decide


@dataclass
class FirstChunkOnly:
    """ECR's: PATCH answers 201, and the body of every one after the first is thrown away."""

    app: ASGIApp
    smallest: int  # bytes of a chunk that is not the last
    told: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the first chunk, and no other."""
        request = Request(scope, receive)
        asked = asked_of(request)
        length = int(request.headers.get("content-length", "0"))
        if asked("PATCH", "session") and asked.rest in self.told:
            await request.body()
            headers = {"Location": scope["path"], "Range": self.told[asked.rest]}
            return await Response(status_code=201, headers=headers)(scope, receive, send)
        if asked("PUT", "session") and length and 0 < self.sizes.get(asked.rest, 0) < self.smallest:
            message = "All layer parts except the last part should be at least 5MB"
            return await error_response(400, "BLOB_UPLOAD_INVALID", message)(scope, receive, send)
        if not asked("PATCH", "session"):
            return await self.app(scope, receive, send)

        async def creating(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 202:
                message = {**message, "status": 201}
                self.told[asked.rest] = dict(message["headers"])[b"range"].decode()
                self.sizes[asked.rest] = length
            await send(message)

        return await self.app(scope, receive, creating)


def absolute_locations(request: Request, head: Head) -> None:
    """Write the locations of answers with scheme and host."""
    location = head.headers.get("location", "")
    if location.startswith("/"):
        head.headers["location"] = f"{request.url.scheme}://{request.url.netloc}{location}"
