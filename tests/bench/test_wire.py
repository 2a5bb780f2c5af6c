"""The counting forwarder: what HTTP/1.1 says is told apart, in whatever pieces it comes."""

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.wire import Conversation, Forwarder, Meter, Tally

PULL = (
    b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n"
    b"HEAD /v2/edge/app/manifests/v1 HTTP/1.1\r\nHost: a\r\n\r\n"
    b"GET /v2/edge/app/manifests/sha256:ab HTTP/1.1\r\nHost: a\r\n\r\n"
    b"GET /v2/edge/app/blobs/sha256:cd HTTP/1.1\r\nHost: a\r\n\r\n"
    b"GET /v2/edge/app/blobs/sha256:ef HTTP/1.1\r\nHost: a\r\n\r\n"
    b"GET /v2/edge/app/referrers/sha256:cd HTTP/1.1\r\nHost: a\r\n\r\n"
)
PULL_ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"  # of a HEAD: nothing follows
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"
    b"HTTP/1.1 206 Partial Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\nyou\r\n0\r\n\r\n"
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
)
PUSH = (
    b"POST /v2/edge/app/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    b"PUT /v2/edge/app/blobs/uploads/1?digest=sha256:ab HTTP/1.1\r\nExpect: 100-continue\r\n"
    b"Content-Length: 6\r\n\r\nlayers"
    b"PATCH /v2/edge/app/blobs/uploads/2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmore\r\n0\r\n\r\n"
    b"PUT /v2/edge/app/manifests/v1 HTTP/1.1\r\nContent-Length: 3\r\n\r\n{ }"
)
PUSH_ANSWERS = (
    b"HTTP/1.1 202 Accepted\r\nLocation: http://a/1\r\nContent-Length: 0\r\n\r\n"
    b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
    b"HTTP/1.1 204 No Content\r\n\r\n"
    b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
)


@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_a_pull_is_read_in_any_pieces(piece: int) -> None:
    """Requests are counted by kind; of the bytes, only bodies of blobs count as blobs."""
    tally = _read(PULL, PULL_ANSWERS, piece)

    assert tally.requests == {
        "GET ping": 1,
        "HEAD manifest by tag": 1,
        "GET manifest by digest": 1,
        "GET blob": 2,
        "GET signature": 1,
    }
    assert (tally.up, tally.down) == (len(PULL), len(PULL_ANSWERS))
    assert (tally.blobs_up, tally.blobs_down) == (0, 18)


@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_a_push_is_read_in_any_pieces(piece: int) -> None:
    """Bodies of uploads count as blobs, manifests do not, and an interim answer is not taken for the answer."""
    tally = _read(PUSH, PUSH_ANSWERS, piece)

    assert tally.requests == {"POST upload": 1, "PUT upload": 1, "PATCH upload": 1, "PUT manifest by tag": 1}
    assert (tally.blobs_up, tally.blobs_down) == (10, 0)


def test_taking_a_tally_begins_a_new_one() -> None:
    """What went through is told once."""
    meter = Meter()
    Conversation(meter).sent(PULL)

    assert meter.take().up == len(PULL)
    assert meter.take().up == 0


def test_bytes_and_host_pass_through_as_they_are(echo: str) -> None:
    """A client that talks to the forwarder gets what the server says, and the server sees the forwarder's name."""
    forwarder = Forwarder(echo)
    forwarder.start()
    connection = http.client.HTTPConnection(forwarder.host, timeout=10)
    connection.request("PUT", "/v2/edge/app/blobs/uploads/1", body=b"x" * 1_000_000)
    answer = connection.getresponse().read()
    connection.close()
    forwarder.close()
    tally = forwarder.meter.take()

    assert answer == f"{forwarder.host} sent 1000000".encode()
    assert (tally.blobs_up, tally.blobs_down) == (1_000_000, 0)


@pytest.fixture
def echo() -> Iterator[str]:
    """A server that says which Host it was called, and how much it was sent."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            length = len(self.rfile.read(int(self.headers["Content-Length"])))
            answer = f"{self.headers['Host']} sent {length}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def _read(sent: bytes, received: bytes, piece: int) -> Tally:
    meter = Meter()
    conversation = Conversation(meter)
    for start in range(0, len(sent), piece):
        conversation.sent(sent[start : start + piece])
    for start in range(0, len(received), piece):
        conversation.received(received[start : start + piece])
    return meter.take()
