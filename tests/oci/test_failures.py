"""Failures in words: what is shown of a server's text, and what each failure is told as."""

import json
from pathlib import Path

import httpx
import pytest

from edgelift.errors import DeniedError, NotFoundError, RefusedError, RegistryError, UnreachableError
from edgelift.oci.failures import Problem, parse_problem, refusal, secrets_of, unreachable
from edgelift.transport import TransportSettings, open_client
from tests.simulators.http_faults import HttpFaults
from tests.simulators.registry import RegistrySimulator


def error_body(message: object, code: object = "DENIED") -> bytes:
    """An error as the distribution specification has it."""
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


PROBLEMS = {
    "an error of the specification": (error_body("requested access is denied"), "DENIED (requested access is denied)"),
    "the one that says something": (
        b'{"errors":[{"code":"UNKNOWN"},{"code":"MANIFEST_BLOB_UNKNOWN","message":"gone"}]}',
        "MANIFEST_BLOB_UNKNOWN (gone)",
    ),
    "UNKNOWN alone": (b'{"errors":[{"code":"UNKNOWN","message":"oops"}]}', "UNKNOWN (oops)"),
    "a code alone": (b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}', "MANIFEST_UNKNOWN"),
    "plain text": (
        b"Client sent an HTTP request to an HTTPS server.\n",
        "(Client sent an HTTP request to an HTTPS server.)",
    ),
    "a web page": (b"<html><body>502 Bad Gateway</body></html>", ""),
    "nothing": (b"", ""),
    "no list of errors": (b'{"errors":[]}', '({"errors":[]})'),
    "deeply nested": (b"[" * 60_000, "(" + "[" * 299 + "…)"),
    "several lines and control characters": (error_body("one\ntwo\x1b[31m\x07"), "DENIED (one two [31m)"),
    "too long": (error_body("x" * 5000), f"DENIED ({'x' * 299}…)"),
    "not UTF-8": (b"\xff\xfe", "(��)"),
    "no text": (error_body(["a"], 7), "7 (['a'])"),
}


@pytest.mark.parametrize(("body", "shown"), PROBLEMS.values(), ids=PROBLEMS)
def test_what_is_shown_of_a_servers_text(body: bytes, shown: str) -> None:
    """One clean, short line: no page, no control character, no flood."""
    assert shown == str(parse_problem(body))


SECRETS = {
    "what we sent": ("token canary is not valid", "Bearer canary"),
    "our password": ("no user courier with canary", "Basic Y291cmllcjpjYW5hcnk="),
    "the header of our password": ("bad header Y291cmllcjpjYW5hcnk=", "Basic Y291cmllcjpjYW5hcnk="),
    "a web token": ("bad token eyJhbGciOiJub25lIn0.eyJjYW5hcnkiOjF9.canary", ""),
    "a signed address": ("see https://storage.example/x?X-Amz-Signature=canary for more", ""),
    "a user in an address": ("see https://me:canary@storage.example/x", ""),
}


@pytest.mark.parametrize(("message", "authorization"), SECRETS.values(), ids=SECRETS)
def test_secrets_in_a_servers_text_are_not_shown(message: str, authorization: str) -> None:
    """A server that repeats what lets us in, or others, is not quoted on it."""
    shown = str(parse_problem(error_body(message), secrets_of(authorization)))

    assert ("canary" in shown, "Y291cmllcjpj" in shown) == (False, False)


STATUSES = {
    400: (RefusedError, False),
    401: (DeniedError, False),
    403: (DeniedError, False),
    404: (NotFoundError, False),
    405: (RefusedError, False),
    408: (RegistryError, True),
    413: (RefusedError, False),
    415: (RefusedError, False),
    429: (RegistryError, True),
    302: (RegistryError, False),
    500: (RegistryError, True),
    501: (RegistryError, False),
    503: (RegistryError, True),
}


@pytest.mark.parametrize(("status", "told"), STATUSES.items(), ids=map(str, STATUSES))
def test_each_status_has_its_error(status: int, told: tuple[type[RegistryError], bool]) -> None:
    """Who can mend it decides the class, whether it may pass decides if it is retryable; all facts are in the text."""
    error = refusal("registry.example.com", "read app:1", status, Problem("SOME_CODE", "some text"))

    assert (type(error), error.retryable, error.status, error.code) == (*told, status, "SOME_CODE")
    assert error.message == f"registry.example.com: cannot read app:1: {status} SOME_CODE (some text)"


def test_tls_that_was_wanted_is_told_from_any_bad_request() -> None:
    """A TLS server that is spoken to in plain text says so in its own words; the way out is named."""
    problem = Problem(None, "Client sent an HTTP request to an HTTPS server.")

    assert "--plain-http" in str(refusal("registry.example.com", "log in", 400, problem))


def test_a_failure_without_a_known_cause_is_a_cut_connection() -> None:
    """What cannot be told apart is told plainly, and may be tried again."""
    error = unreachable("registry.example.com", "read app:1", httpx.ReadError("something"))

    assert (error.message, error.retryable) == ("registry.example.com: cannot read app:1: the connection was cut", True)


def fail_at(port: int) -> UnreachableError:
    """How an attempt to speak TLS with that port of this machine ends."""
    host = f"registry.example:{port}"
    with (
        open_client(TransportSettings(), host, resolve=lambda name, port: ["127.0.0.1"]) as client,
        pytest.raises(httpx.ConnectError) as caught,
    ):
        client.get(f"https://{host}/v2/")
    return unreachable("registry.example", "log in", caught.value)


def test_a_server_without_tls_is_told_with_the_option_for_it(tmp_path: Path) -> None:
    """A registry that answers TLS with plain text is recognised, and is not asked again."""
    with RegistrySimulator(tmp_path) as sim:
        told = fail_at(int(sim.host.rpartition(":")[2]))

    assert (told.message, told.retryable) == ("registry.example: cannot log in: it does not speak TLS", False)
    assert "--plain-http registry.example" in (told.hint or "")


def test_a_handshake_that_breaks_is_told_with_what_tls_says() -> None:
    """A server that hangs up on TLS may do better next time."""
    with HttpFaults() as server:
        told = fail_at(server.port)

    assert (told.message, told.retryable) == (
        "registry.example: cannot log in: TLS broke (it hung up)",
        True,
    )
