"""Zot, as its source has it (pkg/api/routes.go): OCI's media types only, uploads that die with their connection.

With `upstream` it is a pull-through cache (`sync.onDemand`): who asks for a tag waits while it is fetched.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from edgelift.demo.content import SampleImage
from edgelift.demo.servers import fill_registry
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import DOCKER_INDEX, DOCKER_MANIFEST
from edgelift.serve.directory import DirectoryContent
from edgelift.serve.requests import error_response
from tests.simulators.profiles.layers import (
    Asked,
    Head,
    Layer,
    answer_first,
    asked_of,
    change_answer,
    change_head,
    pile,
)
from tests.simulators.profiles.profile import BlobHomes, Profile
from tests.simulators.profiles.sessions import lost_when_cut

_DOCKER = (DOCKER_MANIFEST, DOCKER_INDEX)


class _Content(BlobHomes):
    """Can mount a blob from wherever it is."""

    def mount_blob(self, source: str, repository: str, digest: Digest) -> bool:
        """From `source`, or any other repository that has it."""
        return any(super(_Content, self).mount_blob(each, repository, digest) for each in self._homes(source))

    def _homes(self, source: str) -> Iterator[str]:
        yield source
        yield from self.repositories()


class Zot(Profile):
    """Zot; `takes_docker` is its setting `http.compat: ["docker2s2"]`, a sync of `upstream` takes `delay` seconds."""

    def __init__(
        self, *, takes_docker: bool = False, upstream: tuple[SampleImage, ...] = (), delay: float = 0.0
    ) -> None:
        self._takes_docker = takes_docker
        self._upstream = {(image.repository, image.tag): image for image in upstream}
        self._delay = delay
        self.synced: list[str] = []  # tags that were fetched from upstream, once for each time

    def content(self, root: Path) -> DirectoryContent:
        """With every blob within reach of every repository."""
        return _Content(root)

    def wrap(self, app: ASGIApp, content: DirectoryContent) -> ASGIApp:
        """As Zot does it."""
        return pile(
            app,
            lost_when_cut(content),
            answer_first(_refuse_rest(content)),
            answer_first(_mount_from_anywhere(content)),
            change_answer(lambda asked: asked.kind in ("manifest", "session"), _own_codes(content)),
            answer_first(self._refuse_docker),
            answer_first(_list_after(content)),
            change_head(_own_headers),
            self._sync_on_demand(content),
        )

    def _refuse_docker(self, request: Request) -> Response | None:
        is_docker = request.headers.get("content-type") in _DOCKER
        if self._takes_docker or not is_docker or not asked_of(request)("PUT", "manifest"):
            return None
        return error_response(415, "MANIFEST_INVALID", "manifest invalid")

    def _sync_on_demand(self, content: DirectoryContent) -> Layer:
        """The sync goes on when the client does not wait for it."""
        running: dict[tuple[str, str], asyncio.Task[None]] = {}

        async def sync(image: SampleImage) -> None:
            await asyncio.sleep(self._delay)
            self.synced.append(f"{image.repository}:{image.tag}")
            await asyncio.to_thread(fill_registry, content, [image])

        def layer(app: ASGIApp) -> ASGIApp:
            async def syncing(scope: Scope, receive: Receive, send: Send) -> None:
                asked = asked_of(Request(scope))
                key = (asked.repository, asked.rest)
                if asked("GET HEAD", "manifest") and key in self._upstream:
                    if key not in running or running[key].done():
                        running[key] = asyncio.create_task(sync(self._upstream[key]))
                    await asyncio.shield(running[key])
                await app(scope, receive, send)

            return syncing

        return layer


def _mount_from_anywhere(content: DirectoryContent) -> Callable[[Request], ASGIApp | None]:
    def decide(request: Request) -> ASGIApp | None:
        asked = asked_of(request)
        if not asked("POST", "uploads"):
            return None
        if "mount" not in request.query_params:
            return Response(status_code=405) if "from" in request.query_params else None
        digest, source = Digest(request.query_params["mount"]), request.query_params.get("from", asked.repository)
        if not content.mount_blob(source, asked.repository, digest):
            return None
        return Response(status_code=201, headers={"Location": f"/v2/{asked.repository}/blobs/{digest}"})

    return decide


def _refuse_rest(content: DirectoryContent) -> Callable[[Request], ASGIApp | None]:
    """Whatever finishes an upload begins at 0, if it does not say where; a short answer needs no document."""

    def decide(request: Request) -> ASGIApp | None:
        asked = asked_of(request)
        if asked.kind == "version":
            return Response(media_type="application/json")
        has_place = "content-range" in request.headers or request.headers.get("content-length", "0") == "0"
        if asked("PUT", "session") and not has_place and content.upload_offset(asked.repository, asked.rest):
            return error_response(400, "BLOB_UPLOAD_INVALID", "blob upload invalid")
        return None

    return decide


def _own_codes(content: DirectoryContent) -> Callable[[Request, Response], ASGIApp | None]:
    """Other codes than the specification's examples, for the same mistakes."""

    def change(request: Request, answer: Response) -> ASGIApp | None:
        asked, body = asked_of(request), bytes(answer.body)
        if asked("PATCH PUT", "session") and answer.status_code == 416:
            status = 416 if request.method == "PATCH" else 400
            return error_response(status, "BLOB_UPLOAD_INVALID", "blob upload invalid")
        if asked.kind == "manifest" and answer.status_code == 404 and content.tags(asked.repository) is None:
            return error_response(404, "NAME_UNKNOWN", "repository name not known to registry")
        if asked("PUT", "manifest") and b"MANIFEST_BLOB_UNKNOWN" in body:
            return error_response(400, "BLOB_UNKNOWN", "blob unknown to registry")
        return None

    return change


def _list_after(content: DirectoryContent) -> Callable[[Request], ASGIApp | None]:
    """A page begins after a tag that is there; none begins after another."""

    def decide(request: Request) -> ASGIApp | None:
        asked = asked_of(request)
        last = request.query_params.get("last", "")
        tags = content.tags(asked.repository) if asked("GET", "tags") else None
        if tags is None:
            return None
        if request.query_params.get("n") == "0":
            return JSONResponse({"name": asked.repository, "tags": []})
        return Response(status_code=404) if last and last not in tags else None

    return decide


def _own_headers(request: Request, head: Head) -> None:
    asked: Asked = asked_of(request)
    if asked.kind in ("uploads", "session"):
        session = head.headers.get("docker-upload-uuid", "")
        del head.headers["docker-upload-uuid"]
        if request.method == "PATCH" and head.status == 202:
            head.headers["blob-upload-uuid"] = session
        if request.method == "GET" and head.status == 204 and head.headers.get("range") == "0-0":
            head.headers["range"] = "0--1"  # it tells the size less one
    if asked("GET", "blob") and head.status == 206:
        del head.headers["docker-content-digest"]
