"""The registry simulator does what its script says: tests of other things lean on that."""

import base64
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from edgelift.demo.content import SampleLayer, make_image
from edgelift.oci.digest import Digest
from edgelift.serve.access import Login
from tests.certificates import Authority
from tests.images import load_image
from tests.simulators.registry import RegistrySimulator
from tests.simulators.token_server import TokenServer

IMAGE = make_image("team/app", layers=(SampleLayer("tar", 2_000_000),))
LAYER = max(IMAGE.blobs, key=lambda blob: blob.size)
CONTENT = IMAGE.contents[LAYER.digest]
BLOB_PATH = f"/v2/team/app/blobs/{LAYER.digest}"
MANIFEST_PATH = "/v2/team/app/manifests/1.0"
UPLOADS = "/v2/team/app/blobs/uploads/"
LOGIN = Login("courier", "made up")


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A simulator with one image in it."""
    with RegistrySimulator(tmp_path) as simulator:
        simulator.put_image(IMAGE)
        yield simulator


@pytest.fixture
def client(sim: RegistrySimulator) -> Iterator[httpx.Client]:
    """A client of the simulator."""
    with httpx.Client(base_url=sim.url, trust_env=False, timeout=20) as client:
        yield client


def _raw_get(sim: RegistrySimulator, path: str) -> tuple[bytes, str]:
    """The body that arrives for a GET, as far as it comes, and how the connection ends: "RST" or "FIN"."""
    host, _, port = sim.host.partition(":")
    received = bytearray()
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {sim.host}\r\nConnection: close\r\n\r\n".encode())
        try:
            while chunk := connection.recv(65536):
                received += chunk
            end = "FIN"
        except ConnectionResetError:
            end = "RST"
    return bytes(received).partition(b"\r\n\r\n")[2], end


def test_log(sim: RegistrySimulator, client: httpx.Client) -> None:
    """Every request is logged, with its bytes both ways; what `put_image` does is no request."""
    client.get(BLOB_PATH, headers={"Range": "bytes=10-19"}, auth=("a", "b"))
    client.post(UPLOADS, params={"digest": LAYER.digest}, content=CONTENT)
    got, posted = sim.requests
    assert ("GET", BLOB_PATH, 206, 10, 0, True) == (
        *(got.method, got.path, got.status, got.sent, got.received),
        got.had_authorization,
    )
    assert ("POST", UPLOADS, 201, 0, len(CONTENT), False) == (
        *(posted.method, posted.path, posted.status, posted.sent, posted.received),
        posted.had_authorization,
    )
    assert ("bytes=10-19", f"digest={LAYER.digest.replace(':', '%3A')}") == (got.headers["range"], posted.query)
    assert [1, 1, 2, 0] == [
        *(sim.count("GET"), sim.count(path="uploads"), sim.count(), sim.count("GET", status=404)),
    ]


def test_fail(sim: RegistrySimulator, client: httpx.Client) -> None:
    """`fail` strikes the requests that match, after `skip` and as often as it is told, and no others."""
    sim.fail("GET", "/manifests/", status=429, retry_after=7, times=2, skip=1)
    answers = [client.get(MANIFEST_PATH) for _ in range(4)]
    assert [200, 429, 429, 200] == [each.status_code for each in answers]
    assert "7" == answers[1].headers["retry-after"]
    assert "TOOMANYREQUESTS" == answers[1].json()["errors"][0]["code"]
    sim.fail("GET", "/manifests/", times=None)
    assert [200, 200] == [client.head(MANIFEST_PATH).status_code, client.get(BLOB_PATH).status_code]
    assert [503] * 5 == [client.get(MANIFEST_PATH).status_code for _ in range(5)]
    sim.heal()
    assert 200 == client.get(MANIFEST_PATH).status_code


def test_fail_during_an_upload(sim: RegistrySimulator, client: httpx.Client) -> None:
    """A failure that comes before the body is read leaves a connection that can be used again."""
    sim.fail("POST", "/uploads/", status=500)
    answers = [client.post(UPLOADS, params={"digest": LAYER.digest}, content=CONTENT).status_code for _ in range(2)]
    assert [500, 201] == answers


@pytest.mark.parametrize(("fault", "end"), [("cut", "RST"), ("truncate", "FIN")])
@pytest.mark.parametrize("after", [0, 1, 300_000, 1_999_999])
def test_cut_download(sim: RegistrySimulator, fault: str, end: str, after: int) -> None:
    """Exactly so many bytes arrive before the connection ends, once; the log says so too."""
    getattr(sim, fault)(path=LAYER.digest, after_bytes=after)
    assert (CONTENT[:after], end) == _raw_get(sim, BLOB_PATH)
    assert (CONTENT, "FIN") == _raw_get(sim, BLOB_PATH)
    assert [after, len(CONTENT)] == [each.sent for each in sim.requests]


def test_cut_behind_the_end(sim: RegistrySimulator) -> None:
    """A body that is shorter than where it was to be cut comes whole, and does not use up the fault."""
    sim.cut(after_bytes=100_000)
    config = IMAGE.blobs[-1]
    assert config.size < 100_000
    assert "FIN" == _raw_get(sim, f"/v2/team/app/blobs/{config.digest}")[1]
    assert (CONTENT[:100_000], "RST") == _raw_get(sim, BLOB_PATH)


def test_cut_upload(sim: RegistrySimulator, client: httpx.Client) -> None:
    """An upload is cut after so many bytes have come; what came stays, and can be continued at once."""
    sim.cut("PATCH", after_bytes=700_001)
    location = client.post(UPLOADS).headers["location"]
    with pytest.raises(httpx.TransportError):
        client.patch(location, content=CONTENT)
    assert "0-700000" == client.get(location).headers["range"]
    done = client.put(location, params={"digest": LAYER.digest}, content=CONTENT[700_001:])
    assert 201 == done.status_code


def test_flip(sim: RegistrySimulator, client: httpx.Client) -> None:
    """One bit is wrong, the length is right, and the next time all is right."""
    sim.flip(LAYER.digest, at_byte=1_234_567)
    wrong, right = client.get(BLOB_PATH).content, client.get(BLOB_PATH).content
    assert [1_234_567] == [at for at, pair in enumerate(zip(wrong, CONTENT, strict=True)) if pair[0] != pair[1]]
    assert CONTENT == right


@pytest.mark.parametrize("after", [None, 0, 500_000], ids=["before the headers", "before the body", "in the body"])
def test_stall(sim: RegistrySimulator, after: int | None) -> None:
    """Nothing more comes after so many bytes, until the simulator is told to go on."""
    sim.stall(path=LAYER.digest, after_bytes=after)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(_raw_get, sim, BLOB_PATH)
        deadline = time.monotonic() + 20
        while not (sim.requests and sim.requests[0].sent == (after or 0)) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert not answer.done()
        assert (after or 0) == sim.requests[0].sent
        sim.release()
        assert (CONTENT, "FIN") == answer.result()


def test_stall_for_a_time(sim: RegistrySimulator, client: httpx.Client) -> None:
    """A stall with an end goes on by itself; a client with less patience gives up before."""
    sim.stall(path=LAYER.digest, after_bytes=0, seconds=0.5, times=2)
    with pytest.raises(httpx.ReadTimeout):
        client.get(BLOB_PATH, timeout=0.1)
    assert CONTENT == client.get(BLOB_PATH).content


def test_stalled_simulator_ends(tmp_path: Path) -> None:
    """A simulator with a stalled request can be closed."""
    with RegistrySimulator(tmp_path) as simulator:
        simulator.put_image(IMAGE)
        simulator.stall(path=LAYER.digest, after_bytes=10)
        reader = threading.Thread(target=_raw_get, args=(simulator, BLOB_PATH))
        reader.start()
        while not simulator.requests:
            time.sleep(0.01)
    reader.join(timeout=20)
    assert not reader.is_alive()


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_lose_response(sim: RegistrySimulator, client: httpx.Client, method: str) -> None:
    """The work is done, and the client learns nothing of it."""
    blob = b"some content"
    digest = Digest.of(blob)
    address = UPLOADS if method == "POST" else client.post(UPLOADS).headers["location"]
    sim.lose_response(method, "/uploads/")
    with pytest.raises(httpx.TransportError):
        client.request(method, address, params={"digest": digest}, content=blob)
    assert blob == client.get(f"/v2/team/app/blobs/{digest}").content
    assert [None] == [each.status for each in sim.requests if each.method == method and each.received == len(blob)]


def test_reply(sim: RegistrySimulator, client: httpx.Client) -> None:
    """A test can put any answer into the registry's mouth."""
    sim.reply("GET", "/blobs/", status=206, headers={"Content-Range": "bytes 5-9/10"}, body=b"56789")
    answers = [client.get(BLOB_PATH) for _ in range(2)]
    assert [(206, b"56789"), (200, CONTENT)] == [(each.status_code, each.content) for each in answers]


def test_deny(sim: RegistrySimulator, client: httpx.Client) -> None:
    """What is denied stays denied, and the rest does not."""
    sim.deny("/_catalog$")
    answers = [client.get(path) for path in ("/v2/_catalog", "/v2/_catalog", "/v2/team/app/tags/list")]
    assert [403, 403, 200] == [each.status_code for each in answers]


def test_ignore_ranges(sim: RegistrySimulator, client: httpx.Client) -> None:
    """A registry that does not do ranges sends all, with 200."""
    sim.ignore_ranges()
    answer = client.get(BLOB_PATH, headers={"Range": "bytes=5-"})
    assert (200, CONTENT) == (answer.status_code, answer.content)


def test_set_headers(sim: RegistrySimulator, client: httpx.Client) -> None:
    """Headers can be made to lie, and to be missing."""
    sim.set_headers({"Docker-Content-Digest": "sha256:lie", "Content-Type": ""}, "GET", "/manifests/")
    headers = client.get(MANIFEST_PATH).headers
    assert ("sha256:lie", False) == (headers["docker-content-digest"], "content-type" in headers)
    assert IMAGE.root.digest == client.head(MANIFEST_PATH).headers["docker-content-digest"]


def test_head_lies(sim: RegistrySimulator, client: httpx.Client) -> None:
    """HEAD says that a blob is there which GET does not find; a manifest that needs it is refused."""
    absent = Digest.of(b"absent")
    sim.head_lies(absent, 6)
    path = f"/v2/team/app/blobs/{absent}"
    headed = client.head(path)
    assert (200, "6", 404) == (headed.status_code, headed.headers["content-length"], client.get(path).status_code)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_move_tag(sim: RegistrySimulator, client: httpx.Client, after: int) -> None:
    """A tag moves right away, or between two requests."""
    other = make_image("team/app", tag="2.0", seed="other")
    sim.put_image(other)
    sim.move_tag("team/app", "1.0", other.root.digest, after_requests=after)
    seen = [client.get(MANIFEST_PATH).headers["docker-content-digest"] for _ in range(4)]
    assert [IMAGE.root.digest] * after + [other.root.digest] * (4 - after) == seen


def test_redirect(sim: RegistrySimulator, client: httpx.Client) -> None:
    """Blobs come from another host, ranges included; HEAD and manifests do not."""
    storage = sim.redirect_blobs()
    redirected = client.get(BLOB_PATH)
    location = redirected.headers["location"]
    assert (307, storage.host) == (redirected.status_code, httpx.URL(location).netloc.decode())
    assert storage.host != sim.host
    answer = client.get(BLOB_PATH, headers={"Range": "bytes=5-9"}, follow_redirects=True)
    assert (206, CONTENT[5:10]) == (answer.status_code, answer.content)
    assert [storage.host] == [each.host for each in sim.requests if each.status == 206]
    assert [200, 200] == [client.head(BLOB_PATH).status_code, client.get(MANIFEST_PATH).status_code]


def test_storage_refuses_credentials(sim: RegistrySimulator, client: httpx.Client) -> None:
    """The storage refuses who brings credentials beside the signature, and a signature it did not make."""
    sim.redirect_blobs()
    location = client.get(BLOB_PATH).headers["location"]
    with httpx.Client(trust_env=False) as other:
        answers = [other.get(location, auth=("a", "b")), other.get(location[:-4] + "0000"), other.get(location)]
    assert [400, 403, 200] == [each.status_code for each in answers]


def test_single_use_of_signatures(sim: RegistrySimulator, client: httpx.Client) -> None:
    """An address can be made good for one request only."""
    sim.redirect_blobs(single_use=True)
    location = client.get(BLOB_PATH).headers["location"]
    assert [200, 403] == [httpx.get(location, trust_env=False).status_code for _ in range(2)]


def test_faults_at_the_storage(sim: RegistrySimulator, client: httpx.Client) -> None:
    """Rules reach the storage as well."""
    sim.cut(path="^/storage/", after_bytes=5000)
    sim.redirect_blobs()
    with pytest.raises(httpx.TransportError):
        client.get(BLOB_PATH, follow_redirects=True)
    assert CONTENT == client.get(BLOB_PATH, follow_redirects=True).content


def test_login(tmp_path: Path) -> None:
    """With a login, nobody else gets in."""
    with RegistrySimulator(tmp_path, login=LOGIN) as sim:
        answers = [httpx.get(f"{sim.url}/v2/", auth=auth, trust_env=False) for auth in (None, ("courier", "made up"))]
    assert [401, 200] == [each.status_code for each in answers]


def test_tls(tmp_path: Path) -> None:
    """With a certificate, faults strike under TLS too."""
    authority = Authority(tmp_path)
    with RegistrySimulator(tmp_path / "registry", certificate=authority.issue("127.0.0.1")) as sim:
        sim.put_image(IMAGE)
        sim.cut(after_bytes=5000)
        trust = ssl.create_default_context(cafile=str(authority.ca_cert))
        with httpx.Client(base_url=sim.url, verify=trust, trust_env=False) as client:
            with pytest.raises(httpx.TransportError):
                client.get(BLOB_PATH)
            assert CONTENT == client.get(BLOB_PATH).content


class _TokenClient(httpx.Auth):
    """A client that does as it is told by a challenge, with the scope that it asks for."""

    def __init__(self, login: tuple[str, str] | None, scope: str | None = None) -> None:
        encoded = base64.b64encode(":".join(login or ("", "")).encode()).decode()
        self._headers = {"Authorization": f"Basic {encoded}"} if login else {}
        self._scope = scope

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:
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
        assert 200 == client.get("/v2/").status_code
        assert CONTENT == client.get(BLOB_PATH).content
        load_image("", "team/copy", "1.0", IMAGE, client=client)
        assert 200 == client.get("/v2/_catalog").status_code
        mounted = client.post("/v2/team/x/blobs/uploads/", params={"mount": LAYER.digest, "from": "team/app"})
        assert 201 == mounted.status_code
        assert 202 == client.delete("/v2/team/copy/manifests/1.0").status_code
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
        assert 401 == answer.status_code
    if scope is not None:
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_anonymous_tokens(tmp_path: Path) -> None:
    """Where anonymous tokens are given they are good for reading, not for pushing."""
    sim, client = _with_tokens(tmp_path, TokenServer(LOGIN, anonymous=True), _TokenClient(None))
    with sim, client:
        assert [200, 401] == [client.get(MANIFEST_PATH).status_code, client.post(UPLOADS).status_code]


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
    assert 401 == refused.status_code
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]


def test_withheld_rights(tmp_path: Path) -> None:
    """A token server that gives less than was asked says nothing: only the registry's refusal tells."""
    tokens = TokenServer()
    tokens.withhold("team/app", "push")
    sim, client = _with_tokens(tmp_path, tokens, _TokenClient(None))
    with sim, client:
        assert [200, 401] == [client.get(MANIFEST_PATH).status_code, client.post(UPLOADS).status_code]
        assert 1 == sim.count("GET", "^/token$", status=200) - 1
