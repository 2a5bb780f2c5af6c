"""Reading requests and refusing them: names, ranges, pages, and the error bodies of the distribution specification."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edgelift.errors import MalformedReferenceError
from edgelift.oci.digest import Digest
from edgelift.oci.reference import NAME_LIMIT, is_repository

PAGE_LIMIT = 1000  # entries of one answer, whatever is asked for (CVE-2023-2253)
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII)
_PLAIN_CODES = {404: "NOT_FOUND", 405: "UNSUPPORTED"}  # where the router, not an endpoint, refuses

Code = Literal[
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "PAGINATION_NUMBER_INVALID",
    "RANGE_INVALID",
    "UNSUPPORTED",
]


class Refusal(HTTPException):
    """An answer with an error body (distribution-spec, "Error Codes"). `about` is what the refusal is about."""

    def __init__(
        self, status: int, code: Code, message: str, about: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status, message, headers)
        self.code = code
        self.about = about


async def answer_refusal(_: Request, error: Exception) -> Response:
    """The response for a `Refusal`, and for what the router refuses by itself."""
    if not isinstance(error, HTTPException):
        raise error
    code = error.code if isinstance(error, Refusal) else _PLAIN_CODES.get(error.status_code, "UNKNOWN")
    about = error.about if isinstance(error, Refusal) else ""
    return error_response(error.status_code, code, error.detail, about, dict(error.headers or {}))


def error_response(
    status: int, code: str, message: str, about: str = "", headers: dict[str, str] | None = None
) -> Response:
    """A response with one error in the specified form."""
    error = {"code": code, "message": message, "detail": about}
    return JSONResponse({"errors": [error]}, status_code=status, headers=headers)


def repository_of(request: Request) -> str:
    """The repository in the path; refuses what is no repository name."""
    name: str = request.path_params["name"]
    if not is_repository(name) or len(name) > NAME_LIMIT:
        raise Refusal(400, "NAME_INVALID", "this is no repository name", name[:NAME_LIMIT])
    return name


def digest_from(text: str) -> Digest:
    """The digest in `text`; refuses what is none."""
    try:
        return Digest(text)
    except MalformedReferenceError as error:
        raise Refusal(400, "DIGEST_INVALID", error.message) from None


@dataclass(frozen=True)
class ByteRange:
    """The part of a body that was asked for: `stop` is exclusive; `partial` decides between 200 and 206."""

    start: int
    stop: int
    partial: bool


def range_of(request: Request, size: int) -> ByteRange:
    """The range that a GET asks for (RFC 9110 §14.2): one range is honoured, anything else gives the whole body.

    Refuses a range that begins past the end, of the content or its own.
    """
    whole = ByteRange(0, size, partial=False)
    found = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if found is None or found.groups() == ("", "") or request.method != "GET":
        return whole
    first, last = found.groups()
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        raise Refusal(
            416, "RANGE_INVALID", f"the content has {size} bytes", headers={"Content-Range": f"bytes */{size}"}
        )
    return ByteRange(start, stop, partial=True)


@dataclass(frozen=True)
class Page:
    """One page of a listing; `link` is the header that leads to the next one, where there is one."""

    entries: Sequence[str]
    link: str | None


def page_of(request: Request, entries: Sequence[str], *, ignore_case: bool = False) -> Page:
    """The page that `n` and `last` ask for, from `entries`, in lexical order."""
    wanted = request.query_params.get("n", str(PAGE_LIMIT))
    if not _NUMBER.fullmatch(wanted):
        raise Refusal(400, "PAGINATION_NUMBER_INVALID", "n is not a number of entries", wanted[:32])

    def key(entry: str) -> tuple[str, str]:
        return (entry.lower(), entry) if ignore_case else (entry, "")

    limit, last = min(int(wanted), PAGE_LIMIT), request.query_params.get("last")
    following = sorted((entry for entry in entries if last is None or key(entry) > key(last)), key=key)
    shown = following[:limit]
    if not shown or len(following) <= limit:
        return Page(shown, None)
    query = urlencode({"n": limit, "last": shown[-1]})
    return Page(shown, f'<{request.scope["path"]}?{query}>; rel="next"')
