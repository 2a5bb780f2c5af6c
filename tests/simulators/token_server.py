"""Bearer tokens in front of the registry simulator, as the Distribution project specifies them (spec/auth)."""

import re
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from edgelift.serve.access import Login

SERVICE = "registry.simulated"
Access = tuple[str, str]  # what is wanted, as `repository:NAME` or `registry:catalog`, and one action
_REPOSITORY = re.compile(r"/v2/(?P<name>.+)/(?:manifests|blobs|tags|referrers)/")


@dataclass
class TokenServer:
    """Issues tokens at `path` of the registry's own host, and lets through only what they cover.

    `login` is who gets tokens; without one, and with `anonymous`, nobody has to say who they are (tokens to pull).
    Tokens end after `expires_in` seconds, told to the client as `announced`, where the two are to differ.
    """

    login: Login | None = None
    anonymous: bool = False
    expires_in: float = 300.0
    announced: int | None = None
    realm: str | None = None  # None: the registry's own host
    path: str = "/token"
    member: str = "token"  # the other name in use is access_token
    requested: list[list[str]] = field(default_factory=list)  # the scopes of every request for a token
    _tokens: dict[str, tuple[float, frozenset[Access]]] = field(default_factory=dict)
    _withheld: list[tuple[re.Pattern[str], str]] = field(default_factory=list)

    def withhold(self, repository: str, action: str) -> None:
        """Leave `action` out of new tokens for repositories that match; the token is given all the same."""
        self._withheld.append((re.compile(repository), action))

    def revoke_all(self) -> None:
        """Make every token that was given worthless."""
        self._tokens.clear()

    def issue(self, request: Request) -> Response:
        """The answer to a GET of the realm."""
        given = request.headers.get("authorization", "")
        scopes = request.query_params.getlist("scope")
        self.requested.append(scopes)
        is_known = self.login is None or self.login.admits(given)
        if not is_known and (given or not self.anonymous):
            return JSONResponse({"details": "incorrect username or password"}, 401)
        wanted = {access for scope in scopes for access in _parse_scope(scope)}
        granted = {each for each in wanted if (is_known or each[1] == "pull") and not self._is_withheld(each)}
        token = f"token-{len(self.requested)}"
        self._tokens[token] = (time.monotonic() + self.expires_in, frozenset(granted))
        announced = self.announced if self.announced is not None else max(int(self.expires_in), 1)
        return JSONResponse({self.member: token, "expires_in": announced})

    def refusal(self, request: Request) -> Response | None:
        """The 401 for a request whose token does not cover it; None lets it through."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        needed = _needed(request)
        expires, granted = self._tokens.get(token, (0.0, frozenset()))
        if scheme.lower() != "bearer":
            return self._challenge(request, needed, "")
        if expires < time.monotonic():
            return self._challenge(request, needed, "invalid_token")
        return None if needed <= granted else self._challenge(request, needed, "insufficient_scope")

    def _is_withheld(self, access: Access) -> bool:
        return any(pattern.search(access[0]) and action == access[1] for pattern, action in self._withheld)

    def _challenge(self, request: Request, needed: set[Access], error: str) -> Response:
        realm = self.realm or f"{request.url.scheme}://{request.url.netloc}{self.path}"
        parts = [f'realm="{realm}"', f'service="{SERVICE}"']
        if needed:
            parts.append(f'scope="{" ".join(_write_scopes(needed))}"')
        if error:
            parts.append(f'error="{error}"')
        body = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required", "detail": error}]}
        return JSONResponse(body, 401, {"WWW-Authenticate": f"Bearer {','.join(parts)}"})


class RequireToken:
    """An ASGI application: the token server, and `app` behind it."""

    def __init__(self, app: ASGIApp, tokens: TokenServer) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Issue a token, ask for one, or pass the request on."""
        request = Request(scope)
        if scope["path"] == self._tokens.path and scope["method"] == "GET":
            await self._tokens.issue(request)(scope, receive, send)
            return
        await (self._tokens.refusal(request) or self._app)(scope, receive, send)


def _parse_scope(scope: str) -> set[Access]:
    resource, _, actions = scope.rpartition(":")  # a name may hold a colon: a port
    return {(resource, action) for action in actions.split(",")}


def _write_scopes(needed: set[Access]) -> list[str]:
    resources = sorted({resource for resource, _ in needed})
    return [f"{resource}:{','.join(sorted(a for r, a in needed if r == resource))}" for resource in resources]


def _needed(request: Request) -> set[Access]:
    """The access that a request takes, as Distribution asks for it."""
    path = request.url.path
    if path == "/v2/_catalog":
        return {("registry:catalog", "*")}
    found = _REPOSITORY.match(path)
    if found is None:
        return set()
    actions = {"GET": ["pull"], "HEAD": ["pull"], "DELETE": ["delete"]}.get(request.method, ["pull", "push"])
    if request.method == "DELETE" and "/blobs/uploads/" in path:
        actions = ["pull", "push"]
    needed = {(f"repository:{found['name']}", action) for action in actions}
    query = parse_qs(request.url.query)
    if request.method == "POST" and "from" in query:
        needed.add((f"repository:{query['from'][0]}", "pull"))
    return needed
