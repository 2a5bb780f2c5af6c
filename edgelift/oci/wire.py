"""Single requests on behalf of one registry: sent once, read with a limit, failures put into words."""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field

import httpx

from edgelift.addresses import means
from edgelift.errors import RegistryError, UnreachableError
from edgelift.oci.budget import Allowance
from edgelift.oci.failures import RETRYABLE, Problem, parse_problem, refusal, secrets_of, tells_tls, unreachable
from edgelift.oci.pacing import Clock, Pause, parse_retry_after
from edgelift.oci.slots import STRAIN, Slots
from edgelift.transport import TransportSettings, host_and_port, open_client

ATTEMPTS = 8  # of one request; with full jitter they last about half a minute
ANSWER_SECONDS = 600.0  # for one answer that is read whole, however steadily it trickles
LONGEST_WAIT = 21600.0  # seconds for one answer, beyond the usual; a size of 2**62 bytes is only a claim
SMALL = 64 * 1024  # bytes; the most that is read of a token or an error


@dataclass(frozen=True)
class Call:
    """One request. `doing` completes "cannot …" in messages; `url` may be relative to the registry.

    `content` is called anew for every attempt; `secrets` are in it and must not show up in messages. The answer may
    take `extra_time` seconds beyond the usual. With `has_slot` it takes no turn at the registry: the caller holds one.
    """

    method: str
    url: str
    doing: str
    repository: str = ""
    scopes: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: Callable[[], Iterator[bytes]] | bytes | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    attempts: int = ATTEMPTS
    extra_time: float = 0.0
    has_slot: bool = False

    @property
    def size(self) -> int:
        """The bytes that a body is announced to have."""
        return int(self.headers.get("content-length", "0"))


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)
    problem: Problem
    url: httpx.URL = field(repr=False)


class Wire:
    """Sends requests for the registry `host`, whose API is at `api_host`; safe to share between threads."""

    def __init__(
        self,
        host: str,
        api_host: str,
        settings: TransportSettings,
        clock: Clock,
        *,
        slots: Slots | None = None,
        pause: Pause | None = None,
    ) -> None:
        self.host = host
        self.api_host = api_host
        self.settings = settings
        self.clock = clock
        self.pause = pause or Pause(host, clock)
        self.allowance = Allowance(host, clock)
        self.slots = slots or Slots(settings.parallel)
        self._client = open_client(settings, api_host)

    def wait(self) -> None:
        """Wait as long as the registry wants it; raises `RateLimitError` where that is longer than the settings say."""
        self.pause.wait(self.settings.longest_pause)

    def send(self, call: Call, url: str, authorization: str | None = None) -> httpx.Response:
        """The answer to `call` at `url`, its body still unread; raises `UnreachableError`."""
        headers = dict(call.headers) | ({"authorization": authorization} if authorization else {})
        content = call.content() if callable(call.content) else call.content
        timeout = httpx.Timeout(self.settings.idle_timeout + min(call.extra_time, LONGEST_WAIT))
        request = self._client.build_request(call.method, url, headers=headers, content=content, timeout=timeout)
        try:
            response = self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise self._broken(call, request.url, error) from None
        finally:
            # What was not sent is not wanted: httpx keeps it until the next garbage collection, and with it a file, or
            # the turn at another registry, that it is read from.
            if isinstance(content, Generator):
                content.close()
        if self._is_home(response.url):
            self.allowance.note(response.headers)
        return response

    def read(self, call: Call, response: httpx.Response, limit: int = SMALL) -> Reply:
        """The rest of an answer, which may be `limit` bytes where it is a good one.

        Raises `RegistryError` where it is longer, is cut, or asks to be left alone for now.
        """
        url, status = response.url, response.status_code
        try:
            body = read_limited(response, limit if response.is_success else SMALL)
        except httpx.HTTPError as error:
            if response.is_success:
                raise self._broken(call, url, error) from None
            body = b""
        if response.is_success and len(body) > limit:
            raise RegistryError(f"{self.place(url)}: cannot {call.doing}: the answer is larger than {limit:,} bytes")
        sent = secrets_of(response.request.headers.get("authorization"))
        problem = parse_problem(b"" if response.is_success else body[:SMALL], (*sent, *call.secrets))
        if status in STRAIN:
            self.slots.report_strain()
        if status in RETRYABLE:
            wanted = parse_retry_after(response.headers)
            self.pause.extend(wanted or 0.0)
            if status == httpx.codes.TOO_MANY_REQUESTS and wanted is None and self.allowance.is_spent:
                raise self.allowance.refusal()
            raise refusal(self.place(url), call.doing, status, problem)
        self.slots.report_success()
        return Reply(status, response.headers, body, problem, url)

    def stream(self, call: Call, response: httpx.Response) -> Iterator[bytes]:
        """The rest of an answer as it arrives; raises `UnreachableError` where it is cut."""
        try:
            yield from response.iter_raw()
        except httpx.HTTPError as error:
            raise self._broken(call, response.url, error) from None
        else:
            self.slots.report_success()
        finally:
            response.close()

    def _broken(self, call: Call, url: httpx.URL, error: httpx.HTTPError) -> UnreachableError:
        if isinstance(error, httpx.TimeoutException):
            self.slots.report_strain()
        return unreachable(self.place(url), call.doing, error)

    def place(self, url: httpx.URL) -> str:
        """The server of `url` for messages: the registry, or where the registry sent us."""
        return self.host if self._is_home(url) else f"{url.netloc.decode('ascii')} (where {self.host} sent us)"

    def _is_home(self, url: httpx.URL) -> bool:
        return means(self.api_host, *host_and_port(url))

    def probe_tls(self) -> bool | None:
        """Whether the registry knows TLS; None where that cannot be told now."""
        try:
            self._client.send(self._client.build_request("HEAD", f"https://{self.api_host}/v2/"), stream=True).close()
        except httpx.HTTPError as error:
            return tells_tls(error)
        return True

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def read_limited(response: httpx.Response, limit: int, seconds: float = ANSWER_SECONDS) -> bytes:
    """The body of `response`, or a little more than `limit` bytes of a longer one; closes it. Raises `httpx` errors."""
    chunks, total, deadline = list[bytes](), 0, time.monotonic() + seconds
    try:
        for chunk in response.iter_raw():
            chunks.append(chunk)
            total += len(chunk)
            if total > limit:
                break
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the answer does not come to an end")
    finally:
        response.close()
    return b"".join(chunks)
