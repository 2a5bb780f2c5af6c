"""Refusals that several registries give, each in its own words."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from edgelift.serve.directory import DirectoryContent
from edgelift.serve.requests import error_response
from tests.simulators.profiles.layers import Asked, asked_of

Decide = Callable[[Request], Response | None]


def refuse(applies: Callable[[Asked], bool], status: int, code: str, message: str) -> Decide:
    """Refuse every request that `applies`."""

    def decide(request: Request) -> Response | None:
        return error_response(status, code, message) if applies(asked_of(request)) else None

    return decide


def refuse_pages_over(limit: int, status: int, code: str, message: str) -> Decide:
    """Refuse to list more than `limit` names at once."""

    def decide(request: Request) -> Response | None:
        is_list = asked_of(request).kind in ("tags", "catalog")
        wanted = request.query_params.get("n", "0")
        return error_response(status, code, message) if is_list and int(wanted) > limit else None

    return decide


def refuse_standing_tags(content: DirectoryContent, status: int, code: str, message: str) -> Decide:
    """Refuse to write a tag that stands, whatever it is to stand for."""

    def decide(request: Request) -> Response | None:
        asked = asked_of(request)
        is_standing = asked("PUT", "manifest") and asked.rest in (content.tags(asked.repository) or ())
        return error_response(status, code, message) if is_standing else None

    return decide


def refuse_large_layers(limit: int, status: int, code: str, message: str) -> Decide:
    """Refuse an upload of more than `limit` bytes, before its body is read."""

    def decide(request: Request) -> Response | None:
        is_large = int(request.headers.get("content-length", "0")) > limit
        return error_response(status, code, message) if is_large and asked_of(request)("PUT PATCH", "session") else None

    return decide
