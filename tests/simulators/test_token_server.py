"""The token server of the registry simulator covers what it says: tests of authentication lean on that."""

import base64
import re
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from edgelift.demo.content import make_image
from edgelift.serve.access import Login
from tests.images import load_image
from tests.simulators.registry import RegistrySimulator
from tests.simulators.token_server import TokenServer

IMAGE = make_image("team/app")
LAYER = IMAGE.blobs[0]
CONTENT = IMAGE.contents[LAYER.digest]
BLOB_PATH = f"/v2/team/app/blobs/{LAYER.digest}"
MANIFEST_PATH = "/v2/team/app/manifests/1.0"
UPLOADS = "/v2/team/app/blobs/uploads/"
LOGIN = Login("courier", "made up")


class _TokenClient(httpx.Auth):
    """A client that does as it is told by a challenge, with the scope that it asks for."""

    def __init__(self, login: tuple[str, str] | None, scope: str | None = None) -> None:
        encoded = base64.b64encode(":".join(login or ("", "")).encode()).decode()
        self._headers = {"Authorization": f"Basic {encoded}"} if login else {}
        self._scope = scope

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Ask, get a token, ask again."""
        refused = yield request
        if refused.status_code != 401:
            return
        given = dict(re.findall(r'(\w+)="([^"]*)"', refused.headers["www-authenticate"]))
        scopes = [self._scope] if self._scope else given.get("scope", "").split()
        answer = yield httpx.Request("GET", given["realm"], params={"scope": scopes}, headers=self._headers)
        if answer.status_code == 200:
            token = answer.json().get("token") or answer.json().get("access_token")
            request.headers["Authorization"] = f"Bearer {token}"
            yield request

    requires_response_body = True


LOGGED_IN = (LOGIN.username, LOGIN.password)


def _with_tokens(root: Path, tokens: TokenServer, auth: httpx.Auth) -> tuple[RegistrySimulator, httpx.Client]:
    sim = RegistrySimulator(root, tokens=tokens)
    sim.put_image(IMAGE)
    return sim, httpx.Client(base_url=sim.url, trust_env=False, auth=auth, timeout=20)


@pytest.mark.parametrize("member", ["token", "access_token"])
def test_tokens(tmp_path: Path, member: str) -> None:
    """Those who ask for the challenged scopes read, push and mount; each request for a token is on record."""
    tokens = TokenServer(LOGIN, member=member)
    sim, client = _with_tokens(tmp_path, tokens, _TokenClient(LOGGED_IN))
    with sim, client:
        assert client.get("/v2/").status_code == 200
        assert client.get(BLOB_PATH).content == CONTENT
        load_image("", "team/copy", "1.0", IMAGE, client=client)
        assert client.get("/v2/_catalog").status_code == 200
        mounted = client.post("/v2/team/x/blobs/uploads/", params={"mount": LAYER.digest, "from": "team/app"})
        assert mounted.status_code == 201
        assert client.delete("/v2/team/copy/manifests/1.0").status_code == 202
    expected = [
        ["repository:team/app:pull"],
        ["repository:team/copy:pull,push"],
        ["registry:catalog:*"],
        ["repository:team/app:pull", "repository:team/x:pull,push"],
        ["repository:team/copy:delete"],
    ]
    assert [True] * len(expected) == [each in tokens.requested for each in expected]


REFUSED = {
    "nobody": (None, None, "/v2/team/app/manifests/1.0"),
    "wrong password": (("courier", "wrong"), None, "/v2/team/app/manifests/1.0"),
    "token for another repository": (LOGGED_IN, "repository:team/other:pull", "/v2/team/app/manifests/1.0"),
    "token for another action": (LOGGED_IN, "repository:team/app:push", "/v2/team/app/manifests/1.0"),
    "token for a repository": (LOGGED_IN, "repository:team/app:pull", "/v2/_catalog"),
}


@pytest.mark.parametrize(("login", "scope", "path"), REFUSED.values(), ids=REFUSED)
def test_tokens_refuse(tmp_path: Path, login: tuple[str, str] | None, scope: str | None, path: str) -> None:
    """Without a token that covers the request there is 401."""
    sim, client = _with_tokens(tmp_path, TokenServer(LOGIN), _TokenClient(login, scope))
    with sim, client:
        answer = client.get(path)
        assert answer.status_code == 401
    if scope is not None:
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_anonymous_tokens(tmp_path: Path) -> None:
    """Where anonymous tokens are given they are good for reading, not for pushing."""
    sim, client = _with_tokens(tmp_path, TokenServer(LOGIN, anonymous=True), _TokenClient(None))
    with sim, client:
        assert [client.get(MANIFEST_PATH).status_code, client.post(UPLOADS).status_code] == [200, 401]


@pytest.mark.parametrize("way", ["time", "revoked"])
def test_tokens_end(tmp_path: Path, way: str) -> None:
    """A token is worth nothing after its time, or once it is revoked; the challenge says that it was the token."""
    tokens = TokenServer(expires_in=0.0 if way == "time" else 300.0)
    sim, client = _with_tokens(tmp_path, tokens, _TokenClient(None))
    with sim, client:
        given = client.get(f"{sim.url}/token", params={"scope": "repository:team/app:pull"}, auth=None).json()["token"]
        if way == "revoked":
            tokens.revoke_all()
        refused = client.get(MANIFEST_PATH, headers={"Authorization": f"Bearer {given}"}, auth=None)
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]


def test_withheld_rights(tmp_path: Path) -> None:
    """A token server that gives less than was asked says nothing: only the registry's refusal tells."""
    tokens = TokenServer()
    tokens.withhold("team/app", "push")
    sim, client = _with_tokens(tmp_path, tokens, _TokenClient(None))
    with sim, client:
        assert [client.get(MANIFEST_PATH).status_code, client.post(UPLOADS).status_code] == [200, 401]
        assert sim.count("GET", "^/token", status=200) == 2
