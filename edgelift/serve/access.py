"""Basic authentication (RFC 7617) in front of a registry."""

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from edgelift.documents import read_document
from edgelift.errors import ConfigurationError
from edgelift.serve.requests import error_response


@dataclass(frozen=True)
class Login:
    """The one user name and password that a registry lets in."""

    username: str
    password: str = field(repr=False)

    def admits(self, authorization: str) -> bool:
        """Whether an Authorization header carries this login; takes as long for a wrong one."""
        scheme, _, encoded = authorization.partition(" ")
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(given, f"{self.username}:{self.password}".encode())


def read_login(path: Path) -> Login:
    """The login in a file of one line, USER:PASSWORD; raises `ConfigurationError`, which tells nothing of it."""
    try:
        username, colon, password = read_document(path).decode().rstrip("\r\n").partition(":")
    except UnicodeDecodeError:
        colon = username = password = ""
    if not (username and colon and password) or "\n" in password:
        raise ConfigurationError(f"{path} holds no login", hint="write it as one line, USER:PASSWORD")
    return Login(username, password)


class RequireLogin:
    """Lets only requests with the `login` through."""

    def __init__(self, app: ASGIApp, login: Login) -> None:
        self._app = app
        self._login = login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask for the login, or pass the request on."""
        app = self._app
        if not self._login.admits(HTTPConnection(scope).headers.get("authorization", "")):
            challenge = {"WWW-Authenticate": 'Basic realm="edgelift"'}
            app = error_response(401, "UNAUTHORIZED", "this registry asks for a login", headers=challenge)
        await app(scope, receive, send)
