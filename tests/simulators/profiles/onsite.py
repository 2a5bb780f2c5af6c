"""Registries that companies run: Harbor, Artifactory; and Google's, which has the same kind of gate."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from edgelift.oci.digest import Digest
from edgelift.oci.manifest import MANIFEST_TYPES
from edgelift.serve.access import Login
from edgelift.serve.directory import DirectoryContent
from edgelift.serve.requests import error_response
from tests.simulators.profiles.distribution import Distribution28
from tests.simulators.profiles.layers import (
    Asked,
    Head,
    answer_after_reading,
    answer_first,
    asked_of,
    change_head,
    pile,
)
from tests.simulators.profiles.profile import Profile
from tests.simulators.profiles.refusals import refuse, refuse_pages_over, refuse_standing_tags
from tests.simulators.token_server import RequireToken, TokenServer


class Harbor(Profile):
    """Harbor: Distribution 2.8 behind projects. A repository's first part is its project, made beforehand.

    `immutable` makes all tags final; with `is_full` no image fits into the quota any more.
    """

    def __init__(self, robot: Login, *projects: str, immutable: bool = False, is_full: bool = False) -> None:
        self.tokens = TokenServer(login=robot, path="/service/token")
        self.projects = set(projects)
        self._distribution = Distribution28()
        self._immutable = immutable
        self._is_full = is_full

    def content(self, root: Path) -> DirectoryContent:
        """As Distribution has it."""
        return self._distribution.content(root)

    def wrap(self, app: ASGIApp, content: DirectoryContent) -> ASGIApp:
        """As Harbor does it."""
        rules = [
            refuse(lambda asked: asked.kind == "catalog", 401, "UNAUTHORIZED", "unauthorized to list catalog"),
            refuse(self._is_foreign, 401, "UNAUTHORIZED", "project not found"),
            self._refuse_mount,
        ]
        if self._immutable:
            words = "configured as immutable"
            rules.append(refuse_standing_tags(content, 412, "PRECONDITION", words))
        if self._is_full:
            words = "adding 1 KiB of storage resource will exceed the configured upper limit"
            rules.append(refuse(lambda asked: asked("PUT", "manifest"), 403, "DENIED", words))
        return pile(
            self._distribution.wrap(app, content),
            *map(answer_first, rules),
            lambda inner: RequireToken(inner, self.tokens),
        )

    def _is_foreign(self, asked: Asked) -> bool:
        return bool(asked.repository) and asked.repository.partition("/")[0] not in self.projects

    def _refuse_mount(self, request: Request) -> Response | None:
        source = request.query_params.get("from", "")
        if asked_of(request)("POST", "uploads") and source and source.partition("/")[0] not in self.projects:
            return error_response(401, "UNAUTHORIZED", f"unauthorized to access repository: {source}")
        return None


class Artifactory(Profile):
    """Artifactory: 403 for tags that are not there, manifests looked into, some PATCHes lost (`lost_chunks`)."""

    def __init__(self, login: Login, *, lost_chunks: int = 0) -> None:
        self.tokens = TokenServer(login=login)
        self._lost_chunks = lost_chunks

    def wrap(self, app: ASGIApp, content: DirectoryContent) -> ASGIApp:
        """As Artifactory does it."""

        def is_missing(asked: Asked) -> bool:
            is_tag = asked("GET HEAD", "manifest") and ":" not in asked.rest
            return is_tag and content.resolve(asked.repository, asked.rest) is None

        return pile(
            app,
            answer_first(refuse(is_missing, 403, "DENIED", "The client does not have permission for manifest")),
            answer_first(self._lose_chunk),
            answer_first(_refuse_what_cannot_be_accepted),
            answer_after_reading(lambda asked: asked("PUT", "manifest"), _check_image(content)),
            lambda inner: RequireToken(inner, self.tokens),
        )

    def _lose_chunk(self, request: Request) -> Response | None:
        if self._lost_chunks == 0 or not asked_of(request)("PATCH", "session"):
            return None
        self._lost_chunks -= 1
        return error_response(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")


def _refuse_what_cannot_be_accepted(request: Request) -> Response | None:
    """What is pushed is answered with nothing, or with JSON, and not with a manifest."""
    is_write = request.method in ("POST", "PATCH", "PUT")
    accepted = request.headers.get("accept", "*/*")
    return Response(status_code=406) if is_write and not re.search(r"\*/\*|application/json", accepted) else None


def _check_image(content: DirectoryContent) -> Callable[[Request, bytes], Response | None]:
    """History has to fit the layers."""

    def decide(request: Request, body: bytes) -> Response | None:
        kind = request.headers.get("content-type", "")
        if kind not in MANIFEST_TYPES:
            return None
        manifest = json.loads(body)
        history = _read_config(content, asked_of(request).repository, manifest).get("history")
        layers = [entry for entry in history or () if not entry.get("empty_layer")]
        if history is not None and len(layers) != len(manifest["layers"]):
            return error_response(400, "MANIFEST_INVALID", "manifest invalid: history does not fit the layers")
        return None

    return decide


def _read_config(
    content: DirectoryContent, repository: str, manifest: dict[str, dict[str, str]]
) -> dict[str, list[dict[str, object]]]:
    digest = Digest(manifest["config"]["digest"])
    size = content.blob_size(repository, digest)
    if size is None:
        return {}
    document = json.loads(b"".join(content.read_blob_range(repository, digest, 0, size)))
    return document if isinstance(document, dict) else {}


class Gar(Profile):
    """Google's: a key file or an access token is the password; 401 does not say how; tokens last few requests.

    `uses` is how many requests a token is good for, in place of its hour.
    """

    def __init__(self, login: Login, *, uses: int = 1_000_000, most_tags: int = 1_000_000) -> None:
        self.tokens = TokenServer(login=login, path="/v2/token")
        self._uses = self._left = uses
        self._most_tags = most_tags

    def wrap(self, app: ASGIApp, content: DirectoryContent) -> ASGIApp:
        """As Google's does it."""
        return pile(
            app,
            answer_first(refuse_pages_over(self._most_tags, 405, "UNSUPPORTED", "the page is too large")),
            change_head(self._wear_out),
            lambda inner: RequireToken(inner, self.tokens),
            change_head(_keep_silent),
        )

    def _wear_out(self, request: Request, head: Head) -> None:
        self._left -= 1
        if self._left <= 0:
            self.tokens.revoke_all()
            self._left = self._uses


def _keep_silent(request: Request, head: Head) -> None:
    """Only the root of the API says how to be let in."""
    if head.status == 401 and asked_of(request).kind != "version":
        del head.headers["www-authenticate"]
