"""More than anybody needs: bodies, lists and claims without end, and bodies that would unfold to more."""

import gzip
import json
import socket
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgelift.demo.content import make_image
from edgelift.errors import EdgeliftError, IntegrityError, RegistryError, UnreachableError
from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_MANIFEST
from edgelift.oci.registry import Registry
from edgelift.transport import TransportSettings
from tests.oci.clocks import Hands
from tests.security.canaries import LOGIN
from tests.simulators.http_faults import Answer, HttpFaults, Request

GIB, MIB = 2**30, 2**20
ON_THE_WAY = 8 * MIB  # what the kernel takes from a server although nobody reads it
APP = make_image("team/app")
BLOB = APP.blobs[-1]
CONTENT = APP.contents[BLOB.digest]
HUGE = Descriptor(media_type="application/octet-stream", digest=Digest.of(b"huge"), size=2**62)


def client_of(host: str) -> Registry:
    """A client with a login, that never waits."""
    settings = TransportSettings(plain_http=frozenset({host}), idle_timeout=5)
    return Registry(host, settings, Credentials(lambda *_: LOGIN), clock=Hands().clock)


@contextmanager
def memory_below(limit: int) -> Iterator[None]:
    """Fails where Python holds more than `limit` bytes at any time beyond what it held before."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit


@dataclass
class Flood(HttpFaults):
    """Answers as it is told, then goes on for a gibibyte; `taken` is the most that went out over one connection."""

    taken: int = 0

    def _serve(self, connection: socket.socket, number: int) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        sent = 0
        with suppress(OSError), connection.makefile("rb") as reader:
            request = self._read(reader, number)
            if request is not None:
                self.requests.append(request)
                answer = self.respond(request)
                connection.sendall(answer.to_bytes(request.method))
                while answer.length is None and sent < GIB:
                    connection.sendall(chunk)
                    sent += len(chunk)
                    self.taken = max(self.taken, sent)
        connection.close()


def endless(status: int, *headers: tuple[str, str]) -> Answer:
    """The head of an answer whose body does not end."""
    return Answer(status, (*headers, ("Transfer-Encoding", "chunked")), length=None)


def _token(answer: Answer) -> Callable[[Request], Answer]:
    def respond(request: Request) -> Answer:
        if request.target.startswith("/token"):
            return answer
        return Answer(401, (("WWW-Authenticate", f'Bearer realm="http://{request.headers["host"]}/token"'),))

    return respond


def _upload(answer: Answer, method: str = "PUT") -> Callable[[Request], Answer]:
    def respond(request: Request) -> Answer:
        if request.method == method:
            return answer
        return Answer(404 if request.method == "HEAD" else 202, (("Location", "/v2/u/1"),))

    return respond


def read_manifest(registry: Registry) -> object:
    """Read a manifest."""
    return registry.read_manifest("team/app", "1.0")


def read_blob(registry: Registry) -> object:
    """Read a blob."""
    return list(registry.read_blob("team/app", BLOB).chunks)


def upload(registry: Registry) -> object:
    """Upload a blob."""
    return registry.upload_blob("team/app", BLOB, lambda: iter([CONTENT]))


def list_tags(registry: Registry) -> object:
    """List tags."""
    return registry.list_tags("team/app")


Ask = Callable[[Registry], object]
LARGE_ANSWERS: dict[str, tuple[Callable[[Request], Answer], Ask, int]] = {
    "a manifest": (lambda _: endless(200, ("Content-Type", OCI_MANIFEST)), read_manifest, 8 * MIB),
    "an error": (lambda _: endless(404), read_manifest, 64 * 1024),
    "an error worth a retry": (lambda _: endless(503), read_manifest, 64 * 1024),
    "a refusal": (lambda _: endless(401, ("WWW-Authenticate", "Basic realm=x")), read_manifest, 64 * 1024),
    "a redirect": (lambda _: endless(307, ("Location", "/v2/again")), read_manifest, 64 * 1024),
    "a token": (_token(endless(200)), read_manifest, 64 * 1024),
    "the error of a token server": (_token(endless(400)), read_manifest, 64 * 1024),
    "a blob": (lambda _: endless(200), read_blob, BLOB.size),
    "an error in place of a blob": (lambda _: endless(403), read_blob, 64 * 1024),
    "a list of tags": (lambda _: endless(200), list_tags, 8 * MIB),
    "the answer to a wish to upload": (_upload(endless(202, ("Location", "/v2/u/1")), "POST"), upload, 64 * 1024),
    "the answer to an upload": (_upload(endless(201)), upload, 64 * 1024),
    "the refusal of an upload": (_upload(endless(400)), upload, 64 * 1024),
}


@pytest.mark.parametrize(("respond", "ask", "limit"), LARGE_ANSWERS.values(), ids=LARGE_ANSWERS)
def test_an_endless_answer_is_left_where_it_is(respond: Callable[[Request], Answer], ask: Ask, limit: int) -> None:
    """Of a gibibyte, hardly more than the limit is taken, and the rest is neither waited for nor kept."""
    with Flood(respond) as server, memory_below(limit * 2 + 8 * MIB), pytest.raises(EdgeliftError):
        ask(client_of(server.host))

    assert server.received
    assert server.taken < limit + ON_THE_WAY


# Claims


def test_a_blob_that_is_said_to_be_enormous_takes_no_memory() -> None:
    """A size of 4 EiB is believed by nobody: another one announced, or a body that ends, is an error."""
    with HttpFaults(lambda _: Answer(200, body=b"little")) as server, pytest.raises(IntegrityError, match="6 bytes"):
        client_of(server.host).read_blob("team/app", HUGE)
    answer = Answer(200, body=b"little", length=HUGE.size, ending="close")
    with HttpFaults(lambda _: answer) as server, pytest.raises(UnreachableError):
        list(client_of(server.host).read_blob("team/app", HUGE).chunks)


def test_the_upload_of_a_blob_that_is_said_to_be_enormous_fails_as_ours() -> None:
    """No arithmetic with such a size ends in another exception: the source has no such blob."""

    def nothing() -> Iterator[bytes]:
        yield b""
        raise IntegrityError("the blob is not as long as that")

    with HttpFaults(_upload(Answer(201))) as server, pytest.raises(IntegrityError, match="not as long"):
        client_of(server.host).upload_blob("team/app", HUGE, nothing)


# Lists


def _endless_tags() -> Callable[[Request], Answer]:
    pages = iter(range(10**9))

    def respond(request: Request) -> Answer:
        number = next(pages)
        link = f'</v2/team/app/tags/list?last=v{number}>; rel="next"'
        return Answer(200, (("Link", link),), json.dumps({"tags": [f"v{number}"]}).encode())

    return respond


def test_a_chain_of_pages_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that names one more page, with one more tag, for ever, is given up after a number of pages."""
    monkeypatch.setattr("edgelift.oci.listing.MAX_PAGES", 40)
    with HttpFaults(_endless_tags()) as server, pytest.raises(RegistryError, match="does not end"):
        list_tags(client_of(server.host))

    assert len(server.requests) == 40


def test_a_page_that_names_itself_ends_although_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same address may give new tags each time; the number of pages counts, not their addresses."""
    monkeypatch.setattr("edgelift.oci.listing.MAX_PAGES", 40)
    count = iter(range(10**9))
    link = (("Link", '</v2/team/app/tags/list?n=100>; rel="next"'),)

    def respond(request: Request) -> Answer:
        return Answer(200, link, b'{"tags":["v%d"]}' % next(count))

    with HttpFaults(respond) as server, pytest.raises(RegistryError, match="does not end"):
        list_tags(client_of(server.host))

    assert len(server.requests) == 40


def test_a_list_of_too_many_tags_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of names is limited as well, however few pages they come in."""
    monkeypatch.setattr("edgelift.oci.listing.MAX_NAMES", 5000)
    pages = iter(range(10**9))

    def respond(request: Request) -> Answer:
        number = next(pages)
        link = f'</v2/team/app/tags/list?last={number}>; rel="next"'
        return Answer(200, (("Link", link),), json.dumps({"tags": [f"v{number}-{n}" for n in range(1000)]}).encode())

    with HttpFaults(respond) as server, pytest.raises(RegistryError, match="does not end"):
        list_tags(client_of(server.host))

    assert len(server.requests) == 6


def test_names_that_no_registry_takes_are_not_collected() -> None:
    """A page of one name of megabytes, again and again, would fill the memory with names that nobody can use."""
    pages = iter(range(8))

    def respond(request: Request) -> Answer:
        number = next(pages, 8)
        link = f'</v2/_catalog?last={number}>; rel="next"' if number < 8 else ""
        names = [f"team/app-{number}", "a" * (7 * MIB) + str(number)]
        return Answer(200, (("Link", link),) if link else (), json.dumps({"repositories": names}).encode())

    with HttpFaults(respond) as server:
        listed = client_of(server.host).list_repositories()

    assert listed == tuple(f"team/app-{number}" for number in range(9))


# Bodies that unfold

BOMB = gzip.compress(bytes(64 * MIB), 9)
CODINGS = {"gzip": BOMB, "deflate": zlib.compress(bytes(64 * MIB), 9), "br": BOMB, "zstd": BOMB, "gzip, identity": BOMB}


def _bomb(status: int, coding: str, *headers: tuple[str, str]) -> Answer:
    return Answer(status, (*headers, ("Content-Encoding", coding)), CODINGS[coding])


BOMBS: dict[str, tuple[Callable[[str], Callable[[Request], Answer]], Ask]] = {
    "a manifest": (lambda coding: lambda _: _bomb(200, coding, ("Content-Type", OCI_MANIFEST)), read_manifest),
    "a blob": (lambda coding: lambda _: _bomb(200, coding), read_blob),
    "a token": (lambda coding: _token(_bomb(200, coding)), read_manifest),
    "a redirect": (lambda coding: lambda _: _bomb(307, coding, ("Location", "/v2/again")), read_manifest),
    "an error": (lambda coding: lambda _: _bomb(404, coding), read_manifest),
    "a list of tags": (lambda coding: lambda _: _bomb(200, coding), list_tags),
    "the answer to an upload": (lambda coding: _upload(_bomb(201, coding)), upload),
}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(("respond", "ask"), BOMBS.values(), ids=BOMBS)
def test_no_body_is_unfolded(respond: Callable[[str], Callable[[Request], Answer]], ask: Ask, coding: str) -> None:
    """A compressed answer is refused for its header; 64 KiB that would become 64 MiB stay what they are."""
    with (
        HttpFaults(respond(coding)) as server,
        memory_below(16 * MIB),
        pytest.raises(UnreachableError, match="a compressed answer") as caught,
    ):
        ask(client_of(server.host))

    assert not caught.value.retryable


def test_a_transfer_coding_is_not_unfolded_either(tmp_path: Path) -> None:
    """`Transfer-Encoding: gzip` is no way around it: what comes is taken as it is, and is no manifest."""
    raw = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + b"%x\r\n" % len(BOMB) + BOMB + b"\r\n0\r\n\r\n"
    )
    with (
        HttpFaults(lambda _: Answer(raw=raw, ending="close")) as server,
        memory_below(16 * MIB),
        pytest.raises(EdgeliftError),
    ):
        read_manifest(client_of(server.host))
