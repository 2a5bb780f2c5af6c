"""Nothing secret is written: not in a log of any library, not on the terminal, not in an error or what led to it.

All loggers say all they can. Every operation runs to its end, into every lure, and against registries that fail in
every way and give back what they were sent.
"""

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgelift.errors import EdgeliftError
from edgelift.oci.credentials import Credential
from edgelift.store.local import LocalStore
from tests.security.canaries import BASIC, IDENTITY_LOGIN, LOGIN, PASSWORD, SIGNATURE, STATE, TOKEN, found_in
from tests.security.foreign import Listener, asks, serves
from tests.security.hostile_registry import HostileRegistry, Kind, Lure
from tests.security.operations import OPERATIONS, THERE, Desk, fill, open_registry
from tests.simulators.http_faults import Answer, Request

LOGINS: dict[Kind, Credential] = {"basic": LOGIN, "bearer": LOGIN, "identity": IDENTITY_LOGIN}


class Everything(logging.Handler):
    """Keeps what any logger says, with tracebacks and the arguments as they are."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        self.lines.append(f"{self.format(record)} {record.args!r}")


@pytest.fixture
def logged() -> Iterator[Everything]:
    """All that is logged, at every level, by every logger, whether it passes it on or not."""
    handler, root = Everything(), logging.getLogger()
    loggers = [root, *(each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger))]
    before = [(each, each.level, each.disabled) for each in loggers]
    for each in loggers:
        each.setLevel(logging.NOTSET + 1)
        each.disabled = False
        if each is root or not each.propagate:
            each.addHandler(handler)
    yield handler
    for each, level, disabled in before:
        each.setLevel(level)
        each.disabled = disabled
        each.removeHandler(handler)


@pytest.fixture(scope="module")
def full_store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """A store that holds the image to be pushed, and the manifests of the one to be copied."""
    return fill(LocalStore(tmp_path_factory.mktemp("full")))


def do_everything(home: Listener, login: Credential, full: LocalStore, folder: Path) -> dict[str, str]:
    """Every operation, with the text of its error and of all that led to it; empty where there is none."""
    folder.mkdir(exist_ok=True)
    errors = {}
    for name, operation in OPERATIONS.items():
        registry = open_registry(home.host, login)
        try:
            operation(Desk(registry, full, folder))
            errors[name] = ""
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not tell
            errors[name] = "\n".join(_texts(error))
        registry.close()
    return errors


def _texts(error: BaseException) -> Iterator[str]:
    """The traceback as it would be printed, and each error of the chain, also those that would not be."""
    yield "".join(traceback.format_exception(error))
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and each not in seen:
            seen.append(each)
            yield f"{each!s} {each!r}"
            yield repr(vars(each)) if isinstance(each, EdgeliftError) else ""  # ours travel whole, as results
            waiting += [each.__cause__, each.__context__]


@pytest.mark.parametrize("kind", LOGINS)
def test_what_goes_well_is_logged_without_secrets(
    kind: Kind, logged: Everything, full_store: LocalStore, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Logins, tokens, upload states and signed addresses pass through, and stay out of the log."""
    with Listener(serves, address="127.0.0.2") as storage, Listener() as home:
        hostile = HostileRegistry(THERE, kind, "none", storage.url)
        home.respond = hostile.respond
        errors = do_everything(home, LOGINS[kind], full_store, tmp_path / "desk")
        heard = bytes(home.heard).decode(errors="replace")

    text, shown = "\n".join(logged.lines), capfd.readouterr()
    assert {name for name, error in errors.items() if error} == {"read an artifact"}  # it is an image
    assert (STATE in heard, found_in(heard) != []) == (True, True)  # they were there to be logged
    assert home.host in text
    assert found_in("\n".join([text, *errors.values(), shown.out, shown.err])) == []


LURES: list[tuple[Lure, Kind]] = [
    ("token realm", "basic"),
    ("token realm", "identity"),
    ("late realm", "bearer"),
    ("token redirect", "identity"),
    ("redirect", "bearer"),
    ("upload location", "basic"),
    ("chunk location", "bearer"),
    ("next page", "basic"),
]


@pytest.mark.parametrize(("lure", "kind"), LURES)
def test_what_leads_elsewhere_is_told_without_secrets(
    lure: Lure, kind: Kind, logged: Everything, full_store: LocalStore, tmp_path: Path
) -> None:
    """Refusals, redirects and their signed addresses are logged and raised without what lets one in."""
    with Listener(asks, address="127.0.0.2") as other, Listener() as home:
        home.respond = HostileRegistry(THERE, kind, lure, other.url).respond
        errors = do_everything(home, LOGINS[kind], full_store, tmp_path / "desk")

    assert any(errors.values())
    assert found_in("\n".join([*logged.lines, *errors.values()])) == []


def _let_in(respond: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
    def ask_first(request: Request) -> Answer:
        is_known = request.headers.get("authorization") == f"Basic {BASIC}"
        return respond(request) if is_known else Answer(401, (("WWW-Authenticate", "Basic realm=x"),))

    return ask_first


def _echo(status: int, *headers: tuple[str, str]) -> Callable[[Request], Answer]:
    """Gives back what it was sent, in the form of an error of the specification."""

    def respond(request: Request) -> Answer:
        message = f"{PASSWORD} {request.headers.get('authorization')} at https://x:{PASSWORD}@y/z?token={TOKEN}"
        return Answer(status, headers, json.dumps({"errors": [{"code": "DENIED", "message": message}]}).encode())

    return _let_in(respond)


def _raw(head: str) -> Callable[[Request], Answer]:
    return _let_in(lambda _: Answer(raw=f"HTTP/1.1 {head}\r\n\r\n".encode(), ending="close"))


SIGNED = f"http://127.0.0.2:1/x?X-Amz-Signature={SIGNATURE}&_state={STATE}"
FAILURES: dict[str, Callable[[Request], Answer]] = {
    **{f"an error {status} that gives back the login": _echo(status) for status in (400, 401, 403, 404, 409, 413, 500)},
    "too many requests": _echo(429, ("Retry-After", "1")),
    "too many requests for long": _echo(503, ("Retry-After", "86400")),
    "a text that gives back the login": _let_in(lambda _: Answer(400, body=f"no {PASSWORD} {BASIC}".encode())),
    "a redirect to nobody": _let_in(lambda _: Answer(307, (("Location", SIGNED),))),
    "a location at nobody": _let_in(lambda _: Answer(202, (("Location", SIGNED),))),
    "a redirect with a login": _let_in(lambda _: Answer(307, (("Location", f"http://x:{TOKEN}@127.0.0.1:1/x"),))),
    "a redirect round and round": _let_in(lambda _: Answer(307, (("Location", f"/v2/?_state={STATE}"),))),
    "a next page of no kind": _let_in(
        lambda _: Answer(200, (("Link", f'<gopher://x/?token={TOKEN}>; rel="next"'),), b'{"tags":["a"]}')
    ),
    "headers that break off": _raw(f"307 Moved\r\nContent-Length: 0\r\nbroken\r\nLocation: {SIGNED}"),
    "a header without a name": _raw(f"202 Accepted\r\n: x\r\nLocation: {SIGNED}\r\nSet-Cookie: a={TOKEN}"),
    "a body in a coding": _let_in(lambda _: Answer(200, (("Content-Encoding", "gzip"), ("Location", SIGNED)), b"x")),
    "a body that breaks off": _let_in(lambda _: Answer(200, body=TOKEN.encode(), length=99, ending="close")),
}


@pytest.mark.parametrize("respond", FAILURES.values(), ids=FAILURES)
def test_what_fails_is_told_without_secrets(
    respond: Callable[[Request], Answer], logged: Everything, full_store: LocalStore, tmp_path: Path
) -> None:
    """However a registry refuses or breaks off, neither log nor error nor its causes give away what we sent."""
    with Listener(respond) as home:
        errors = do_everything(home, LOGIN, full_store, tmp_path / "desk")

    assert any(errors.values())
    assert any(home.host in line for line in logged.lines)
    assert found_in("\n".join([*logged.lines, *errors.values()])) == []


def test_what_is_looked_for_is_found(logged: Everything) -> None:
    """A secret that is logged or raised is found, also by a logger that keeps to itself, and in a cause."""
    alone = logging.getLogger("urllib3")
    alone.warning("asked for %s", SIGNED)
    hidden = KeyError("nothing")
    hidden.__context__, hidden.__suppress_context__ = ValueError(PASSWORD), True  # as `from None` leaves it

    assert set(found_in("\n".join(logged.lines))) == {SIGNATURE, STATE}
    assert PASSWORD in found_in("\n".join(_texts(hidden)))
