"""Azure's registry: refresh tokens, and locations that are relative and hold a query of their own."""

from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from edgelift.oci.auth import format_basic
from edgelift.serve.access import Login
from edgelift.serve.directory import DirectoryContent
from edgelift.serve.requests import error_response
from tests.simulators.profiles.layers import (
    Head,
    answer_first,
    asked_of,
    change_answer,
    change_head,
    change_request,
    pile,
)
from tests.simulators.profiles.profile import Profile
from tests.simulators.token_server import RequireToken, TokenServer

NOBODY = "00000000-0000-0000-0000-000000000000"  # the user name that goes with a refresh token
STATE = "_nouploadcache=false&_state=aBc%2BdEf%3D%3D"  # what every location holds, and every request must bring back
PAGE = 2  # names; small, so that few tags make several pages


class Acr(Profile):
    """A refresh token, as `az acr login` leaves it in Docker's configuration, is exchanged for access tokens."""

    def __init__(self, refresh_token: str) -> None:
        self.tokens = TokenServer(login=Login(NOBODY, refresh_token), path="/oauth2/token", member="access_token")
        self.exchanged: list[str] = []  # the grant types of what came as a form

    def wrap(self, app: ASGIApp, content: DirectoryContent) -> ASGIApp:
        """As ACR does it."""
        return pile(
            app,
            answer_first(_refuse_changed_location),
            change_head(_sign_location),
            change_request(_in_small_pages),
            change_answer(lambda asked: asked.kind in ("tags", "catalog"), _link_at_the_end),
            lambda inner: RequireToken(inner, self.tokens),
            self._exchange,
        )

    def _exchange(self, app: ASGIApp) -> ASGIApp:
        """The OAuth 2 way of getting a token, told to the token server as it knows it."""

        async def exchange(scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope, receive)
            if scope["path"] != self.tokens.path or request.method != "POST":
                return await app(scope, receive, send)
            form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
            self.exchanged.append(form.get("grant_type", ""))
            return await self._issue(scope, form)(scope, receive, send)

        return exchange

    def _issue(self, scope: Scope, form: dict[str, str]) -> Response:
        if form.get("grant_type") != "refresh_token" or not form.get("service"):
            return JSONResponse({"error": "invalid_request"}, 400)
        query = urlencode([("scope", each) for each in form.get("scope", "").split()])
        login = format_basic(NOBODY, form.get("refresh_token", "")).encode()
        headers = [*(pair for pair in scope["headers"] if pair[0] != b"authorization"), (b"authorization", login)]
        return self.tokens.issue(Request({**scope, "query_string": query.encode(), "headers": headers}))


def _sign_location(request: Request, head: Head) -> None:
    location = head.headers.get("location", "")
    if "/blobs/uploads/" in location:
        head.headers["location"] = f"{location}?{STATE}"


def _refuse_changed_location(request: Request) -> Response | None:
    if asked_of(request).kind == "session" and not request.url.query.startswith(STATE):
        return error_response(404, "BLOB_UPLOAD_INVALID", "the state of the upload cannot be read")
    return None


def _in_small_pages(request: Request) -> Scope:
    if asked_of(request).kind not in ("tags", "catalog"):
        return request.scope
    members = {name: value for name, value in request.query_params.items() if name not in ("n", "orderby")}
    return {**request.scope, "query_string": urlencode({"n": PAGE} | members).encode()}


def _link_at_the_end(request: Request, answer: Response) -> ASGIApp | None:
    """The next page is at the same path, with `last` first and an order that nobody asked for."""
    link = answer.headers.get("link")
    if link is None:
        return None
    last = parse_qs(link.partition("?")[2].partition(">")[0])["last"][0]
    query = urlencode({"last": last, "n": request.query_params.get("n", PAGE), "orderby": ""})
    answer.headers["link"] = f'<{request.url.path}?{query}>; rel="next"'
    return answer
