"""The registry simulator does what its script says: tests of other things lean on that."""

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
from tests.simulators.registry import RegistrySimulator

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
    assert (
        *(got.method, got.path, got.status, got.sent, got.received),
        got.had_authorization,
    ) == ("GET", BLOB_PATH, 206, 10, 0, True)
    assert ("POST", UPLOADS, 201, 0, len(CONTENT), False) == (
        *(posted.method, posted.path, posted.status, posted.sent, posted.received),
        posted.had_authorization,
    )
    assert ("bytes=10-19", f"digest={LAYER.digest.replace(':', '%3A')}") == (got.headers["range"], posted.query)
    assert [
        *(sim.count("GET"), sim.count(path="uploads"), sim.count(), sim.count("GET", status=404)),
    ] == [1, 1, 2, 0]


def test_fail(sim: RegistrySimulator, client: httpx.Client) -> None:
    """`fail` strikes the requests that match, after `skip` and as often as it is told, and no others."""
    sim.fail("GET", "/manifests/", status=429, retry_after=7, times=2, skip=1)
    answers = [client.get(MANIFEST_PATH) for _ in range(4)]
    assert [each.status_code for each in answers] == [200, 429, 429, 200]
    assert answers[1].headers["retry-after"] == "7"
    assert answers[1].json()["errors"][0]["code"] == "TOOMANYREQUESTS"
    sim.fail("GET", "/manifests/", times=None)
    assert [client.head(MANIFEST_PATH).status_code, client.get(BLOB_PATH).status_code] == [200, 200]
    assert [client.get(MANIFEST_PATH).status_code for _ in range(5)] == [503] * 5
    sim.heal()
    assert client.get(MANIFEST_PATH).status_code == 200


def test_fail_during_an_upload(sim: RegistrySimulator, client: httpx.Client) -> None:
    """A failure that comes before the body is read leaves a connection that can be used again."""
    sim.fail("POST", "/uploads/", status=500)
    answers = [client.post(UPLOADS, params={"digest": LAYER.digest}, content=CONTENT).status_code for _ in range(2)]
    assert answers == [500, 201]


@pytest.mark.parametrize(("fault", "end"), [("cut", "RST"), ("truncate", "FIN")])
@pytest.mark.parametrize("after", [0, 1, 300_000, 1_999_999])
def test_cut_download(sim: RegistrySimulator, fault: str, end: str, after: int) -> None:
    """Exactly so many bytes arrive before the connection ends, once; the log says so too."""
    getattr(sim, fault)(path=LAYER.digest, after_bytes=after)
    assert (CONTENT[:after], end) == _raw_get(sim, BLOB_PATH)
    assert _raw_get(sim, BLOB_PATH) == (CONTENT, "FIN")
    assert [after, len(CONTENT)] == [each.sent for each in sim.requests]


def test_cut_behind_the_end(sim: RegistrySimulator) -> None:
    """A body that is shorter than where it was to be cut comes whole, and does not use up the fault."""
    sim.cut(after_bytes=100_000)
    config = IMAGE.blobs[-1]
    assert config.size < 100_000
    assert _raw_get(sim, f"/v2/team/app/blobs/{config.digest}")[1] == "FIN"
    assert (CONTENT[:100_000], "RST") == _raw_get(sim, BLOB_PATH)


def test_cut_upload(sim: RegistrySimulator, client: httpx.Client) -> None:
    """An upload is cut after so many bytes have come; what came stays, and can be continued at once."""
    sim.cut("PATCH", after_bytes=700_001)
    location = client.post(UPLOADS).headers["location"]
    with pytest.raises(httpx.TransportError):
        client.patch(location, content=CONTENT)
    assert client.get(location).headers["range"] == "0-700000"
    done = client.put(location, params={"digest": LAYER.digest}, content=CONTENT[700_001:])
    assert done.status_code == 201


def test_flip(sim: RegistrySimulator, client: httpx.Client) -> None:
    """One bit is wrong, the length is right, and the next time all is right."""
    sim.flip(LAYER.digest, at_byte=1_234_567)
    wrong, right = client.get(BLOB_PATH).content, client.get(BLOB_PATH).content
    assert [at for at, pair in enumerate(zip(wrong, CONTENT, strict=True)) if pair[0] != pair[1]] == [1_234_567]
    assert right == CONTENT


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
        assert answer.result() == (CONTENT, "FIN")


def test_stall_for_a_time(sim: RegistrySimulator, client: httpx.Client) -> None:
    """A stall with an end goes on by itself; a client with less patience gives up before."""
    sim.stall(path=LAYER.digest, after_bytes=0, seconds=0.5, times=2)
    with pytest.raises(httpx.ReadTimeout):
        client.get(BLOB_PATH, timeout=0.1)
    assert client.get(BLOB_PATH).content == CONTENT


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
    assert [each.status for each in sim.requests if each.method == method and each.received == len(blob)] == [None]


def test_reply(sim: RegistrySimulator, client: httpx.Client) -> None:
    """A test can put any answer into the registry's mouth."""
    sim.reply("GET", "/blobs/", status=206, headers={"Content-Range": "bytes 5-9/10"}, body=b"56789")
    answers = [client.get(BLOB_PATH) for _ in range(2)]
    assert [(each.status_code, each.content) for each in answers] == [(206, b"56789"), (200, CONTENT)]


def test_deny(sim: RegistrySimulator, client: httpx.Client) -> None:
    """What is denied stays denied, and the rest does not."""
    sim.deny("/_catalog$")
    answers = [client.get(path) for path in ("/v2/_catalog", "/v2/_catalog", "/v2/team/app/tags/list")]
    assert [each.status_code for each in answers] == [403, 403, 200]


def test_ignore_ranges(sim: RegistrySimulator, client: httpx.Client) -> None:
    """A registry that does not do ranges sends all, with 200."""
    sim.ignore_ranges()
    answer = client.get(BLOB_PATH, headers={"Range": "bytes=5-"})
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_set_headers(sim: RegistrySimulator, client: httpx.Client) -> None:
    """Headers can be made to lie, and to be missing."""
    sim.set_headers({"Docker-Content-Digest": "sha256:lie", "Content-Type": ""}, "GET", "/manifests/")
    headers = client.get(MANIFEST_PATH).headers
    assert (headers["docker-content-digest"], "content-type" in headers) == ("sha256:lie", False)
    assert IMAGE.root.digest == client.head(MANIFEST_PATH).headers["docker-content-digest"]


def test_head_lies(sim: RegistrySimulator, client: httpx.Client) -> None:
    """HEAD says that a blob is there which GET does not find."""
    absent = Digest.of(b"absent")
    sim.head_lies(absent, 6)
    path = f"/v2/team/app/blobs/{absent}"
    headed = client.head(path)
    assert (headed.status_code, headed.headers["content-length"], client.get(path).status_code) == (200, "6", 404)


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
    assert [client.head(BLOB_PATH).status_code, client.get(MANIFEST_PATH).status_code] == [200, 200]


def test_storage_refuses_credentials(sim: RegistrySimulator, client: httpx.Client) -> None:
    """The storage refuses who brings credentials beside the signature, and a signature it did not make."""
    sim.redirect_blobs()
    location = client.get(BLOB_PATH).headers["location"]
    with httpx.Client(trust_env=False) as other:
        answers = [other.get(location, auth=("a", "b")), other.get(location[:-4] + "0000"), other.get(location)]
    assert [each.status_code for each in answers] == [400, 403, 200]


def test_single_use_of_signatures(sim: RegistrySimulator, client: httpx.Client) -> None:
    """An address can be made good for one request only."""
    sim.redirect_blobs(single_use=True)
    location = client.get(BLOB_PATH).headers["location"]
    assert [httpx.get(location, trust_env=False).status_code for _ in range(2)] == [200, 403]


def test_faults_at_the_storage(sim: RegistrySimulator, client: httpx.Client) -> None:
    """Rules reach the storage as well."""
    sim.cut(path="^/storage/", after_bytes=5000)
    sim.redirect_blobs()
    with pytest.raises(httpx.TransportError):
        client.get(BLOB_PATH, follow_redirects=True)
    assert client.get(BLOB_PATH, follow_redirects=True).content == CONTENT


def test_login(tmp_path: Path) -> None:
    """With a login, nobody else gets in."""
    with RegistrySimulator(tmp_path, login=LOGIN) as sim:
        answers = [httpx.get(f"{sim.url}/v2/", auth=auth, trust_env=False) for auth in (None, ("courier", "made up"))]
    assert [each.status_code for each in answers] == [401, 200]


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
            assert client.get(BLOB_PATH).content == CONTENT
