"""What went wrong between us and a registry, in words: the error, the reason, the next step. Pure.

Servers' texts are shown cleaned, and never with a URL's query, a token or what we sent to be let in.
"""

import base64
import binascii
import json
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

import httpx

from edgelift.errors import DeniedError, NotFoundError, RefusedError, RegistryError, UnreachableError
from edgelift.transport import ForbiddenAddressError, TooSlowError

RETRYABLE = frozenset({408, 429, 499, 500, 502, 503, 504, 522})
_SHOWN = 300  # characters of a server's text
_WRONG_HOST = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_WRONG_TIME = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_WANTED, _NOT_WANTED = "it wants a client certificate", "it does not accept our client certificate"
_ALERTS = {  # how servers say so (RFC 8446 §6.2); up to TLS 1.2 there is no word of its own for a missing one
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _WANTED,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _WANTED,
    "SSLV3_ALERT_BAD_CERTIFICATE": _NOT_WANTED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _NOT_WANTED,
    "TLSV1_ALERT_UNKNOWN_CA": _NOT_WANTED,
}
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"})


@dataclass(frozen=True)
class Problem:
    """What a registry says about a refusal (distribution-spec, "Error Codes"); `code` is None where it says nothing."""

    code: str | None
    message: str

    def __str__(self) -> str:
        return " ".join(filter(None, (self.code, f"({self.message})" if self.message else "")))


def parse_problem(body: bytes, secrets: Sequence[str] = ()) -> Problem:
    """The first error in `body` that says something, cleaned; `secrets` were sent and must not come back in it."""
    try:
        errors = json.loads(body)["errors"]
        error = next((each for each in errors if each["code"] != "UNKNOWN"), errors[0])
        code, message = str(error["code"]), str(error.get("message") or "")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        text = body.decode(errors="replace")
        return Problem(None, "" if "<" in text else clean_text(text, secrets))
    return Problem(clean_text(code, secrets)[:64] or None, clean_text(message, secrets))


def refusal(host: str, doing: str, status: int, problem: Problem, hint: str | None = None) -> RegistryError:
    """The error for an answer with `status` to the attempt at `doing`, such as "read the tag app:1"."""
    return _kind(status)(
        f"{host}: cannot {doing}: {' '.join(filter(None, (str(status), str(problem))))}",
        hint=hint or _hint(host, status, problem),
        retryable=status in RETRYABLE,
        status=status,
        code=problem.code,
    )


def unreachable(host: str, doing: str, error: httpx.HTTPError) -> UnreachableError:
    """The error for an attempt at `doing` that got no whole answer."""
    reason, hint, is_final = _explain(host, error)
    found = UnreachableError(f"{host}: cannot {doing}: {reason}", hint=hint, retryable=not is_final)
    found.is_timeout = isinstance(error, httpx.TimeoutException)
    return found


def tells_tls(error: httpx.HTTPError) -> bool | None:
    """Whether a server knows TLS, told from how a first attempt with it failed; None where that cannot be told."""
    causes = list(_causes(error))
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in causes):
        return True
    if any(isinstance(each, ssl.SSLError) and "_ALERT_" in (each.reason or "") for each in causes):
        return True
    if isinstance(error, httpx.TimeoutException) or any(isinstance(each, ConnectionRefusedError) for each in causes):
        return None
    return False


def _kind(status: int) -> type[RegistryError]:
    if status in (401, 403):
        return DeniedError
    if status in (404, 410):
        return NotFoundError
    return RefusedError if 400 <= status < 500 and status not in RETRYABLE else RegistryError  # noqa: PLR2004 - 4xx


def _hint(host: str, status: int, problem: Problem) -> str | None:
    if status == 400 and "HTTPS" in problem.message:  # noqa: PLR2004 - how TLS servers answer plain HTTP
        return f"{host} wants TLS: leave out --plain-http for it"
    return {
        401: f"check the user name and password for {host}",
        403: f"the login for {host} may lack the right to do that",
        413: "a proxy in front of the registry may limit the size of requests; raise its limit",
        429: "run the same again later: what is done is kept",
    }.get(status)


_Explanation = tuple[str, str | None, bool]  # reason, hint, and whether trying again is useless
_NETWORK = "check the network and firewalls in between"
_BY_KIND: dict[type[BaseException], _Explanation] = {  # without a reason the error's own text is it
    ForbiddenAddressError: ("", "if that server is meant, name its host in the settings", True),
    httpx.DecodingError: ("", "a proxy may compress answers: switch that off for the registry", True),
    httpx.ProxyError: ("the proxy does not let us through", "check the proxy's address and login", False),
    httpx.ConnectTimeout: ("no connection in time", _NETWORK, False),
    TooSlowError: ("", _NETWORK, False),
    httpx.TimeoutException: ("it fell silent", _NETWORK, False),
    ConnectionRefusedError: ("connection refused", "check that it runs, and its port", False),
}


def _explain(host: str, error: httpx.HTTPError) -> _Explanation:
    found = (_explain_cause(host, cause) for cause in _causes(error))
    otherwise = "no connection can be made" if isinstance(error, httpx.ConnectError) else "the connection was cut"
    return next((each for each in found if each is not None), (otherwise, None, False))


def _explain_cause(host: str, cause: BaseException) -> _Explanation | None:
    match cause:
        case ssl.SSLCertVerificationError():
            return _explain_certificate(host, cause)
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():  # which of the two depends on how soon the end is seen
            return "TLS broke (it hung up)", None, False
        case ssl.SSLError():
            return _explain_tls(host, cause.reason or type(cause).__name__)
        case socket.gaierror():
            return (
                "its name is not known",
                "check the name, and the DNS of this machine",
                cause.errno != socket.EAI_AGAIN,
            )
        case httpx.RemoteProtocolError() if cause.__cause__ is None:  # nothing broke: httpx cannot make sense of it
            return "its answer makes no sense", "a proxy may have answered in its place", True
    told = (each for kind, each in _BY_KIND.items() if isinstance(cause, kind))
    return next(((reason or str(cause), hint, is_final) for reason, hint, is_final in told), None)


def _explain_tls(host: str, reason: str) -> _Explanation:
    if reason in _NO_TLS:
        return "it does not speak TLS", f"if that is meant, allow plain HTTP with --plain-http {host}", True
    if reason in _ALERTS:
        hint = f"put client.cert and client.key into a folder {host}, and name the folder above it with --cert-dir"
        return _ALERTS[reason], hint, True
    return f"TLS broke ({reason.lower().replace('_', ' ')})", None, False


def _explain_certificate(host: str, error: ssl.SSLCertVerificationError) -> _Explanation:
    if error.verify_code in _WRONG_HOST:
        return "its TLS certificate is for another host", "use the name that the certificate is for", True
    if error.verify_code in _WRONG_TIME:
        why = f"its TLS certificate is not valid now ({error.verify_message})"
        return why, "check the clock of this machine, then have the certificate renewed", True
    why = f"its TLS certificate is not trusted here ({error.verify_message})"
    return why, f"give the certificate of {host}'s authority with --ca-cert", True


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and what led to it; `urllib3` keeps some causes among the arguments only."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        each = waiting.pop(0)
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            further = (each.__cause__, each.__context__, *each.args)
            waiting += [one for one in further if isinstance(one, BaseException)]


def secrets_of(authorization: str | None) -> list[str]:
    """What an `Authorization` header must not give away: the token, or the password and how it is written there."""
    scheme, _, value = (authorization or "").partition(" ")
    password = ""
    if scheme == "Basic":
        with suppress(binascii.Error, UnicodeDecodeError):
            password = base64.b64decode(value).decode().partition(":")[2]
    return [secret for secret in (value, password) if secret]


def clean_text(text: str, secrets: Sequence[str]) -> str:
    """One short line of `text`, without anything secret."""
    for secret in secrets:
        for written in (secret, quote(secret, safe=""), quote_plus(secret)):
            text = text.replace(written, "…")
    # Every pattern is linear: the text is a stranger's.
    text = re.sub(r"eyJ[\w-]+(?:\.[\w-]*)*", "…", text)  # JSON web tokens, whoever issued them
    text = re.sub(r"(\w{1,16}://)[^\s/@]*@", r"\1", re.sub(r"\?\S*", "", text))
    text = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
