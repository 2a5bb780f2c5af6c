"""Authorisation as registries ask for it: challenges (RFC 9110 §11), Basic, and bearer tokens per scope.

The token protocol is the distribution project's ("Token Authentication", "OAuth2 Token Authentication"). Nothing here
sends a request: `Authenticator` is given a function that does.
"""

import base64
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from edgelift.errors import DeniedError, EdgeliftError, RegistryError
from edgelift.oci.credentials import Credential, Credentials
from edgelift.oci.ecr import parse_ecr_host
from edgelift.oci.pacing import Clock

SHORTEST_LIFE = 60.0  # seconds; what a token lives at least, and where its server does not say
LONGEST_LIFE = 86400.0  # seconds
RENEW_EARLY = 30.0  # seconds, or a tenth of a token's life if that is less

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 - a grammar, RFC 9110 §5.6.2
_SEPARATORS = re.compile(r"[\s,]*")
_PARAMETER = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))')
_SCHEME = re.compile(rf"({_TOKEN})(?:\s+(?!{_TOKEN}\s*=\s*[^\s=,])[A-Za-z0-9._~+/-]+=*)?")


@dataclass(frozen=True)
class Challenge:
    """One way a server offers to be convinced; `scheme` and the names of `parameters` are lower-case."""

    scheme: str
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class TokenRequest:
    """What to ask a token server for. `credential` is None for an anonymous token."""

    realm: str
    service: str
    scopes: tuple[str, ...]
    credential: Credential | None


@dataclass(frozen=True)
class Token:
    """A bearer token, and the moment (of our clock) from which it is not used any more."""

    value: str = field(repr=False)
    stale_at: float


@dataclass(frozen=True)
class _Grant:
    request: TokenRequest
    token: Token


def parse_challenges(lines: Sequence[str]) -> tuple[Challenge, ...]:
    """All challenges of the `WWW-Authenticate` header `lines`; what cannot be read is skipped."""
    found: list[tuple[str, dict[str, str]]] = []
    for line in lines:
        position = 0
        while (position := _after_separators(line, position)) < len(line):
            if found and (match := _PARAMETER.match(line, position)):
                value = match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
                found[-1][1].setdefault(match[1].lower(), value)
            elif match := _SCHEME.match(line, position):
                found.append((match[1].lower(), {}))
            position = match.end() if match else (line.find(",", position) + 1 or len(line))
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)


def _after_separators(line: str, position: int) -> int:
    found = _SEPARATORS.match(line, position)
    return found.end() if found else position


def parse_token(body: bytes, now: float) -> Token:
    """The token in a token server's answer, received at `now` of our clock; raises `ValueError` where there is none.

    Only the life span counts: the server's clock (`issued_at`) need not agree with ours.
    """
    document = json.loads(body)
    value = (document.get("token") or document.get("access_token")) if isinstance(document, dict) else None
    if not isinstance(value, str) or not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError("no token in it")
    life = document.get("expires_in")
    seconds = max(SHORTEST_LIFE, min(LONGEST_LIFE, life)) if isinstance(life, int | float) else SHORTEST_LIFE
    return Token(value, now + seconds - min(RENEW_EARLY, seconds / 10))


def format_basic(username: str, password: str) -> str:
    """The value of an `Authorization` header for Basic authentication (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


class Authenticator:
    """Knows what one registry wants to see, and holds the tokens it has given; safe to share between threads."""

    def __init__(
        self, host: str, credentials: Credentials, fetch_token: Callable[[TokenRequest], Token], clock: Clock
    ) -> None:
        self._host = host
        self._credentials = credentials
        self._fetch_token = fetch_token
        self._clock = clock
        self._challenge: Challenge | None = None
        self._grants: dict[tuple[str, ...], _Grant] = {}
        self._locks: dict[tuple[str, ...], threading.Lock] = {}
        self._guard = threading.Lock()

    @property
    def is_challenged(self) -> bool:
        """Whether the registry has said how it wants to be convinced."""
        return self._challenge is not None

    def has_login(self, repository: str) -> bool:
        """Whether there are credentials for `repository`; also where there are, and they cannot be had now."""
        try:
            return self._credentials.find(self._host, repository) is not None
        except EdgeliftError:
            return True

    def authorize(self, repository: str, scopes: tuple[str, ...]) -> str | None:
        """The `Authorization` header for a request, fetching a token where the last one is stale.

        None before the registry has asked for any. Raises `DeniedError` where it wants credentials and we have none.
        """
        challenge = self._challenge
        if challenge is None:
            return None
        if challenge.scheme == "basic":
            return self._basic(repository)
        with self._alone(scopes):
            grant = self._grants.get(scopes)
            if grant is None or grant.token.stale_at <= self._clock.now():
                request = grant.request if grant else self._token_request(challenge, "", repository, scopes)
                grant = self._fetch(scopes, request, repository)
            return f"Bearer {grant.token.value}"

    def answer(
        self, challenges: Sequence[Challenge], repository: str, scopes: tuple[str, ...], *, rejected: str | None
    ) -> str | None:
        """The header to try once more with, after a 401 that came with `challenges` to the header `rejected`.

        None where there is nothing new to try. A token that another thread has renewed meanwhile is used as it is.
        """
        usable = [challenge for challenge in challenges if challenge.scheme in ("bearer", "basic")]
        usable.sort(key=lambda challenge: challenge.scheme != "bearer")
        challenge = self._challenge = usable[0] if usable else self._challenge
        if challenge is None:
            return None
        if challenge.scheme == "basic":
            header = self._basic(repository)
            if header == rejected and self._renew(repository):
                header = self._basic(repository)
            return None if header == rejected else header  # the same password again may lock the account
        # Without a scope of ours it is an example at best: GitHub's registry names `repository:user/image:pull`.
        named = usable[0].parameters.get("scope", "") if usable and scopes else ""
        with self._alone(scopes):
            grant = self._grants.get(scopes)
            if grant is None or f"Bearer {grant.token.value}" == rejected:
                grant = self._fetch(scopes, self._token_request(challenge, named, repository, scopes), repository)
            return f"Bearer {grant.token.value}"

    def _basic(self, repository: str) -> str:
        credential = self._credentials.find(self._host, repository)
        if credential is None:
            raise DeniedError(f"{self._host} wants a login", hint=how_to_log_in(self._host), status=401)
        return format_basic(credential.username, credential.password.get_secret_value())

    def _token_request(
        self, challenge: Challenge, named: str, repository: str, scopes: tuple[str, ...]
    ) -> TokenRequest:
        """`named` is what the registry has just asked for; beyond our scopes it comes first: some look at one only."""
        realm = challenge.parameters.get("realm")
        if not realm:
            raise RegistryError(f"{self._host} wants a token but does not say from where")
        further = (scope for scope in named.split() if not any(_covers(ours, scope) for ours in scopes))
        credential = self._credentials.find(self._host, repository)
        return TokenRequest(realm, challenge.parameters.get("service", ""), (*further, *scopes), credential)

    def _fetch(self, scopes: tuple[str, ...], request: TokenRequest, repository: str) -> _Grant:
        request = replace(request, credential=self._credentials.find(self._host, repository))  # perhaps a new one
        try:
            token = self._fetch_token(request)
        except DeniedError:
            if not self._renew(repository):
                raise
            request = replace(request, credential=self._credentials.find(self._host, repository))
            token = self._fetch_token(request)
        grant = self._grants[scopes] = _Grant(request, token)
        return grant

    def _renew(self, repository: str) -> bool:
        """Whether the login that was just refused could be replaced."""
        credential = self._credentials.find(self._host, repository)
        return credential is not None and self._credentials.renew(self._host, credential)

    def _alone(self, scopes: tuple[str, ...]) -> threading.Lock:
        """One thread fetches a token; the others that want the same one wait for it."""
        with self._guard:
            return self._locks.setdefault(scopes, threading.Lock())


def how_to_log_in(host: str) -> str:
    """The hint where there are no credentials for `host`."""
    if parse_ecr_host(host) is not None:
        return f"there are no credentials for {host}: allow those of AWS with --aws, or log in with `docker login`"
    return f"there are no credentials for {host}: log in with `docker login`, or name it in the credentials file"


def _covers(ours: str, theirs: str) -> bool:
    """Whether the scope `ours` allows all that `theirs` does; the resource may itself hold colons."""
    our_resource, _, our_actions = ours.rpartition(":")
    their_resource, _, their_actions = theirs.rpartition(":")
    return our_resource == their_resource and set(their_actions.split(",")) <= set(our_actions.split(","))
