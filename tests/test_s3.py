"""What S3 servers and boto3 say, in our words."""

from pathlib import Path

import pytest
from botocore.exceptions import UnknownServiceError

from edgelift.errors import ConfigurationError, StoreError
from edgelift.s3 import _open_session, host_of, no_answer, refusal

REFUSALS = {
    "a clock that is wrong": (("RequestTimeTooSkewed", 403), "set this machine's clock", False),
    "no right": (("AccessDenied", 403), "allow s3:PutObject", False),
    "no right, and no body": (("403", 403), "allow s3:PutObject", False),
    "too fast": (("SlowDown", 503), "try again later", True),
    "a server error": (("InternalError", 500), "try again later", True),
    "a full disk": (("InsufficientStorage", 507), "free some space", False),
    "a part damaged": (("BadDigest", 400), "a part was damaged", True),
    "another region": (("PermanentRedirect", 301), "set the region", False),
    "what nobody has heard of": (("TeapotError", 418), "None", False),
}


@pytest.mark.parametrize(("answer", "hint", "retryable"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_explained(answer: tuple[str, int], hint: str, retryable: bool) -> None:
    """Each code has a next step, and says whether waiting helps."""
    code, status = answer

    error = refusal("archive x", "s3.example", code, status, "Some words.")

    assert (str(error.hint)[: len(hint)], error.retryable) == (hint, retryable)
    assert "cannot archive x: s3.example answered" in error.message


def test_a_servers_words_are_shown_short_and_without_queries() -> None:
    """Whatever a server writes is one line of bearable length, and signed URLs lose what signs them."""
    words = "see https://s3.example/b/k?X-Amz-Signature=abcdef for\nmore " + "x" * 1000

    error = refusal("archive x", "s3.example", "Strange", 400, words)

    assert "X-Amz-Signature" not in error.message
    assert "https://s3.example/b/k for more" in error.message
    assert (len(error.message) < 400, "\n" in error.message) == (True, False)


NO_ANSWERS = {
    "nothing there": ("EndpointConnectionError", StoreError, True),
    "a certificate that nothing vouches for": ("SSLError", StoreError, False),
    "no keys": ("NoCredentialsError", ConfigurationError, False),
    "silence": ("ReadTimeoutError", StoreError, True),
}


@pytest.mark.parametrize(("kind", "error", "retryable"), NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_no_answer_is_explained(kind: str, error: type[Exception], retryable: bool) -> None:
    """What was wrong with the settings is told apart from what may pass."""
    raised = no_answer("archive x", "s3.example", kind, "words")

    assert (type(raised), raised.retryable, raised.hint is not None) == (error, retryable, True)


ENDPOINTS = {
    "AWS": (None, "AWS"),
    "a name": ("https://s3.example.com", "s3.example.com"),
    "an address and a port": ("http://127.0.0.1:8333/", "127.0.0.1:8333"),
}


@pytest.mark.parametrize(("endpoint", "name"), ENDPOINTS.values(), ids=ENDPOINTS)
def test_messages_call_a_server_by_its_host(endpoint: str | None, name: str) -> None:
    """The host and port of the endpoint, and nothing else of it."""
    assert name == host_of(endpoint)


@pytest.mark.parametrize(
    "endpoint", ["s3.example:9000", "ftp://s3.example", "https://", "https://a:b@s3.example", "http://["]
)
def test_an_endpoint_is_a_plain_url(endpoint: str) -> None:
    """Anything else is refused before a key goes there."""
    with pytest.raises(ConfigurationError, match="not a plain URL"):
        host_of(endpoint)


def test_roles_find_the_services_that_give_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not only S3 is known: keys come from others, too. What AWS_DATA_PATH says of services comes before all else."""
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    models = _open_session().get_component("data_loader")

    assert "AssumeRole" in models.load_service_model("sts", "service-2")["operations"]
    assert models.search_paths[0] == str(tmp_path)
    with pytest.raises(UnknownServiceError):
        models.load_service_model("no-such-service", "service-2")
