"""The endpoints of a registry that clients push to (distribution-spec, "Push" and "Content Management").

Bodies go to the content as they arrive, in pieces of constant size; a cut connection leaves what has arrived.
"""

import re
from collections.abc import AsyncIterator
from typing import NoReturn

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from edgelift.errors import IntegrityError, RefusedError
from edgelift.oci.content import CHUNK
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import Manifest, is_foreign, parse_manifest
from edgelift.oci.reference import is_repository, is_tag
from edgelift.serve.content import WritableContent
from edgelift.serve.requests import Refusal, digest_from, repository_of

MANIFEST_LIMIT = 4 * 2**20  # bytes; what the registries in use take
_CONTENT_RANGE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)


def writing_routes(content: WritableContent) -> list[Route]:
    """The routes that change `content`."""
    writing = _Writing(content)
    uploads, session = "/v2/{name:path}/blobs/uploads/", "/v2/{name:path}/blobs/uploads/{session}"
    manifest = "/v2/{name:path}/manifests/{selector}"
    return [
        Route(uploads, writing.begin, methods=["POST"]),
        Route(session, writing.tell, methods=["GET"]),
        Route(session, writing.append, methods=["PATCH"]),
        Route(session, writing.complete, methods=["PUT"]),
        Route(session, writing.cancel, methods=["DELETE"]),
        Route(manifest, writing.take_manifest, methods=["PUT"]),
        Route(manifest, writing.delete, methods=["DELETE"]),
        Route("/v2/{name:path}/blobs/{digest}", writing.delete_blob, methods=["DELETE"]),
    ]


class _Writing:
    def __init__(self, content: WritableContent) -> None:
        self._content = content

    async def begin(self, request: Request) -> Response:
        """Mount a blob, take one whole, or open a session for it."""
        repository, query = repository_of(request), request.query_params
        if "mount" in query and await run_in_threadpool(self._mount, repository, query):
            return _created_blob(repository, digest_from(query["mount"]))
        digest = digest_from(query["digest"]) if "digest" in query else None
        session = await run_in_threadpool(self._content.begin_upload, repository)
        if digest is None or "mount" in query:
            return _progress(202, repository, session, 0)
        await self._receive(request, repository, session, 0)
        return await run_in_threadpool(self._commit, repository, session, digest)

    def tell(self, request: Request) -> Response:
        """How far a session is."""
        repository, session = repository_of(request), request.path_params["session"]
        return _progress(204, repository, session, self._offset(repository, session))

    async def append(self, request: Request) -> Response:
        """Take a chunk; without Content-Range everything that comes."""
        repository, session = repository_of(request), request.path_params["session"]
        offset = await run_in_threadpool(self._offset, repository, session)
        _check_chunk(request, repository, session, offset)
        return _progress(202, repository, session, await self._receive(request, repository, session, offset))

    async def complete(self, request: Request) -> Response:
        """Take the rest of a blob, check it against its digest, and give it that name."""
        repository, session = repository_of(request), request.path_params["session"]
        digest = digest_from(request.query_params.get("digest", ""))
        offset = await run_in_threadpool(self._offset, repository, session)
        _check_chunk(request, repository, session, offset)
        await self._receive(request, repository, session, offset)
        return await run_in_threadpool(self._commit, repository, session, digest)

    def cancel(self, request: Request) -> Response:
        """Drop a session."""
        repository, session = repository_of(request), request.path_params["session"]
        if not self._content.cancel_upload(repository, session):
            _refuse_session(session)
        return Response(status_code=204)

    async def take_manifest(self, request: Request) -> Response:
        """Keep a manifest all of whose content is here, under its digest and a tag."""
        repository, selector = repository_of(request), request.path_params["selector"]
        digest = digest_from(selector) if ":" in selector else None
        if digest is None and not is_tag(selector):
            raise Refusal(400, "MANIFEST_INVALID", "this is no tag", selector[:160])
        manifest = _parse(await _read_manifest(request), request.headers.get("content-type", ""), digest)
        await run_in_threadpool(self._keep, repository, manifest, None if digest else selector)
        kept = manifest.descriptor.digest
        headers = {"Location": f"/v2/{repository}/manifests/{kept}", "Docker-Content-Digest": kept}
        if manifest.parsed.subject is not None:
            headers["OCI-Subject"] = manifest.parsed.subject.digest
        return Response(status_code=201, headers=headers)

    def delete(self, request: Request) -> Response:
        """Forget a manifest, or a tag."""
        repository, selector = repository_of(request), request.path_params["selector"]
        if ":" in selector:
            deleted = self._content.delete_manifest(repository, digest_from(selector))
        else:
            deleted = self._content.delete_tag(repository, selector)
        if not deleted:
            raise Refusal(404, "MANIFEST_UNKNOWN", "this repository has no such manifest", f"{repository} {selector}")
        return Response(status_code=202)

    def delete_blob(self, request: Request) -> Response:
        """Forget a blob of one repository."""
        repository, digest = repository_of(request), digest_from(request.path_params["digest"])
        if not self._content.delete_blob(repository, digest):
            raise Refusal(404, "BLOB_UNKNOWN", "this repository has no such blob", f"{repository} {digest}")
        return Response(status_code=202)

    def _mount(self, repository: str, query: QueryParams) -> bool:
        source, digest = query.get("from", ""), digest_from(query["mount"])
        return is_repository(source) and self._content.mount_blob(source, repository, digest)

    def _offset(self, repository: str, session: str) -> int:
        offset = self._content.upload_offset(repository, session)
        return _refuse_session(session) if offset is None else offset

    def _commit(self, repository: str, session: str, digest: Digest) -> Response:
        try:
            committed = self._content.commit_upload(repository, session, digest)
        except IntegrityError as error:
            raise Refusal(400, "DIGEST_INVALID", error.message) from None
        return _created_blob(repository, digest) if committed else _refuse_session(session)

    def _keep(self, repository: str, manifest: Manifest, tag: str | None) -> None:
        missing = [blob for blob in manifest.blobs if not is_foreign(blob)]
        missing = [blob for blob in missing if self._content.blob_size(repository, blob.digest) is None]
        missing += [child for child in manifest.children if self._content.resolve(repository, child.digest) is None]
        if missing:
            raise Refusal(400, "MANIFEST_BLOB_UNKNOWN", "the manifest names what is not here", missing[0].digest)
        self._content.write_manifest(repository, manifest, tag)

    async def _receive(self, request: Request, repository: str, session: str, offset: int) -> int:
        """Append the body to the session; gives the new offset."""
        async for chunk in _pieces(request):
            if not await run_in_threadpool(self._content.append_upload, repository, session, offset, chunk):
                raise Refusal(400, "BLOB_UPLOAD_INVALID", "another request changed this upload", session)
            offset += len(chunk)
        return offset


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces of about `CHUNK` bytes; what came before a cut is given too."""
    held = bytearray()
    try:
        async for chunk in request.stream():
            held += chunk
            if len(held) >= CHUNK:
                yield bytes(held)
                held.clear()
    except ClientDisconnect:
        if held:
            yield bytes(held)
        raise
    if held:
        yield bytes(held)


async def _read_manifest(request: Request) -> bytes:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MANIFEST_LIMIT:
            raise Refusal(413, "MANIFEST_INVALID", f"a manifest has at most {MANIFEST_LIMIT} bytes")
    return bytes(raw)


def _parse(raw: bytes, content_type: str, digest: Digest | None) -> Manifest:
    if digest is not None and not digest.matches(raw):
        raise Refusal(400, "DIGEST_INVALID", "the manifest does not have that digest", digest)
    try:
        return parse_manifest(raw, content_type, digest)
    except (IntegrityError, RefusedError) as error:
        raise Refusal(400, "MANIFEST_INVALID", error.message) from None


def _check_chunk(request: Request, repository: str, session: str, offset: int) -> None:
    """Refuse a chunk that is not the next one; without Content-Range there is nothing to check."""
    given = request.headers.get("content-range")
    if given is None:
        return
    found = _CONTENT_RANGE.fullmatch(given)
    if found is None:
        raise Refusal(400, "BLOB_UPLOAD_INVALID", "Content-Range is written START-END", given[:64])
    first, last = int(found[1]), int(found[2])
    if first != offset:
        where = _session_headers(repository, session, offset)
        raise Refusal(416, "RANGE_INVALID", f"the next byte of this upload is {offset}", session, where)
    if request.headers.get("content-length", str(last + 1 - first)) != str(last + 1 - first):
        raise Refusal(400, "BLOB_UPLOAD_INVALID", "Content-Range and Content-Length do not agree", given)


def _session_headers(repository: str, session: str, offset: int) -> dict[str, str]:
    return {
        "Location": f"/v2/{repository}/blobs/uploads/{session}",
        "Range": f"0-{max(offset - 1, 0)}",
        "Docker-Upload-UUID": session,
    }


def _progress(status: int, repository: str, session: str, offset: int) -> Response:
    return Response(status_code=status, headers=_session_headers(repository, session, offset))


def _created_blob(repository: str, digest: Digest) -> Response:
    headers = {"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": digest}
    return Response(status_code=201, headers=headers)


def _refuse_session(session: str) -> NoReturn:
    raise Refusal(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload", session[:64])
