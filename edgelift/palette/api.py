"""One request to the Palette API at a time: address, key, project header, pace, patience, size limit, plain errors.

It knows HTTP and how Palette answers; what the documents mean is the client's business.
"""

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import groupby
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, urlsplit

import httpx
from pydantic import SecretStr

from edgelift.addresses import is_loopback, split_host
from edgelift.errors import ConfigurationError, PaletteError
from edgelift.oci.pacing import parse_retry_after
from edgelift.oci.reference import is_registry

ANSWER_LIMIT = 64 * 2**20  # bytes; a profile of 30 packs has a tenth of that
_ANSWER_SECONDS = 120.0  # for one whole answer, however steadily it trickles
_INTERVAL = 0.1  # seconds between two requests; Palette allows ten a second for one address
_FIRST_DELAY = 2.0  # seconds; then doubled with some jitter, as Palette's own SDK does
_LONGEST_DELAY = 60.0
_BUSY = frozenset({429, 502, 503, 504})
_SHOWN = 200  # characters of a server's own words
_HOSTS = {"console.spectrocloud.com": "api.spectrocloud.com"}  # what people copy from the browser
_KEY_LIMIT = 4096  # characters
_KEY_PIECE = 8  # characters; a piece of the key as long as this counts as the key
_log = logging.getLogger(__name__)


def parse_endpoint(text: str, *, insecure: bool = False) -> tuple[str, str]:
    """Scheme and host of the API at `text`, which may lack the scheme and end in a slash.

    Raises `ConfigurationError` for anything that is no address of an API, and for plain HTTP to another machine
    unless `insecure`: the API key would travel in the open.
    """
    try:
        parts = urlsplit(text.strip() if "://" in text else f"https://{text.strip()}")
    except ValueError:
        parts = urlsplit("")
    host = _HOSTS.get(parts.netloc.lower(), parts.netloc.lower())
    plain = parts.scheme in {"http", "https"} and parts.path in {"", "/"} and not parts.query and not parts.fragment
    if not plain or not is_registry(host):
        raise ConfigurationError(
            "the Palette endpoint is not the address of an API", hint="write it as https://api.spectrocloud.com"
        )
    if parts.scheme == "http" and not insecure and not is_loopback(split_host(host)[0]):
        raise ConfigurationError(
            f"the Palette endpoint http://{host} would carry the API key in the open",
            hint="use https://, or allow it with --insecure",
        )
    return parts.scheme, host


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: httpx.Headers
    body: bytes


class _Question(NamedTuple):
    """What is asked for: a document by GET, or what answers a JSON `body` by POST, which may be a file."""

    path: str
    body: bytes | None = None
    is_for_file: bool = False

    def __str__(self) -> str:
        return f"{'GET' if self.body is None else 'POST'} {self.path}"


class _Failure(NamedTuple):
    error: PaletteError
    repeat: Literal["while-busy", "once", "never"] = "never"
    retry_after: float | None = None


class _Patience:
    """How often one request may still be repeated, and after how long."""

    def __init__(self) -> None:
        # Palette's own SDK repeats the busy statuses and broken connections, and takes a 500 for final.
        self._budget = {"while-busy": 4, "once": 1, "never": 0}
        self._delay = _FIRST_DELAY

    def next_delay(self, failure: _Failure) -> float | None:
        """Seconds to wait before the next attempt, None when there is to be none."""
        self._budget[failure.repeat] -= 1
        if self._budget[failure.repeat] < 0:
            return None
        delay = self._delay
        self._delay = 2 * delay + random.uniform(0, delay) / 2  # noqa: S311  # jitter, nothing secret
        return min(delay if failure.retry_after is None else failure.retry_after, _LONGEST_DELAY)


@dataclass
class PaletteApi:
    """The Palette API at `scheme`://`host`. Safe to share between threads.

    Each failure is a `PaletteError` with the HTTP status, if there was one; the key is in none of them.
    """

    scheme: str
    host: str
    key: SecretStr = field(repr=False)
    http: httpx.Client = field(repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _next_slot: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        key = self.key.get_secret_value().strip()
        if not 0 < len(key) <= _KEY_LIMIT or not key.isascii() or not key.isprintable():
            raise ConfigurationError(
                "the Palette API key is empty, far too long or has characters that no key has",
                hint="create one in Palette under User Menu > My API Keys",
            )
        self.key = SecretStr(key)

    def get(self, path: str, project_uid: str | None = None) -> Any:
        """The JSON document at `path`, read in the scope of a project or of the whole tenant."""
        question = _Question(path)
        return self._parse(question, self._ask(question, project_uid))

    def download(self, path: str, body: Mapping[str, Any], project_uid: str) -> bytes:
        """The file that Palette makes of `body`; changes nothing there, so that it may be asked for again.

        Raises `PaletteError` where it gives none, or an error with the status of success.
        """
        question = _Question(path, json.dumps(body).encode(), is_for_file=True)
        answer = self._ask(question, project_uid)
        if answer.body.lstrip()[:1] in (b"{", b"["):
            raise PaletteError(
                f"{self.host} answered {question} with JSON in place of a file{self._quote(answer.body)}",
                hint="check in Palette that these profiles can be exported",
                status=answer.status,
            )
        return answer.body

    def search(self, path: str, body: Mapping[str, Any], project_uid: str | None = None) -> Any:
        """The JSON document that answers `body` at `path`: it changes nothing, so that it may be asked for again."""
        question = _Question(path, json.dumps(body).encode())
        return self._parse(question, self._ask(question, project_uid))

    def _ask(self, question: _Question, project_uid: str | None) -> _Answer:
        """The answer to `question`, once there is a good one."""
        patience = _Patience()
        while True:
            self._keep_pace()
            try:
                answer = self._send(question, project_uid)
            except httpx.HTTPError as error:
                failure = self._explain_silence(question, error)
            else:
                if answer.status == HTTPStatus.OK:
                    return answer
                failure = self._explain_refusal(question, answer)
            delay = patience.next_delay(failure)
            if delay is None:
                raise failure.error
            _log.warning("%s; trying again in %.0f s", failure.error.message, delay)
            self.sleep(delay)

    def _keep_pace(self) -> None:
        with self._lock:
            now = time.monotonic()
            slot = max(now, self._next_slot)
            self._next_slot = slot + _INTERVAL
        if slot > now:
            self.sleep(slot - now)

    def _send(self, question: _Question, project_uid: str | None) -> _Answer:
        headers = {"ApiKey": self.key.get_secret_value(), "Accept": "application/json"}
        if project_uid:
            headers["ProjectUid"] = project_uid
        if question.body is not None:
            headers |= {"Content-Type": "application/json"}
        if question.is_for_file:
            # A file that is gzip by itself must come as it is: what is encoded on the way is decoded here.
            headers |= {"Accept": "application/octet-stream", "Accept-Encoding": "identity"}
        url, method = f"{self.scheme}://{self.host}{question.path}", "GET" if question.body is None else "POST"
        with self.http.stream(method, url, headers=headers, content=question.body, follow_redirects=False) as response:
            return _Answer(response.status_code, response.headers, self._read_body(question, response))

    def _read_body(self, question: _Question, response: httpx.Response) -> bytes:
        deadline = time.monotonic() + _ANSWER_SECONDS
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > ANSWER_LIMIT:
                raise PaletteError(
                    f"{self.host} answered {question} with more than {ANSWER_LIMIT >> 20} MiB",
                    hint="check that this is the address of the Palette API",
                    status=response.status_code,
                )
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout(f"the answer took more than {_ANSWER_SECONDS:.0f} s")
        return bytes(body)

    def _parse(self, question: _Question, answer: _Answer) -> Any:
        try:
            # Numbers stay text: a version 1.10 that arrives without quotes is not 1.1. And null is as good as nothing.
            return json.loads(answer.body, parse_float=str, parse_int=str, object_hook=_without_nulls)
        except (ValueError, RecursionError):
            kind = self._tame(answer.headers.get("content-type", "something")).partition(";")[0]
            raise PaletteError(
                f"{self.host} answered {question} with {kind} that is not JSON",
                hint="check that this is the address of the Palette API, not of its console or of a proxy",
                status=answer.status,
            ) from None

    def _explain_silence(self, question: _Question, error: httpx.HTTPError) -> _Failure:
        reason = self._tame(str(error)) or type(error).__name__
        if "certificate" in reason.lower():
            hint = "name the certificate of your Palette's authority with --ca-cert"
            return _Failure(PaletteError(f"cannot trust Palette at {self.host}: {reason}", hint=hint))
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            hint = "check the endpoint, the network and the proxy"
            return _Failure(PaletteError(f"cannot reach Palette at {self.host}: {reason}", hint=hint, retryable=True))
        return _Failure(
            PaletteError(
                f"Palette at {self.host} broke off {question}: {reason}", hint="try again later", retryable=True
            ),
            "once" if isinstance(error, httpx.TimeoutException) else "while-busy",
        )

    def _explain_refusal(self, question: _Question, answer: _Answer) -> _Failure:
        status = answer.status
        is_busy, is_broken = status in _BUSY, status == HTTPStatus.INTERNAL_SERVER_ERROR
        error = PaletteError(
            f"Palette at {self.host} answered {question} with {status}{self._quote(answer.body)}",
            hint=_next_step(status),
            retryable=is_busy or is_broken,
            status=status,
        )
        repeat: Literal["while-busy", "once", "never"] = "while-busy" if is_busy else "once" if is_broken else "never"
        return _Failure(error, repeat, parse_retry_after(answer.headers))

    def _quote(self, body: bytes) -> str:
        """Palette's own words about an error (V1Error: code and message), fit to be shown."""
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return ""
        fields: Mapping[str, object] = document if isinstance(document, Mapping) else {}
        words = [self._tame(text) for name in ("code", "message") if isinstance(text := fields.get(name), str)]
        return f" ({': '.join(word for word in words if word)})" if any(words) else ""

    def _tame(self, text: str) -> str:
        """`text` in one short printable line, without the key or a piece of it."""
        key = self.key.get_secret_value()
        text = _hide(_hide(text[: 10 * _SHOWN], quote(key, safe="")), key)
        line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
        return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _without_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _hide(text: str, secret: str) -> str:
    """`text` with stars for whatever shares eight characters in a row with `secret`, or all of a shorter one."""
    size = min(len(secret), _KEY_PIECE)
    pieces = {secret[start : start + size].lower() for start in range(len(secret) - size + 1)}
    hidden = [False] * len(text)
    for start in range(len(text) - size + 1):
        if text[start : start + size].lower() in pieces:
            hidden[start : start + size] = [True] * size
    runs = groupby(zip(text, hidden, strict=True), key=lambda pair: pair[1])
    return "".join("***" if is_hidden else "".join(each for each, _ in run) for is_hidden, run in runs)


def _next_step(status: int) -> str | None:
    if status == HTTPStatus.UNAUTHORIZED:
        return "the API key may have expired or been revoked; create a new one in Palette"
    if status == HTTPStatus.FORBIDDEN:
        return "ask for a role that may read this project and its cluster profiles"
    if httpx.codes.is_redirect(status):
        return "give the address of the API itself, such as https://api.spectrocloud.com"
    return "try again later" if status in _BUSY or httpx.codes.is_server_error(status) else None
