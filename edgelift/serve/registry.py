"""An OCI registry (distribution-spec 1.1) over any `RegistryContent`, as an ASGI application.

Content that can be written to is served with uploads and deletes; all other content answers 405 to them.
"""

import logging
from collections.abc import Sequence
from functools import partial

from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgelift.errors import EdgeliftError
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_INDEX
from edgelift.serve.access import Login, RequireLogin
from edgelift.serve.content import RegistryContent, WritableContent
from edgelift.serve.requests import (
    Refusal,
    answer_refusal,
    digest_from,
    error_response,
    page_of,
    range_of,
    repository_of,
)
from edgelift.serve.sending import READERS, BlobResponse
from edgelift.serve.writing import writing_routes

_log = logging.getLogger(__name__)


def create_registry(content: RegistryContent, *, login: Login | None = None, readers: int = READERS) -> Starlette:
    """The registry that serves `content`; with a `login` only to those who have it (basic authentication).

    `readers` blobs are read at the same time, whatever number of clients takes them.
    """
    middleware = [Middleware(_Failures)]
    if login is not None:
        middleware.append(Middleware(RequireLogin, login=login))
    reading = _Reading(content, readers)
    routes = [
        Route("/v2/", _check_version),
        Route("/v2/_catalog", reading.list_repositories),
        Route("/v2/{name:path}/tags/list", reading.list_tags),
        Route("/v2/{name:path}/manifests/{selector}", reading.give_manifest),
        Route("/v2/{name:path}/referrers/{digest}", reading.list_referrers),
        Route("/v2/{name:path}/blobs/{digest}", reading.give_blob),
    ]
    writing = writing_routes(content) if isinstance(content, WritableContent) else [_REFUSE_WRITES]
    app = Starlette(
        routes=[*routes, *writing], middleware=middleware, exception_handlers={HTTPException: answer_refusal}
    )
    app.router.redirect_slashes = False
    return app


async def _check_version(_: Request) -> Response:
    return JSONResponse({}, headers={"Docker-Distribution-API-Version": "registry/2.0"})


async def _refuse_write(request: Request) -> Response:
    if request.method in ("GET", "HEAD"):
        raise HTTPException(404)
    raise Refusal(405, "UNSUPPORTED", "this registry is read-only", headers={"Allow": "GET, HEAD"})


_REFUSE_WRITES = Route("/v2/{path:path}", _refuse_write, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])


class _Reading:
    """The endpoints that change nothing. Starlette runs them in threads, and answers HEAD with the headers of GET."""

    def __init__(self, content: RegistryContent, readers: int) -> None:
        self._content = content
        self._readers = CapacityLimiter(readers)

    def list_repositories(self, request: Request) -> Response:
        """Every repository, in pages."""
        page = page_of(request, self._content.repositories())
        return _listing({"repositories": page.entries}, page.link)

    def list_tags(self, request: Request) -> Response:
        """The tags of one repository, in pages (distribution-spec, "Listing Tags")."""
        repository = repository_of(request)
        tags = self._content.tags(repository)
        if tags is None:
            raise _unknown_repository(repository)
        page = page_of(request, tags, ignore_case=True)
        return _listing({"name": repository, "tags": page.entries}, page.link)

    def give_manifest(self, request: Request) -> Response:
        """A manifest by tag or digest, in its exact bytes."""
        repository, selector = repository_of(request), request.path_params["selector"]
        wanted = digest_from(selector) if ":" in selector else selector
        served = self._content.resolve(repository, wanted)
        if served is None:
            raise Refusal(404, "MANIFEST_UNKNOWN", "this repository has no such manifest", f"{repository} {selector}")
        descriptor, raw = served
        headers = {"Docker-Content-Digest": descriptor.digest, "Content-Type": descriptor.media_type}
        return Response(raw, headers=headers)

    def list_referrers(self, request: Request) -> Response:
        """An index of what names a digest as its subject (distribution-spec, "Listing Referrers")."""
        repository, subject = repository_of(request), digest_from(request.path_params["digest"])
        found = self._content.referrers(repository, subject)
        wanted = request.query_params.get("artifactType")
        headers = {"OCI-Filters-Applied": "artifactType"} if wanted else {}
        entries = [each for each in found if not wanted or each.artifact_type == wanted]
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in entries],
        }
        return JSONResponse(document, headers={"Content-Type": OCI_INDEX, **headers})

    def give_blob(self, request: Request) -> Response:
        """A blob, or the range of it that is asked for."""
        repository, digest = repository_of(request), digest_from(request.path_params["digest"])
        size = self._content.blob_size(repository, digest)
        if size is None:
            raise Refusal(404, "BLOB_UNKNOWN", "this repository has no such blob", f"{repository} {digest}")
        part = range_of(request, size)
        headers = _blob_headers(digest) | {"Content-Length": str(part.stop - part.start)}
        if part.partial:
            headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
        status = 206 if part.partial else 200
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        body = self._content.read_blob_range(repository, digest, part.start, part.stop)
        return BlobResponse(body, status, headers, self._readers)


def _blob_headers(digest: Digest) -> dict[str, str]:
    return {
        "Docker-Content-Digest": digest,
        "Content-Type": "application/octet-stream",
        "Accept-Ranges": "bytes",
    }


def _listing(document: dict[str, str | Sequence[str]], link: str | None) -> Response:
    return JSONResponse(document, headers={"Link": link} if link else None)


def _unknown_repository(repository: str) -> Refusal:
    return Refusal(404, "NAME_UNKNOWN", "there is no such repository", repository)


class _Failures:
    """Answers 500 to errors of ours; where the body has begun, only a cut connection can still say that it is bad."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun: list[Message] = []
        try:
            await self._app(scope, receive, partial(_watch, send, begun))
        except ClientDisconnect:
            _log.info("the client left during %s %r", scope["method"], scope["path"])
        except EdgeliftError as error:
            _log.error("%s %r: %s", scope["method"], scope["path"], error.message)
            if not begun:
                await error_response(500, "UNKNOWN", error.message)(scope, receive, send)


async def _watch(send: Send, begun: list[Message], message: Message) -> None:
    begun[:] = [message]
    await send(message)
