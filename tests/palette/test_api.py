"""One GET to Palette: where it goes, how long it waits, when it gives up, and that the key stays inside."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from edgelift.errors import ConfigurationError, PaletteError
from edgelift.palette.api import ANSWER_LIMIT, PaletteApi, parse_endpoint

KEY = "k3y-With/Odd+Signs=9f8e7d6c"

ENDPOINTS = {
    "bare host": ("api.spectrocloud.com", ("https", "api.spectrocloud.com")),
    "scheme": ("https://api.spectrocloud.com", ("https", "api.spectrocloud.com")),
    "slash": ("https://api.spectrocloud.com/", ("https", "api.spectrocloud.com")),
    "bare host and slash": (" palette.example.com/ ", ("https", "palette.example.com")),
    "capitals": ("HTTPS://Palette.Example.Com", ("https", "palette.example.com")),
    "port": ("palette.example.com:8443", ("https", "palette.example.com:8443")),
    "console": ("https://console.spectrocloud.com", ("https", "api.spectrocloud.com")),
    "bare console": ("console.spectrocloud.com/", ("https", "api.spectrocloud.com")),
    "loopback without TLS": ("http://127.0.0.1:8080", ("http", "127.0.0.1:8080")),
    "localhost without TLS": ("http://localhost:8080/", ("http", "localhost:8080")),
    "IPv6": ("http://[::1]:8080", ("http", "[::1]:8080")),
}


@pytest.mark.parametrize(("text", "expected"), ENDPOINTS.values(), ids=ENDPOINTS)
def test_an_endpoint_may_be_written_as_people_write_it(text: str, expected: tuple[str, str]) -> None:
    """Scheme and slash are optional, and the console's address means the API's."""
    assert parse_endpoint(text) == expected


NO_ENDPOINTS = {
    "nothing": "",
    "only a scheme": "https://",
    "another scheme": "ftp://palette.example.com",
    "a password in it": "https://user:hunter2@palette.example.com",
    "a query": "palette.example.com/v1?token=hunter2",
    "a path": "https://palette.example.com/projects/hunter2",
    "a space": "palette example",
    "no port": "palette.example.com:x",
    "half an address": "http://[::1",
}


@pytest.mark.parametrize("text", NO_ENDPOINTS.values(), ids=NO_ENDPOINTS)
def test_an_endpoint_that_is_no_address_is_refused(text: str) -> None:
    """What is no address is a usage error that repeats nothing of it: it may hold a password."""
    with pytest.raises(ConfigurationError) as caught:
        parse_endpoint(text)
    assert "hunter2" not in str(caught.value)


def test_plain_http_to_another_machine_has_to_be_allowed() -> None:
    """The API key does not travel in the open unless the caller says so."""
    with pytest.raises(ConfigurationError, match="in the open"):
        parse_endpoint("http://palette.example.com")
    assert parse_endpoint("http://palette.example.com", insecure=True) == ("http", "palette.example.com")


@pytest.mark.parametrize("key", ["", "  \n", "key\nwith line", "schlüssel", "key\x00", "k" * 5000])
def test_a_key_that_cannot_be_one_is_refused_without_showing_it(key: str) -> None:
    """A wrong file given for a key is a usage error, and its content is not printed."""
    with pytest.raises(ConfigurationError) as caught:
        PaletteApi("https", "api.example.com", SecretStr(key), httpx.Client())
    assert not key.strip() or key not in str(caught.value)


class ScriptedServer:
    """Answers each request with the next of a list; what it is asked and how long the client waits is noted.

    It stands below `httpx`, where a network would: what is tested is everything above that.
    """

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.sleeps: list[float] = []
        http = httpx.Client(transport=httpx.MockTransport(self._answer))
        self.api = PaletteApi("https", "palette.example.com", SecretStr(f" {KEY}\n"), http, self.sleeps.append)

    def get(self) -> object:
        """Ask for some document."""
        return self.api.get("/v1/thing")

    def fail(self) -> PaletteError:
        """Ask for some document and give the error back."""
        with pytest.raises(PaletteError) as caught:
            self.get()
        return caught.value

    @property
    def waits(self) -> list[float]:
        """The waits in seconds, without those that only keep the pace."""
        return [seconds for seconds in self.sleeps if seconds >= 1]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def good() -> httpx.Response:
    """A document."""
    return httpx.Response(200, json={"a": [1, 1.10]})


def busy(status: int, **headers: str) -> httpx.Response:
    """A refusal that will pass."""
    return httpx.Response(status, headers=headers, text="<html>busy</html>")


def test_the_document_is_given_with_numbers_as_text() -> None:
    """JSON numbers stay what was sent, so that versions keep their zeros."""
    server = ScriptedServer(httpx.Response(200, text='{"version": 1.10, "count": 2}'))
    assert server.get() == {"version": "1.10", "count": "2"}


def test_the_key_travels_in_its_header_and_the_project_in_its_own() -> None:
    """Palette's two headers, and the key without the line end of its file."""
    server = ScriptedServer(good())
    server.api.get("/v1/thing", "65c90f2d0a1b2c3d4e5f6a00")
    headers = server.requests[0].headers
    assert (headers["ApiKey"], headers["ProjectUid"]) == (KEY, "65c90f2d0a1b2c3d4e5f6a00")


def test_without_a_project_no_project_header_is_sent() -> None:
    """No header means the tenant; an empty one would mean something else."""
    server = ScriptedServer(good())
    server.get()
    assert "projectuid" not in server.requests[0].headers


PASSING = {
    "too many requests": [busy(429)],
    "four times too many": [busy(429)] * 4,
    "bad gateway": [busy(502)],
    "unavailable": [busy(503)],
    "gateway time-out": [busy(504)],
    "one server error": [busy(500)],
    "connection reset": [httpx.ReadError("Connection reset by peer")],
    "connection closed": [httpx.RemoteProtocolError("Server disconnected")],
    "one time-out": [httpx.ReadTimeout("timed out")],
    "one after another": [busy(429), busy(502), busy(500), httpx.ReadError("reset")],
}


@pytest.mark.parametrize("answers", PASSING.values(), ids=PASSING)
def test_what_passes_is_waited_for(answers: list[httpx.Response | Exception]) -> None:
    """Each passing failure costs one wait and one more request."""
    server = ScriptedServer(*answers, good())
    assert server.get() == {"a": ["1", "1.1"]}
    assert (len(server.waits), len(server.requests)) == (len(answers), len(answers) + 1)


LASTING = {
    "too many requests": ([busy(429)] * 9, 5, True),
    "unavailable": ([busy(503)] * 9, 5, True),
    "connection resets": ([httpx.ReadError("reset")] * 9, 5, True),
    "server errors": ([busy(500)] * 9, 2, True),
    "time-outs": ([httpx.ReadTimeout("timed out")] * 9, 2, True),
    "nobody there": ([httpx.ConnectError("Connection refused")] * 9, 1, True),
    "nobody answers": ([httpx.ConnectTimeout("timed out")] * 9, 1, True),
    "wrong certificate": ([httpx.ConnectError("certificate verify failed")] * 9, 1, False),
    "bad request": ([busy(400)] * 9, 1, False),
    "forbidden": ([busy(403)] * 9, 1, False),
    "not there": ([busy(404)] * 9, 1, False),
    "redirect": ([busy(302, location="https://elsewhere.example.com")] * 9, 1, False),
}


@pytest.mark.parametrize(("answers", "requests", "retryable"), LASTING.values(), ids=LASTING)
def test_what_lasts_is_given_up(answers: list[httpx.Response], requests: int, retryable: bool) -> None:
    """Requests are bounded, and the error says whether a later call may do better."""
    server = ScriptedServer(*answers)
    error = server.fail()
    assert (len(server.requests), error.retryable) == (requests, retryable)


def test_waits_grow_with_some_chance_in_them() -> None:
    """Two seconds first, then each wait is twice to two and a half times the one before."""
    server = ScriptedServer(*[busy(429)] * 5)
    server.fail()
    first, *others = server.waits
    factors = [later / before for before, later in zip(server.waits, others, strict=False)]
    assert first == 2
    assert [2 <= factor <= 2.5 for factor in factors] == [True] * 3


def test_retry_after_in_seconds_is_honoured() -> None:
    """The server's own figure goes before ours."""
    server = ScriptedServer(busy(429, **{"Retry-After": "7"}), good())
    server.get()
    assert server.waits == [7]


def test_retry_after_as_a_date_is_honoured() -> None:
    """The other form of the header means the same."""
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    server = ScriptedServer(busy(503, **{"Retry-After": moment}), good())
    server.get()
    assert 20 < server.waits[0] <= 30


RETRY_AFTER = {
    "far too long": ("86400", 60),
    "absurdly long": ("9" * 5000, 60),
    "a far date": ("Fri, 31 Dec 2999 23:59:59 GMT", 60),
    "garbage": ("soon", 2),
    "negative": ("-5", 2),
    "empty": ("", 2),
    "no ASCII": ("²", 2),
}


@pytest.mark.parametrize(("header", "expected"), RETRY_AFTER.values(), ids=RETRY_AFTER)
def test_an_odd_retry_after_does_no_harm(header: str, expected: float) -> None:
    """No header makes the client wait for more than a minute or fail."""
    server = ScriptedServer(httpx.Response(429, headers=[(b"Retry-After", header.encode("latin-1"))]), good())
    server.get()
    assert server.waits == [expected]


def test_a_date_that_has_passed_means_at_once() -> None:
    """No wait at all where the time has come."""
    server = ScriptedServer(busy(429, **{"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), good())
    server.get()
    assert server.waits == []


def test_requests_keep_a_pace() -> None:
    """Ten requests in one go are spread over a second: Palette counts them for each address."""
    server = ScriptedServer(*(good() for _ in range(11)))
    for _ in range(11):
        server.get()
    assert 0 < server.sleeps[-1] <= 1.0


def test_an_error_says_who_said_what_to_which_question() -> None:
    """Host, path, status and Palette's own words are in the message."""
    body = {"code": "InvalidRequest", "message": "no\n such  thing", "details": "x", "ref": "y"}
    error = ScriptedServer(httpx.Response(400, json=body)).fail()
    assert (
        error.message
        == "Palette at palette.example.com answered GET /v1/thing with 400 (InvalidRequest: no such thing)"
    )
    assert error.status == 400


ODD_BODIES = {
    "HTML": b"<html>sorry</html>",
    "nothing": b"",
    "a JSON list": b"[1]",
    "a JSON text": b'"sorry"',
    "wrong types": b'{"code": 7, "message": ["x"]}',
    "not even text": bytes(range(256)),
    "deep": b"[" * 200_000,
}


@pytest.mark.parametrize("body", ODD_BODIES.values(), ids=ODD_BODIES)
def test_an_error_without_words_is_still_an_error(body: bytes) -> None:
    """Whatever stands in the body of a refusal, the status is told."""
    error = ScriptedServer(httpx.Response(400, content=body)).fail()
    assert error.message == "Palette at palette.example.com answered GET /v1/thing with 400"


@pytest.mark.parametrize("kind", ["HTML", "nothing", "not even text", "deep"])
def test_an_answer_that_is_no_json_is_an_error(kind: str) -> None:
    """A page of a proxy in place of a document is named for what it is."""
    answer = httpx.Response(200, content=ODD_BODIES[kind], headers={"Content-Type": "text/html; charset=utf-8"})
    error = ScriptedServer(answer).fail()
    assert error.message == "palette.example.com answered GET /v1/thing with text/html that is not JSON"


def test_an_endless_answer_is_cut_off() -> None:
    """What is far larger than any profile is refused before it fills the memory."""
    sent = 0

    def endless() -> object:
        nonlocal sent
        while sent < 4 * ANSWER_LIMIT:
            sent += 2**20
            yield b" " * 2**20

    error = ScriptedServer(httpx.Response(200, content=endless())).fail()
    assert ("more than 64 MiB" in error.message, sent <= ANSWER_LIMIT + 2 * 2**20) == (True, True)


ECHOES = {
    "the key": KEY,
    "the key in a sentence": f"API key {KEY} not found",
    "the key as in a URL": "k3y-With%2FOdd%2BSigns%3D9f8e7d6c",
    "the beginning of the key": f"key {KEY[:10]}… not found",
    "the end of the key": f"key …{KEY[-10:]} not found",
    "the key in capitals": KEY.upper(),
    "the key far behind": "x" * 1995 + KEY,
    "the key across the limit of shown characters": "x" * 190 + KEY,
}


@pytest.mark.parametrize("message", ECHOES.values(), ids=ECHOES)
def test_a_key_that_the_server_repeats_is_not_passed_on(message: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the error nor the log has the key, although Palette sends it back."""
    answer = httpx.Response(429, json={"code": KEY, "message": message}, headers={"Content-Type": f"text/{KEY}"})
    error = ScriptedServer(*[answer] * 9).fail()
    shown = f"{error} {error!r} {error.args} {caplog.text}"
    assert [piece.lower() in shown.lower() for piece in (KEY, KEY[:8], KEY[-8:], "Signs")] == [False] * 4


def test_a_key_in_a_content_type_is_not_passed_on() -> None:
    """Headers are the server's words too."""
    error = ScriptedServer(httpx.Response(200, content=b"<", headers={"Content-Type": f"text/{KEY}"})).fail()
    assert KEY[:8] not in str(error)


def test_a_key_in_a_connection_error_is_not_passed_on() -> None:
    """What the network library says is cleaned as well."""
    assert KEY[:8] not in str(ScriptedServer(httpx.ConnectError(f"cannot connect with {KEY}")).fail())


def test_the_key_is_in_no_representation() -> None:
    """Printing the object shows where it leads, and nothing else."""
    assert repr(ScriptedServer().api) == "PaletteApi(scheme='https', host='palette.example.com')"


@given(st.text(max_size=300))
def test_words_of_a_server_become_one_short_printable_line(words: str) -> None:
    """No control characters, no line ends and no endless texts reach a terminal."""
    error = ScriptedServer(httpx.Response(400, json={"code": "X", "message": words})).fail()
    assert error.message.isprintable()
    assert len(error.message) < 400
