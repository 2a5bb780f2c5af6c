"""The way to one registry: requests that are authorised, follow redirects through the gate, and are retried.

Retrying happens here and, where a lost answer has to be looked into first, in `upload`; nowhere else.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar
from urllib.parse import urljoin

import httpx

from edgelift.addresses import DEFAULT_PORTS, is_loopback, means, split_host
from edgelift.errors import EdgeliftError, RegistryError
from edgelift.oci.auth import Authenticator, Challenge, Token, TokenRequest, how_to_log_in, parse_challenges
from edgelift.oci.budget import Allowance
from edgelift.oci.credentials import Credentials
from edgelift.oci.failures import RETRYABLE, refusal
from edgelift.oci.gate import UrlGate, is_same_origin
from edgelift.oci.pacing import Clock, Pause, choose_delay
from edgelift.oci.reference import DOCKER_HUB
from edgelift.oci.slots import Slots
from edgelift.oci.tokens import fetch_token
from edgelift.oci.wire import SMALL, Call, Reply, Wire, read_limited
from edgelift.transport import TransportSettings

_DOCKER_HUB_API = "registry-1.docker.io"
_MAX_REDIRECTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_log = logging.getLogger(__name__)

Result = TypeVar("Result")


class Channel:
    """Talks to one registry; safe to share between threads."""

    def __init__(
        self,
        host: str,
        settings: TransportSettings,
        credentials: Credentials,
        clock: Clock,
        *,
        slots: Slots | None = None,
        pause: Pause | None = None,
    ) -> None:
        self.host = host
        self._settings = settings
        api_host = _DOCKER_HUB_API if host == DOCKER_HUB else host
        self._wire = Wire(host, api_host, settings, clock, slots=slots, pause=pause)
        self._auth = Authenticator(host, credentials, self._fetch_token, clock)
        self._gate: UrlGate | None = None
        self._lock = threading.Lock()

    def exchange(self, call: Call, limit: int = SMALL) -> Reply:
        """Send `call` and read the whole answer, which may be `limit` bytes where it is a good one.

        Gives any answer but those worth a retry, which raise after `call.attempts`. Raises `RegistryError`.
        """

        def attempt() -> Reply:
            with self._slot(call):
                return self._wire.read(call, self._send(call), limit)

        return self._insist(call, attempt)

    def open(self, call: Call) -> httpx.Response:
        """Send `call` and give the answer before its body is read; the caller closes it. Errors as in `exchange`."""

        def attempt() -> httpx.Response:
            response = self._send(call)
            if response.status_code in RETRYABLE:
                self._wire.read(call, response)  # raises
            return response

        return self._insist(call, attempt)

    def read(self, call: Call, response: httpx.Response) -> Reply:
        """The rest of an answer given by `open`, when it turns out not to be the one wanted."""
        return self._wire.read(call, response)

    def stream(self, call: Call, response: httpx.Response) -> Iterator[bytes]:
        """The body of an answer given by `open`, as it arrives; raises `UnreachableError` where it is cut."""
        return self._wire.stream(call, response)

    def refusal(self, call: Call, reply: Reply, hint: str | None = None) -> RegistryError:
        """The error that says what `reply`, to `call`, means."""
        if reply.status in (401, 403) and hint is None and not self._auth.has_login(call.repository):
            hint = f"{how_to_log_in(self.host)}; some registries also say so of names that they do not know"
        return refusal(self._wire.place(reply.url), call.doing, reply.status, reply.problem, hint)

    def back_off(self, attempt: int, error: EdgeliftError) -> None:
        """Wait before the attempt after `attempt`; every thread waits where the registry says that it is too much.

        Raises `RegistryError` where the registry wants to be left alone for longer than a run should wait.
        """
        delay = choose_delay(attempt)
        _log.info("%s; attempt %d, the next in %.1f s or when the registry says", error.message, attempt, delay)
        if isinstance(error, RegistryError) and error.status == httpx.codes.TOO_MANY_REQUESTS:
            self._wire.pause.extend(delay)
        else:
            self._wire.clock.sleep(delay)
        self._wire.wait()

    @property
    def allowance(self) -> Allowance:
        """How many pulls the registry still allows, where it says so."""
        return self._wire.allowance

    @property
    def slots(self) -> Slots:
        """How many requests may be on their way at once. Bodies that are read from `open` take theirs around it."""
        return self._wire.slots

    @property
    def gate(self) -> UrlGate:
        """The gate around the registry, kept from when it is known whether it speaks TLS."""
        with self._lock:
            if self._gate is None:
                speaks_tls = self._speaks_tls()
                scheme = "http" if speaks_tls is False else "https"
                gate = UrlGate(f"{scheme}://{self._wire.api_host}", self._settings.trusted_realms)
                if speaks_tls is None:
                    return gate
                self._gate = gate
            return self._gate

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def _speaks_tls(self) -> bool | None:
        """True, unless it is named for plain HTTP; one on this machine is asked, and may not answer (None)."""
        name, port = split_host(self._wire.api_host)
        if any(means(host, name, port or DEFAULT_PORTS["http"]) for host in self._settings.plain_http):
            return False
        return self._wire.probe_tls() if is_loopback(name) else True

    def _slot(self, call: Call) -> AbstractContextManager[None]:
        if call.has_slot:
            return nullcontext()
        return self.slots.body(call.size) if callable(call.content) else self.slots.small()

    def _insist(self, call: Call, attempt: Callable[[], Result]) -> Result:
        self._wire.wait()
        for count in range(1, min(call.attempts, self._settings.attempts)):
            try:
                return attempt()
            except RegistryError as error:
                if not error.retryable:
                    raise
                self.back_off(count, error)
        return attempt()

    def _send(self, call: Call) -> httpx.Response:
        """One authorised attempt: a 401 gets one new authorisation, and no more."""
        authorization = self._auth.authorize(call.repository, call.scopes)
        response = self._follow(call, authorization)
        if response.status_code != httpx.codes.UNAUTHORIZED or not self._is_home(response.url):
            return response
        try:
            renewed = self._renew(call, response, authorization)
        except BaseException:
            response.close()
            raise
        if renewed is None:
            return response
        _drain(response)
        return self._follow(call, renewed)

    def _renew(self, call: Call, response: httpx.Response, rejected: str | None) -> str | None:
        challenges = parse_challenges(response.headers.get_list("www-authenticate"))
        if not challenges and not self._auth.is_challenged:
            challenges = self._ask_for_challenges()
        return self._auth.answer(challenges, call.repository, call.scopes, rejected=rejected)

    def _follow(self, call: Call, authorization: str | None) -> httpx.Response:
        """Send `call`, and again to where it is redirected; the authorisation stays with the registry itself."""
        url = urljoin(self.gate.origin, call.url)
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._wire.send(call, url, authorization if self._is_home(httpx.URL(url)) else None)
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTS or call.method not in ("GET", "HEAD") or not location:
                return response
            _drain(response)
            url = self.gate.admit(location, "redirect", base=url).url
        raise RegistryError(f"{self.host}: cannot {call.doing}: redirected more than {_MAX_REDIRECTS} times")

    def _is_home(self, url: httpx.URL) -> bool:
        return is_same_origin(url, self.gate.home)

    def _ask_for_challenges(self) -> tuple[Challenge, ...]:
        """What the API's root asks for: some registries answer 401 elsewhere without saying what they want."""
        call = Call("GET", "/v2/", "log in")
        response = self._wire.send(call, urljoin(self.gate.origin, call.url))
        _drain(response)
        return parse_challenges(response.headers.get_list("www-authenticate"))

    def _fetch_token(self, request: TokenRequest) -> Token:
        return fetch_token(self._wire, self.gate, request)


def _drain(response: httpx.Response) -> None:
    """Read what little is left, so that the connection can serve again."""
    try:
        read_limited(response, SMALL)
    except httpx.HTTPError:
        _log.debug("an answer that was not needed was cut")
