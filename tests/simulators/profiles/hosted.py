"""Registries that anybody can have an account at: Docker Hub, GitHub's, Quay."""

import json
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp

from edgelift.serve.access import Login
from edgelift.serve.directory import DirectoryContent
from edgelift.serve.requests import error_response
from tests.simulators.profiles.layers import (
    Asked,
    Head,
    answer_after_reading,
    answer_first,
    asked_of,
    change_answer,
    change_head,
    pile,
)
from tests.simulators.profiles.profile import Profile
from tests.simulators.profiles.refusals import refuse, refuse_pages_over
from tests.simulators.profiles.sessions import limit_chunks
from tests.simulators.token_server import RequireToken, TokenServer

GHCR_LARGEST_CHUNK = 4 * 2**20
QUAY_MOST_TAGS = 100
HUB_WINDOW = 21600  # seconds
QUAY_TYPES = frozenset(
    {
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.cncf.helm.config.v1+json",
    }
)


class Hub(Profile):
    """Docker Hub: GET of a manifest counts as a pull, HEAD does not; `pulls` of them are left, then it answers 429.

    After the first 429 there are `pulls_later` again, as when its six hours are over.
    Tokens are wanted for every repository that a request touches, the one that is mounted from too.
    """

    def __init__(
        self, login: Login | None = None, *, pulls: int = 100, pulls_later: int = 0, retry_after: int | None = None
    ) -> None:
        self.tokens = TokenServer(login=login, anonymous=True)
        self.limit = self.left = pulls
        self._later = pulls_later
        self._retry_after = retry_after

    def wrap(self, app: ASGIApp, content: DirectoryContent) -> ASGIApp:
        """As Docker Hub does it."""
        return pile(
            app,
            change_head(self._tell_limit),
            answer_first(self._count),
            answer_first(refuse(lambda asked: asked.kind == "catalog", 401, "UNAUTHORIZED", "authentication required")),
            lambda inner: RequireToken(inner, self.tokens),
        )

    def _count(self, request: Request) -> Response | None:
        if not asked_of(request)("GET", "manifest"):
            return None
        if self.left > 0:
            self.left -= 1
            return None
        self.left, self._later = self._later, 0
        headers = self._headers(left=0) | ({"retry-after": str(self._retry_after)} if self._retry_after else {})
        message = "You have reached your unauthenticated pull rate limit"
        return error_response(429, "TOOMANYREQUESTS", message, headers=headers)

    def _tell_limit(self, request: Request, head: Head) -> None:
        if asked_of(request)("GET HEAD", "manifest"):
            head.headers.update(self._headers(self.left))

    def _headers(self, left: int) -> dict[str, str]:
        return {
            "ratelimit-limit": f"{self.limit};w={HUB_WINDOW}",
            "ratelimit-remaining": f"{left};w={HUB_WINDOW}",
            "docker-ratelimit-source": "192.0.2.1",
        }


class Ghcr(Profile):
    """GitHub's: an access token is a password at `/token`; chunks of 4 MiB at most; what is missing is denied."""

    def __init__(self, login: Login) -> None:
        self.tokens = TokenServer(login=login)

    def wrap(self, app: ASGIApp, content: DirectoryContent) -> ASGIApp:
        """As GitHub's registry does it."""

        def is_unknown(asked: Asked) -> bool:
            is_read = asked("GET HEAD", "manifest") or asked.kind == "tags"
            return is_read and content.tags(asked.repository) is None

        def too_large() -> Response:
            return error_response(416, "RANGE_INVALID", "the chunk is too large")

        return pile(
            app,
            answer_first(refuse(is_unknown, 403, "DENIED", "requested access to the resource is denied")),
            answer_first(limit_chunks(GHCR_LARGEST_CHUNK, too_large)),
            lambda inner: RequireToken(inner, self.tokens),
            answer_first(_no_catalog),
        )


class Quay(Profile):
    """Quay: 100 tags a page, no mount without its source, 400 where there are no referrers, artifacts by a list."""

    def __init__(self, login: Login) -> None:
        self.tokens = TokenServer(login=login)

    def wrap(self, app: ASGIApp, content: DirectoryContent) -> ASGIApp:
        """As Quay does it."""
        too_many = f"Too many tags requested; max is {QUAY_MOST_TAGS}"
        return pile(
            app,
            answer_after_reading(lambda asked: asked("PUT", "manifest"), _refuse_artifact),
            answer_first(_refuse_mount_from_nowhere),
            change_answer(lambda asked: asked.kind == "referrers", _bad_request_for_none(content)),
            answer_first(refuse_pages_over(QUAY_MOST_TAGS, 413, "TOO_MANY_TAGS_REQUESTED", too_many)),
            lambda inner: RequireToken(inner, self.tokens),
            answer_first(refuse(lambda asked: asked.kind == "catalog", 401, "UNAUTHORIZED", "not for you")),
        )


def _no_catalog(request: Request) -> Response | None:
    return PlainTextResponse("404 page not found\n", 404) if asked_of(request).kind == "catalog" else None


def _refuse_artifact(request: Request, body: bytes) -> Response | None:
    try:
        kind = json.loads(body).get("config", {}).get("mediaType")
    except (ValueError, AttributeError):
        return None
    if kind is None or kind in QUAY_TYPES:
        return None
    return error_response(400, "MANIFEST_INVALID", f"manifest invalid: {kind} is not an allowed artifact type")


def _refuse_mount_from_nowhere(request: Request) -> Response | None:
    query = request.query_params
    if asked_of(request)("POST", "uploads") and "mount" in query and "from" not in query:
        return error_response(400, "BLOB_UPLOAD_INVALID", "from is missing")
    return None


def _bad_request_for_none(content: DirectoryContent) -> Callable[[Request, Response], ASGIApp | None]:
    def change(request: Request, answer: Response) -> ASGIApp | None:
        if b'"manifests":[]' not in bytes(answer.body):
            return None
        return error_response(400, "MANIFEST_INVALID", "manifest invalid")

    return change
