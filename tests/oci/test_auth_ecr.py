"""Logins and repositories at Amazon ECR: its API as boto3 speaks it, and a registry that takes only its logins."""

import base64
import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from edgelift.errors import (
    ConfigurationError,
    DeniedError,
    EdgeliftError,
    NotFoundError,
    RefusedError,
    RegistryError,
    UnreachableError,
)
from edgelift.oci.auth_ecr import LONGEST_LIFE, REFUSED_EARLY, RENEW_EARLY, EcrLogin
from edgelift.oci.credentials import Credential, Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.ecr import EcrHost, parse_ecr_host
from tests.oci.clocks import Hands
from tests.simulators.amazon import ACCOUNT, HOST, PUBLIC, Amazon, problem
from tests.simulators.http_faults import Answer

CONTENT = b"a blob"
BLOB = Descriptor(media_type="application/octet-stream", digest=Digest.of(CONTENT), size=len(CONTENT))
SECRET, SESSION = "canary-secret-key", "canary-session-token"


@pytest.fixture
def amazon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Amazon]:
    """Amazon, and AWS credentials in the environment; nothing else that boto3 could find."""
    with Amazon() as amazon:
        environment = {
            "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": SESSION,
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_ECR": amazon.url,
            "AWS_ENDPOINT_URL_ECR_PUBLIC": amazon.url,
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION"):
            monkeypatch.delenv(name, raising=False)
        yield amazon


def credentials_of(ecr: EcrLogin) -> Credentials:
    """As the registry client gets them."""
    return Credentials(ecr.find, renew=[ecr.renew])


def login(number: int) -> Credential:
    """The login that Amazon gave as its `number`-th."""
    return Credential("AWS", SecretStr(f"token-{number}"))


# Which hosts are Amazon's

HOSTS = {
    HOST: EcrHost("eu-west-1", ACCOUNT),
    "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com": EcrHost("us-gov-west-1", ACCOUNT, is_fips=True),
    "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn": EcrHost("cn-north-1", ACCOUNT),
    "123456789012.dkr-ecr.ap-southeast-2.on.aws": EcrHost("ap-southeast-2", ACCOUNT),
    PUBLIC: EcrHost("us-east-1"),
    f"{HOST}:443": None,
    f"{HOST}.evil.example": None,
    f"evil-{HOST}": None,
    "12345.dkr.ecr.eu-west-1.amazonaws.com": None,
    "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil": None,
    "123456789012.dkr.ecr.169.254.169.254.amazonaws.com": None,
    "public.ecr.aws.evil.example": None,
    "registry.example": None,
}


@pytest.mark.parametrize(("host", "expected"), HOSTS.items())
def test_hosts_of_amazon(host: str, expected: EcrHost | None) -> None:
    """A name is Amazon's registry, or it is not: nothing that only looks like one gets a login."""
    assert parse_ecr_host(host) == expected


# Logins


def test_a_login_is_fetched_once_and_gets_in(amazon: Amazon) -> None:
    """The registry sees the login that the API gave, for its own region; one call serves all requests."""
    hands = Hands()
    registry = amazon.open_registry(credentials_of(EcrLogin(clock=hands.clock)), hands.clock)
    registry.log_in()

    assert registry.blob_size("team/app", BLOB.digest) is None
    assert amazon.names() == ["GetAuthorizationToken"]
    assert "/eu-west-1/ecr/aws4_request" in amazon.calls[0].headers["authorization"]


def test_only_amazons_registries_get_its_logins(amazon: Amazon) -> None:
    """For any other host nothing is fetched, nor is anything looked for; a login for one host serves that one."""
    ecr = EcrLogin(host=HOST)
    other = HOST.replace("eu-west-1", "eu-west-2")

    assert [ecr.find(host, "a") for host in ("registry.example", f"{HOST}.evil.example", other)] == [None] * 3
    assert amazon.calls == []
    assert ecr.find(HOST, "a") == login(1)


def test_a_login_is_fetched_anew_before_it_ends(amazon: Amazon) -> None:
    """It is kept until shortly before its end, so that no upload begins with one that is about to end."""
    hands = Hands()
    ecr = EcrLogin(clock=hands.clock)
    found = [ecr.find(HOST, "a")]
    for seconds in (LONGEST_LIFE - RENEW_EARLY - 5, 10):
        hands.time += seconds
        found.append(ecr.find(HOST, "a"))

    assert found == [login(1), login(1), login(2)]


@pytest.mark.parametrize("ahead", [timedelta(days=2), timedelta(days=-2)])
def test_a_login_is_kept_as_long_by_a_wrong_clock(ahead: timedelta, amazon: Amazon) -> None:
    """How long it lives is told by Amazon's clock alone."""
    amazon.ahead, hands = ahead, Hands()
    ecr = EcrLogin(clock=hands.clock)
    found = [ecr.find(HOST, "a")]
    for seconds in (LONGEST_LIFE - RENEW_EARLY - 5, 10):
        hands.time += seconds
        found.append(ecr.find(HOST, "a"))

    assert found == [login(1), login(1), login(2)]


def test_a_short_login_is_used_for_most_of_its_life(amazon: Amazon) -> None:
    """One that lives for ten minutes is not fetched with every request."""
    amazon.life, hands = timedelta(minutes=10), Hands()
    ecr = EcrLogin(clock=hands.clock)
    found = [ecr.find(HOST, "a")]
    for seconds in (530, 20):
        hands.time += seconds
        found.append(ecr.find(HOST, "a"))

    assert found == [login(1), login(1), login(2)]


def test_a_login_that_is_refused_is_fetched_anew(amazon: Amazon) -> None:
    """A 401 to a login that had been good gets one new login, and the request is repeated with it."""
    hands = Hands()
    registry = amazon.open_registry(credentials_of(EcrLogin(clock=hands.clock)), hands.clock)
    registry.log_in()
    amazon.revoke()
    hands.time += REFUSED_EARLY

    registry.log_in()
    assert amazon.tokens == 2


def test_a_new_login_that_is_refused_is_final(amazon: Amazon) -> None:
    """What was given a moment ago and does not get in is not fetched again and again."""
    hands = Hands()
    registry = amazon.open_registry(credentials_of(EcrLogin(clock=hands.clock)), hands.clock)
    registry.log_in()
    amazon.revoke()

    for _ in range(3):
        with pytest.raises(DeniedError, match="401"):
            registry.log_in()
    assert amazon.tokens == 1


def test_many_threads_want_one_login(amazon: Amazon) -> None:
    """One asks Amazon, the others wait: at the start, and when the login is refused to all of them."""
    hands, threads = Hands(), 8
    ecr, barrier = EcrLogin(clock=hands.clock), threading.Barrier(threads)

    def find(_: int) -> Credential | None:
        barrier.wait()
        return ecr.find(HOST, "a")

    def renew(_: int) -> bool:
        barrier.wait()
        return ecr.renew(HOST, login(1))

    with ThreadPoolExecutor(threads) as pool:
        first = list(pool.map(find, range(threads)))
        hands.time += REFUSED_EARLY
        renewed = list(pool.map(renew, range(threads)))

    assert (first, renewed) == ([login(1)] * threads, [True] * threads)
    assert (amazon.tokens, ecr.find(HOST, "a")) == (2, login(2))


def test_a_login_of_somebody_else_is_not_renewed(amazon: Amazon) -> None:
    """Where another source's login was refused Amazon is not asked for one in its place."""
    ecr = EcrLogin()
    credentials = Credentials.merged(Credentials.of([(HOST, "AWS", "an old token")]), credentials_of(ecr))
    found = credentials.find(HOST, "a")
    assert found is not None

    assert (credentials.renew(HOST, found), amazon.calls) == (False, [])


# The public registry


def test_the_public_registry_gives_bearer_tokens_for_the_login(amazon: Amazon) -> None:
    """Its login comes from us-east-1, and goes to its token server; one that is refused there is fetched anew."""
    hands = Hands()
    registry = amazon.open_registry(credentials_of(EcrLogin(clock=hands.clock)), hands.clock, PUBLIC)
    registry.log_in()
    amazon.revoke()
    hands.time += 3600  # the bearer token has ended, too
    registry.log_in()

    assert amazon.tokens == 2
    assert all("/us-east-1/ecr-public/aws4_request" in call.headers["authorization"] for call in amazon.calls)


def test_the_public_registry_gives_bearer_tokens_for_the_login_of_the_day(amazon: Amazon) -> None:
    """A bearer token that has ended is replaced with the login as it is then, and not with the one it began with."""
    hands = Hands()
    registry = amazon.open_registry(credentials_of(EcrLogin(clock=hands.clock)), hands.clock, PUBLIC)
    registry.log_in()
    hands.time += LONGEST_LIFE
    registry.log_in()

    assert [each.target for each in amazon.asked].count(f"http://{PUBLIC}/token/?service={PUBLIC}") == 2
    assert amazon.tokens == 2


def test_the_public_registry_needs_no_login(amazon: Amazon, caplog: pytest.LogCaptureFixture) -> None:
    """Who has no right to a login there comes as anybody does; it is said once, and not asked for again."""
    amazon.refuse = {"GetAuthorizationToken": problem("AccessDeniedException")}
    ecr = EcrLogin()

    assert [ecr.find(PUBLIC, "a") for _ in range(3)] == [None] * 3
    assert (len(amazon.calls), caplog.text.count("going on without")) == (1, 1)


# What Amazon refuses

REFUSALS: dict[str, tuple[Answer, type[EdgeliftError], str]] = {
    "no right": (problem("AccessDeniedException"), DeniedError, "allow ecr:GetAuthorizationToken"),
    "unknown keys": (problem("UnrecognizedClientException"), DeniedError, "check the AWS credentials"),
    "a wrong secret": (problem("InvalidSignatureException"), DeniedError, "check the AWS credentials"),
    "old keys": (problem("ExpiredTokenException"), DeniedError, "get new AWS credentials"),
    "a clock behind": (
        problem("InvalidSignatureException", "Signature expired: 20261124T000000Z is now earlier than …"),
        DeniedError,
        "set this machine's clock",
    ),
    "a clock ahead": (
        problem("InvalidSignatureException", "Signature not yet current: 20261124T000000Z is still later than …"),
        DeniedError,
        "set this machine's clock",
    ),
    "something else": (problem("InvalidParameterException"), RefusedError, ""),
    "an empty answer": (Answer(body=b"{}"), RegistryError, ""),
    "an answer that is none": (Answer(body=b"<html>"), RegistryError, ""),
    "a login that is none": (
        Answer(body=b'{"authorizationData":[{"authorizationToken":"?","expiresAt":1}]}'),
        RegistryError,
        "",
    ),
}


@pytest.mark.parametrize(("answer", "kind", "hint"), REFUSALS.values(), ids=REFUSALS)
def test_what_amazon_refuses_is_told_with_the_next_step(
    answer: Answer, kind: type[EdgeliftError], hint: str, amazon: Amazon
) -> None:
    """Errors are ours, name the registry and Amazon's code, and are the same whoever asks."""
    amazon.refuse = {"GetAuthorizationToken": answer}

    with pytest.raises(kind, match=f"{HOST}: cannot get a login") as caught:
        amazon.open_registry(credentials_of(EcrLogin()), Hands().clock).log_in()

    assert (type(caught.value), hint in (caught.value.hint or "")) == (kind, True)


def test_no_secret_is_shown(amazon: Amazon, caplog: pytest.LogCaptureFixture) -> None:
    """What Amazon says of a bad signature repeats the request; neither it nor a login is told or logged by us."""
    words = f"The canonical string is 'x-amz-security-token:{SESSION}' {SECRET}"
    amazon.refuse = {"GetAuthorizationToken": problem("InvalidSignatureException", words)}
    ecr = EcrLogin()
    token = base64.b64encode(b"AWS:token-1").decode()
    with caplog.at_level(logging.DEBUG):
        with pytest.raises(DeniedError) as caught:
            ecr.find(HOST, "a")
        found = ecr.find(HOST, "a")

    shown = f"{caught.value} {caught.value!r} {found!r} {ecr!r} {caplog.text}"
    assert [secret for secret in (SECRET, SESSION, "token-1", token) if secret in shown] == []


def test_no_credentials_are_told(amazon: Amazon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has allowed AWS credentials and has none learns where they are looked for."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)

    with pytest.raises(ConfigurationError, match="there are no AWS credentials") as caught:
        EcrLogin().find(HOST, "a")

    assert "AWS_*" in (caught.value.hint or "")


def test_a_profile_is_used(amazon: Amazon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A named profile counts before the environment, and one that is not there is told."""
    (tmp_path / "credentials").write_text("[site]\naws_access_key_id = AKIASITE\naws_secret_access_key = x\n")
    EcrLogin(profile="site").find(HOST, "a")

    assert "Credential=AKIASITE/" in amazon.calls[0].headers["authorization"]
    with pytest.raises(ConfigurationError, match="there is no such AWS profile"):
        EcrLogin(profile="none").find(HOST, "a")


def test_amazon_that_cannot_be_reached_is_told(amazon: Amazon, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is worth another attempt later."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", "http://127.0.0.1:9")

    with pytest.raises(UnreachableError, match="no answer from AWS") as caught:
        EcrLogin().find(HOST, "a")

    assert caught.value.retryable


# Repositories


def push(amazon: Amazon, *, create: bool, repository: str = "team/app", host: str = HOST) -> str:
    """Upload a blob with a client that makes repositories, or not."""
    ecr, hands = EcrLogin(), Hands()
    registry = amazon.open_registry(credentials_of(ecr), hands.clock, host)
    if create:
        registry.create_missing(lambda name: ecr.create_repository(host, name))
    return registry.upload_blob(repository, BLOB, lambda: iter([CONTENT]))


def test_a_missing_repository_is_made_where_that_is_asked_for(amazon: Amazon) -> None:
    """It is made in the account of the registry when the first upload finds it missing, and once."""
    assert [push(amazon, create=True) for _ in range(2)] == ["uploaded"] * 2

    (made,) = [call for call in amazon.calls if call.headers["x-amz-target"].endswith("CreateRepository")]
    assert json.loads(made.body) == {"registryId": ACCOUNT, "repositoryName": "team/app"}


def test_a_missing_repository_is_not_made_unasked(amazon: Amazon) -> None:
    """The error says why the registry does not have it."""
    with pytest.raises(NotFoundError, match="404 NAME_UNKNOWN") as caught:
        push(amazon, create=False)

    assert "created first" in (caught.value.hint or "")
    assert amazon.names() == ["GetAuthorizationToken"]


def test_a_repository_of_the_public_registry_is_made_without_its_owner(amazon: Amazon) -> None:
    """Its path begins with the owner's alias, which the API does not take."""
    EcrLogin().create_repository(PUBLIC, "owner/team/app")

    assert json.loads(amazon.calls[0].body) == {"repositoryName": "team/app"}


def test_a_repository_that_somebody_else_has_just_made_is_fine(amazon: Amazon) -> None:
    """Two runs at once both find it missing."""

    def overtake(name: str) -> None:
        if name == "CreateRepository":
            amazon.repositories.add("team/app")

    amazon.before_answer = overtake

    assert push(amazon, create=True) == "uploaded"


def test_a_repository_that_may_not_be_made_is_told(amazon: Amazon) -> None:
    """The right that is missing is named."""
    amazon.refuse = {"CreateRepository": problem("AccessDeniedException")}

    with pytest.raises(DeniedError, match="cannot make the repository team/app") as caught:
        push(amazon, create=True)

    assert caught.value.hint == "allow ecr:CreateRepository for these AWS credentials"


def test_proving_the_right_to_push_makes_nothing(amazon: Amazon) -> None:
    """A rehearsal leaves no trace; that the repository is missing is no obstacle where it would be made."""
    ecr, hands = EcrLogin(), Hands()
    registry = amazon.open_registry(credentials_of(ecr), hands.clock)
    with pytest.raises(NotFoundError):
        registry.check_push("team/app")
    registry.create_missing(lambda name: ecr.create_repository(HOST, name))
    registry.check_push("team/app")

    assert (amazon.names(), amazon.repositories) == (["GetAuthorizationToken"], set())


def test_repositories_are_made_at_amazon_only(amazon: Amazon) -> None:
    """Other registries are not the business of AWS credentials."""
    with pytest.raises(ConfigurationError, match=r"registry\.example is not a registry of Amazon's"):
        EcrLogin().create_repository("registry.example", "team/app")

    assert amazon.calls == []
