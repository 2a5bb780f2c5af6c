"""The Distribution project's registry, which Docker wrote: 2.8, as Debian and Harbor have it, and 3.x.

`Distribution28` is held to the real one by `tests/quirks/test_differential.py`, answer by answer; `Distribution3`
follows the measured column of the facts page (registries §1.5).
"""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from edgelift.errors import EdgeliftError, IntegrityError
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, is_foreign, parse_manifest
from edgelift.serve.directory import DirectoryContent
from edgelift.serve.requests import error_response
from tests.simulators.profiles.layers import (
    Head,
    answer_after_reading,
    answer_first,
    asked_of,
    change_answer,
    change_head,
    change_request,
    pile,
    with_query,
)
from tests.simulators.profiles.profile import BlobHomes, Profile
from tests.simulators.profiles.sessions import absolute_locations, signed_sessions

LARGEST_MANIFEST = 4 * 2**20
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]*)")
_METHODS = {
    "version": "GET",
    "catalog": "GET",
    "tags": "GET",
    "manifest": "DELETE, GET, HEAD, PUT",
    "blob": "DELETE, GET, HEAD",
    "uploads": "POST",
    "session": "DELETE, GET, HEAD, PATCH, PUT",
}


class DistributionContent(BlobHomes):
    """A blob is known by sha256, whatever it was pushed as."""

    def __init__(self, root: Path, *, keeps_wrong_uploads: bool = False) -> None:
        super().__init__(root)
        self.sha256: dict[str, str] = {}
        self._keeps = keeps_wrong_uploads

    def commit_upload(self, repository: str, session: str, digest: Digest) -> bool:
        """Keep the blob as `digest`, and as sha256."""
        upload = self.folder / repository / "_uploads" / session
        arrived = upload.read_bytes() if self._keeps or digest.algorithm != "sha256" else b""
        try:
            committed = super().commit_upload(repository, session, digest)
        except IntegrityError:
            if self._keeps:
                upload.write_bytes(arrived)
            raise
        if committed and digest.algorithm != "sha256":
            self.sha256[digest] = twin = Digest.of(arrived)
            second = self.begin_upload(repository)
            self.append_upload(repository, second, 0, arrived)
            super().commit_upload(repository, second, twin)
        return committed


class Distribution28(Profile):
    """2.8.2: a cut PATCH or an older location ends the upload; tags come unsorted and whole; a 416 is cut short."""

    def content(self, root: Path) -> DirectoryContent:
        """By sha256."""
        return DistributionContent(root)

    def wrap(self, app: ASGIApp, content: DirectoryContent) -> ASGIApp:
        """As 2.8.2 does it."""
        return pile(
            app,
            change_request(_without_pages_of_tags),
            change_answer(lambda asked: asked("GET", "tags") or asked("GET", "catalog"), _write_list),
            change_answer(lambda asked: asked("GET HEAD", "manifest"), _refuse_what_is_not_accepted),
            answer_after_reading(lambda asked: asked("PUT", "manifest"), _refuse_manifest(content)),
            answer_first(_refuse_tag_deletion),
            answer_first(_cut_416_short(content)),
            change_head(_know_by_sha256(content)),
            signed_sessions(content, resumable=False),
            change_head(absolute_locations),
            answer_first(_refuse_route),
            change_head(_dress),
        )


class Distribution3(Profile):
    """3.x: uploads go on where they stand, whatever location is used to ask; tags come sorted and in pages."""

    def content(self, root: Path) -> DirectoryContent:
        """By sha256, and an upload outlives a wrong digest."""
        return DistributionContent(root, keeps_wrong_uploads=True)

    def wrap(self, app: ASGIApp, content: DirectoryContent) -> ASGIApp:
        """As 3.x does it."""
        return pile(
            app,
            change_answer(lambda asked: asked("GET HEAD", "manifest"), _refuse_images_not_accepted),
            answer_after_reading(lambda asked: asked("PUT", "manifest"), _refuse_manifest(content)),
            change_head(_know_by_sha256(content)),
            signed_sessions(content, resumable=True),
            change_head(absolute_locations),
            answer_first(_refuse_route),
            change_head(_dress),
        )


def _refuse_route(request: Request) -> Response | None:
    """What the router refuses: neither release has referrers."""
    asked = asked_of(request)
    if request.url.path == "/v2" or (asked.kind == "blob" and asked.rest == "uploads"):
        return _moved_to_the_slash(request)
    if asked("GET HEAD PUT PATCH DELETE", "uploads"):
        return error_response(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
    if asked.kind not in _METHODS:
        return PlainTextResponse("404 page not found\n", 404)
    allowed = _METHODS[asked.kind]
    if request.method not in allowed.split(", "):
        return PlainTextResponse("Method Not Allowed\n", 405, {"Allow": allowed})
    if asked("GET", "tags") and asked.repository != asked.repository.lower():
        return error_response(404, "NAME_UNKNOWN", "repository name not known to registry")
    return None


def _moved_to_the_slash(request: Request) -> Response:
    place = f"{request.url.path}/"
    if request.method != "GET":
        return Response(status_code=301, headers={"Location": place})
    page = f'<a href="{place}">Moved Permanently</a>.\n\n'
    return Response(page, 301, {"Location": place, "Content-Type": "text/html; charset=utf-8"})


def _dress(request: Request, head: Head) -> None:
    """The headers that all answers, or all answers with content, have."""
    head.headers["docker-distribution-api-version"] = "registry/2.0"
    del head.headers["oci-subject"]  # it takes no note of what a manifest refers to
    if head.headers.get("content-type") == "application/json":
        head.headers["content-type"] = "application/json; charset=utf-8"
    digest = head.headers.get("docker-content-digest")
    kind = asked_of(request).kind
    if digest and request.method in ("GET", "HEAD"):
        head.headers["etag"] = f'"{digest}"'
        if kind == "blob":
            head.headers["cache-control"] = "max-age=31536000"


# Manifests


def _refuse_manifest(content: DirectoryContent) -> Callable[[Request, bytes], Response | None]:
    def decide(request: Request, body: bytes) -> Response | None:
        if len(body) > LARGEST_MANIFEST:
            return error_response(400, "MANIFEST_INVALID", "http: request body too large")
        if asked_of(request).rest.startswith("sha512:"):  # it compares with the sha256, always
            return error_response(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        return _refuse_foreign_layers(content, asked_of(request).repository, body)

    return decide


def _refuse_foreign_layers(content: DirectoryContent, repository: str, body: bytes) -> Response | None:
    """Layers that may stay elsewhere have to be here all the same; an address makes it an error of the server."""
    try:
        foreign = [blob.digest for blob in parse_manifest(body, "").blobs if is_foreign(blob)]
        addressed = {layer["digest"] for layer in json.loads(body).get("layers", ()) if layer.get("urls")}
    except (EdgeliftError, ValueError, TypeError, AttributeError):
        return None  # not a manifest of layers, which is for the registry to tell
    missing = {digest for digest in foreign if content.blob_size(repository, digest) is None}
    if missing & addressed:
        codes = ("UNKNOWN", "UNKNOWN", "MANIFEST_BLOB_UNKNOWN")
        errors = [{"code": code, "message": "unknown error", "detail": {}} for code in codes]
        return JSONResponse({"errors": errors}, 500)
    return error_response(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry") if missing else None


def _refuse_what_is_not_accepted(request: Request, answer: Response) -> ASGIApp | None:
    """OCI's types only by name; a tag of Docker's in the format of 2014 for who does not ask for a newer one.

    That document is not a true conversion: nobody should want it.
    """
    kind = answer.headers.get("content-type", "")
    if answer.status_code != 200 or kind in _accepted(request):
        return None
    if kind in (OCI_MANIFEST, OCI_INDEX):
        return _not_accepted()
    if kind == DOCKER_MANIFEST and ":" not in asked_of(request).rest:
        document = {"schemaVersion": 1, "name": asked_of(request).repository, "fsLayers": [], "history": []}
        raw = json.dumps(document).encode()
        return Response(raw, headers={"Content-Type": SCHEMA_1, "Docker-Content-Digest": Digest.of(raw)})
    return None


def _refuse_images_not_accepted(request: Request, answer: Response) -> ASGIApp | None:
    kind = answer.headers.get("content-type", "")
    is_wanted = answer.status_code != 200 or kind != OCI_MANIFEST or kind in _accepted(request)
    return None if is_wanted else _not_accepted()


def _accepted(request: Request) -> set[str]:
    lines = request.headers.getlist("accept")
    return {each.partition(";")[0].strip() for line in lines for each in line.split(",")}


def _not_accepted() -> Response:
    return error_response(404, "MANIFEST_UNKNOWN", "OCI content found, but accept header does not support it")


def _refuse_tag_deletion(request: Request) -> Response | None:
    asked = asked_of(request)
    is_tag = asked("DELETE", "manifest") and ":" not in asked.rest
    return error_response(400, "DIGEST_INVALID", "provided digest is not one") if is_tag else None


# Lists


def _without_pages_of_tags(request: Request) -> Scope:
    return with_query(request.scope, n=None, last=None) if asked_of(request).kind == "tags" else request.scope


def _write_list(request: Request, answer: Response) -> ASGIApp | None:
    """Tags in an order of no meaning, and null for none; `last` before `n` in the link to the next repositories."""
    if answer.status_code != 200:
        return None
    document, headers = json.loads(bytes(answer.body)), {"Content-Type": "application/json"}
    if "tags" in document:
        document["tags"] = sorted(document["tags"], key=lambda tag: hashlib.sha256(tag.encode()).digest()) or None
    if link := answer.headers.get("link"):
        headers["Link"] = re.sub(r"\?(n=[^&>]*)&(last=[^&>]*)", r"?\2&\1", link)
    return Response(json.dumps(document, separators=(",", ":")) + "\n", headers=headers)


# Blobs


def _cut_416_short(content: DirectoryContent) -> Callable[[Request], ASGIApp | None]:
    """A range that cannot be: the length of the blob is announced, and a line of text is sent."""

    def decide(request: Request) -> ASGIApp | None:
        asked = asked_of(request)
        found = _RANGE.fullmatch(request.headers.get("range", ""))
        if not asked("GET", "blob") or found is None:
            return None
        size = content.blob_size(asked.repository, Digest(asked.rest))
        if size is None:
            return None
        headers = {"Content-Type": "text/plain; charset=utf-8", "Docker-Content-Digest": asked.rest}
        headers["Content-Length"] = str(size)
        if found[2] and int(found[2]) < int(found[1]):
            return _cut_short(b"invalid range\n", headers)
        if int(found[1]) >= size:
            headers["Content-Range"] = f"bytes */{size}"
            return _cut_short(b"invalid range: failed to overlap\n", headers)
        return None

    return decide


def _cut_short(body: bytes, headers: dict[str, str]) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 416, "headers": raw})
        await send({"type": "http.response.body", "body": body, "more_body": True})  # and nothing more: it is cut

    return answer


def _know_by_sha256(content: DirectoryContent) -> Callable[[Request, Head], None]:
    """Whatever a blob was pushed as, its sha256 is told."""
    known = content.sha256 if isinstance(content, DistributionContent) else {}

    def change(request: Request, head: Head) -> None:
        digest = head.headers.get("docker-content-digest", "")
        if digest in known:
            head.headers["docker-content-digest"] = known[digest]
            if "location" in head.headers:
                head.headers["location"] = head.headers["location"].replace(digest, known[digest])

    return change
