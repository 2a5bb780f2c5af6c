"""What profiles are composed of: layers around a registry that answer in its place, or change what is asked or told."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Layer = Callable[[ASGIApp], ASGIApp]
_PATHS = {
    "version": re.compile(r"/v2/"),
    "catalog": re.compile(r"/v2/_catalog"),
    "tags": re.compile(r"/v2/(?P<repository>.+)/tags/list"),
    "manifest": re.compile(r"/v2/(?P<repository>.+)/manifests/(?P<rest>[^/]+)"),
    "referrers": re.compile(r"/v2/(?P<repository>.+)/referrers/(?P<rest>[^/]+)"),
    "uploads": re.compile(r"/v2/(?P<repository>.+)/blobs/uploads/"),
    "session": re.compile(r"/v2/(?P<repository>.+)/blobs/uploads/(?P<rest>[^/]+)"),
    "blob": re.compile(r"/v2/(?P<repository>.+)/blobs/(?P<rest>[^/]+)"),
}


@dataclass(frozen=True)
class Asked:
    """What a request is about: one of the kinds above ("" for none), and the tag, digest or session in its path."""

    kind: str
    method: str
    repository: str = ""
    rest: str = ""

    def __call__(self, methods: str, kind: str) -> bool:
        """Whether it is one of `methods` (in words) on a `kind`."""
        return self.kind == kind and self.method in methods.split()


def asked_of(request: Request) -> Asked:
    """What `request` is about."""
    for kind, pattern in _PATHS.items():
        if found := pattern.fullmatch(request.url.path):
            return Asked(kind, request.method, **found.groupdict())
    return Asked("", request.method)


@dataclass
class Head:
    """Status and headers of an answer, to be changed before they are sent."""

    status: int
    headers: MutableHeaders


def pile(app: ASGIApp, *layers: Layer) -> ASGIApp:
    """`app` within `layers`; the last one meets requests first."""
    for layer in layers:
        app = layer(app)
    return app


def answer_first(decide: Callable[[Request], ASGIApp | None]) -> Layer:
    """Answer with what `decide` gives, in the registry's place; None passes the request on."""

    def layer(app: ASGIApp) -> ASGIApp:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            await (decide(Request(scope)) or app)(scope, receive, send)

        return answer

    return layer


def answer_after_reading(applies: Callable[[Asked], bool], decide: Callable[[Request, bytes], ASGIApp | None]) -> Layer:
    """As `answer_first`, for requests that are decided by their body."""

    def layer(app: ASGIApp) -> ASGIApp:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope, receive)
            if not applies(asked_of(request)):
                return await app(scope, receive, send)
            body = await request.body()
            chosen = decide(request, body) or app
            return await chosen(scope, _replaying(body, receive), send)

        return answer

    return layer


def change_head(change: Callable[[Request, Head], None]) -> Layer:
    """Let `change` have its way with status and headers of every answer."""

    def layer(app: ASGIApp) -> ASGIApp:
        async def changing(scope: Scope, receive: Receive, send: Send) -> None:
            async def sending(message: Message) -> None:
                if message["type"] == "http.response.start":
                    head = Head(message["status"], MutableHeaders(raw=list(message["headers"])))
                    change(Request(scope), head)
                    message = {**message, "status": head.status, "headers": head.headers.raw}
                await send(message)

            await app(scope, receive, sending)

        return changing

    return layer


def change_answer(applies: Callable[[Asked], bool], change: Callable[[Request, Response], ASGIApp | None]) -> Layer:
    """Give `change` the whole answer to requests that apply; what it gives is sent in its place, None leaves it."""

    def layer(app: ASGIApp) -> ASGIApp:
        async def changing(scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope)
            if not applies(asked_of(request)):
                return await app(scope, receive, send)
            messages: list[Message] = []

            async def keep(message: Message) -> None:
                messages.append(message)

            await app(scope, receive, keep)
            if not messages:  # the client has left
                return None
            whole = _whole(messages)
            return await (change(request, whole) or whole)(scope, receive, send)

        return changing

    return layer


def change_request(change: Callable[[Request], Scope]) -> Layer:
    """Show the registry another request than the client sent."""

    def layer(app: ASGIApp) -> ASGIApp:
        async def changing(scope: Scope, receive: Receive, send: Send) -> None:
            await app(change(Request(scope)), receive, send)

        return changing

    return layer


def with_query(scope: Scope, **members: str | None) -> Scope:
    """`scope` with these members of its query; None takes one out."""
    pairs = [(name, value) for name, value in parse_qsl(scope["query_string"].decode()) if name not in members]
    pairs += [(name, value) for name, value in members.items() if value is not None]
    return {**scope, "query_string": urlencode(pairs).encode()}


def without_header(scope: Scope, name: str) -> Scope:
    """`scope` without one of its headers."""
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != name.encode()]}


def _whole(messages: list[Message]) -> Response:
    body = b"".join(message.get("body", b"") for message in messages[1:])
    response = Response(body, messages[0]["status"])
    response.raw_headers = list(messages[0]["headers"])
    return response


def _replaying(body: bytes, receive: Receive) -> Receive:
    given: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return given.pop() if given else await receive()

    return replay
