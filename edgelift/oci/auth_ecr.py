"""Logins for Amazon ECR, and repositories in it, with the AWS credentials that boto3 finds.

Only for those who have asked for it: boto3 looks into the environment, the user's AWS files and the machine's role.
Nothing that AWS says beyond its own error codes is shown: its words on a bad signature hold the request.
"""

import base64
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic import SecretStr

from edgelift.errors import (
    ConfigurationError,
    DeniedError,
    EdgeliftError,
    RefusedError,
    RegistryError,
    UnreachableError,
)
from edgelift.oci.credentials import Credential
from edgelift.oci.ecr import EcrHost, parse_ecr_host
from edgelift.oci.pacing import Clock

LONGEST_LIFE = 12 * 3600.0  # seconds; what ECR gives
RENEW_EARLY = 900.0  # seconds, or a tenth of a login's life if that is less: an upload may take a while to begin
REFUSED_EARLY = 60.0  # seconds; a login that is refused so soon is refused for another reason than its age
_ATTEMPTS = 3  # of boto3, for what passes

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Login:
    """What AWS gave at `since`; used until `stale_at`. `refused` is the login that it has replaced."""

    credential: Credential | None
    since: float
    stale_at: float
    refused: Credential | None = None


class EcrLogin:
    """Gives logins for Amazon's registries: for `host`, or for all of them; safe to share between threads.

    `profile` is one of the user's AWS profiles; without it boto3 finds credentials its own way.
    """

    def __init__(self, *, profile: str | None = None, host: str | None = None, clock: Clock | None = None) -> None:
        self._profile = profile
        self._host = host
        self._clock = clock or Clock()
        self._logins: dict[str, _Login] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def serves(self, host: str) -> bool:
        """Whether there are logins for `host` here."""
        return parse_ecr_host(host) is not None and self._host in (None, host)

    def find(self, host: str, repository: str) -> Credential | None:  # noqa: ARG002 - ECR's logins are for whole hosts
        """The login for `host`, fetched when it is first wanted and again before it ends; None for other registries.

        The public registry is for everybody: where AWS gives no login for it there is none. Raises `RegistryError`,
        and `ConfigurationError` where there are no AWS credentials.
        """
        place = parse_ecr_host(host) if self.serves(host) else None
        if place is None:
            return None
        with self._alone(host):
            login = self._logins.get(host)
            if login is None or login.stale_at <= self._clock.now():
                login = self._logins[host] = self._fetch(host, place)
            return login.credential

    def renew(self, host: str, refused: Credential) -> bool:
        """Whether there is another login for `host` now than `refused`, which the registry did not take."""
        place = parse_ecr_host(host) if self.serves(host) else None
        if place is None:
            return False
        with self._alone(host):
            login = self._logins.get(host)
            if login is None or login.credential != refused:
                return login is not None and login.refused == refused  # another thread has been here
            if self._clock.now() - login.since < REFUSED_EARLY:
                return False
            self._logins[host] = self._fetch(host, place, refused)
            return True

    def create_repository(self, host: str, repository: str) -> None:
        """Make `repository` at `host`, unless somebody has; raises `RegistryError` or `ConfigurationError`."""
        place = parse_ecr_host(host) if self.serves(host) else None
        if place is None:
            raise ConfigurationError(f"{host} is not a registry of Amazon's that these AWS credentials are for")
        name = repository if place.account else repository.partition("/")[2]  # a public one begins with its owner
        owner = {"registryId": place.account} if place.account else {}
        with self._alone(host), _aws_errors(f"make the repository {repository}", host, "ecr:CreateRepository"):
            client = self._client(place)
            try:
                client.create_repository(repositoryName=name, **owner)
            except client.exceptions.RepositoryAlreadyExistsException:
                return
        _log.info("made the repository %s at %s", repository, host)

    def _fetch(self, host: str, place: EcrHost, refused: Credential | None = None) -> _Login:
        try:
            with _aws_errors("get a login", host, "ecr:GetAuthorizationToken"):
                answer = self._client(place).get_authorization_token()
        except DeniedError as error:
            if place.account is not None:
                raise
            _log.warning("%s; going on without", error.message)
            return _Login(None, self._clock.now(), self._clock.now() + LONGEST_LIFE)
        now = self._clock.now()
        credential, life = _read(host, answer)
        return _Login(credential, now, now + life - min(RENEW_EARLY, life / 10), refused)

    def _client(self, place: EcrHost) -> Any:  # ECR's type stubs are a package of their own
        import boto3.session  # noqa: PLC0415 - slow to load, and only ECR needs it
        from botocore.config import Config  # noqa: PLC0415 - as above

        settings = Config(
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            connect_timeout=10,
            read_timeout=60,
            use_fips_endpoint=place.is_fips or None,
        )
        logger = logging.getLogger("botocore")
        logger.setLevel(max(logger.level, logging.INFO))  # below that it logs whole requests and answers
        service = "ecr" if place.account else "ecr-public"
        session: Any = boto3.session.Session(profile_name=self._profile)
        return session.client(service, region_name=place.region, config=settings)

    def _alone(self, host: str) -> threading.Lock:
        """One thread asks AWS; the others that want the same wait for it."""
        with self._guard:
            return self._locks.setdefault(host, threading.Lock())


def _read(host: str, answer: Any) -> tuple[Credential, float]:
    """The login in an answer of AWS, and how many seconds it is good for by the server's own clock."""
    try:
        data = answer["authorizationData"]
        entry = data[0] if isinstance(data, list) else data
        username, _, password = base64.b64decode(entry["authorizationToken"], validate=True).decode().partition(":")
        sent = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
        life = (entry["expiresAt"] - _date(sent)).total_seconds()
        return Credential(username, SecretStr(password)), max(0.0, min(life, LONGEST_LIFE))
    except (KeyError, IndexError, TypeError, ValueError):
        raise RegistryError(f"{host}: cannot get a login from AWS: the answer holds none") from None


def _date(text: str) -> datetime:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return datetime.now(UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_CLOCK = "set this machine's clock: AWS does not take requests from another time"
_KEYS = "check the AWS credentials: AWS_* variables, the profile, or the role of this machine"
_NEW_KEYS = "get new AWS credentials: these have ended (with single sign-on: aws sso login)"
_CLOCK_CODES = frozenset({"RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed"})
_CLOCK_WORDS = ("Signature expired", "Signature not yet current")
_OLD_KEYS = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
_WRONG_KEYS = frozenset(
    {
        *("IncompleteSignature", "InvalidClientTokenId", "InvalidSignatureException", "MissingAuthenticationToken"),
        *("SignatureDoesNotMatch", "UnrecognizedClientException", "InvalidAccessKeyId"),
    }
)
_NO_RIGHT = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_PASSING = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException", "ServerException"})
_SIGN_IN = frozenset(
    {
        "SSOTokenLoadError",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
        "LoginRefreshRequired",
        "LoginTokenLoadError",
    }
)
_NO_KEYS = frozenset({"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"})
_NO_WAY = frozenset(
    {
        *(
            "ConnectTimeoutError",
            "ConnectionClosedError",
            "ConnectionError",
            "EndpointConnectionError",
            "HTTPClientError",
        ),
        *("ProxyConnectionError", "ReadTimeoutError", "SSLError"),
    }
)
_SERVER_ERROR = 500


@contextmanager
def _aws_errors(doing: str, host: str, right: str) -> Iterator[None]:
    """Turn what boto3 raises into errors that say that `doing` failed for `host`, and the next step."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow to load, and only ECR needs it
    from botocore.parsers import ResponseParserError  # noqa: PLC0415 - as above

    try:
        yield
    except ClientError as error:
        raise _refusal(f"{host}: cannot {doing}", error.response, right) from None
    except (BotoCoreError, ResponseParserError, RuntimeError, ValueError) as error:  # the last two for bad credentials
        raise _no_answer(f"{host}: cannot {doing}", type(error).__name__) from None


def _refusal(failed: str, response: Any, right: str) -> EdgeliftError:
    problem, status = response.get("Error", {}), int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = str(problem.get("Code", "no code"))[:64]
    told = f"{failed}: AWS answered {code} ({status})"
    if code in _CLOCK_CODES or any(words in str(problem.get("Message", "")) for words in _CLOCK_WORDS):
        return DeniedError(told, hint=_CLOCK, status=status, code=code)
    if code in _NO_RIGHT:
        return DeniedError(told, hint=f"allow {right} for these AWS credentials", status=status, code=code)
    if code in _OLD_KEYS or code in _WRONG_KEYS:
        return DeniedError(told, hint=_NEW_KEYS if code in _OLD_KEYS else _KEYS, status=status, code=code)
    if code in _PASSING or status >= _SERVER_ERROR:
        return RegistryError(told, retryable=True, status=status, code=code)
    hint = "ask AWS to raise the limit" if code == "LimitExceededException" else None
    return RefusedError(told, hint=hint, status=status, code=code)


def _no_answer(failed: str, kind: str) -> EdgeliftError:
    """The error for boto3's exception `kind`; its own text may hold what a helper program has printed."""
    if kind == "ProfileNotFound":
        return ConfigurationError(f"{failed}: there is no such AWS profile", hint="check ~/.aws/config, or AWS_PROFILE")
    if kind in _NO_KEYS:
        return ConfigurationError(f"{failed}: there are no AWS credentials ({kind})", hint=_KEYS)
    if kind in _SIGN_IN:
        return ConfigurationError(f"{failed}: the sign-in at AWS has ended ({kind})", hint=_NEW_KEYS)
    if kind in _NO_WAY:
        hint = "check that this machine may connect to AWS, HTTPS_PROXY, and AWS_CA_BUNDLE"
        return UnreachableError(f"{failed}: no answer from AWS ({kind})", hint=hint)
    return ConfigurationError(f"{failed}: the AWS settings cannot be used ({kind})", hint=_KEYS)
