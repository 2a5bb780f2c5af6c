"""The S3 client that the archive and the store use, and what an S3 server answers, as errors of ours.

The client is botocore's own; boto3 would put transfers on it that nobody here uses, and that take long to load.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader
from botocore.session import Session
from pydantic import SecretStr

from edgelift.errors import ConfigurationError, EdgeliftError, StoreError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef, PutObjectOutputTypeDef

_KEYS = "check the access key and the secret key, and that they belong to this server"
_RIGHTS = "allow s3:PutObject, s3:GetObject and s3:AbortMultipartUpload on this bucket for these keys"
_REGION = "set the region of the bucket"
_BUCKET = "make the bucket, or check its name; edgelift makes none"
_SPACE = "free some space or raise the quota, then run the same command again"
_MISSING = "check the name, the prefix and the bucket"
_LATER = "try again later; nothing incomplete is visible in the bucket"

_DENIED = frozenset({"403", "AccessDenied", "AllAccessDisabled"})
_REFUSALS = {
    "404": _MISSING,
    "412": "the object was replaced meanwhile; run it again",
    "AuthorizationHeaderMalformed": _REGION,
    "BadDigest": "a part was damaged on the way; try again",
    "EntityTooLarge": "the server has a smaller limit than S3; archive to a directory, or raise its limit",
    "ExpiredToken": "get new keys: these have expired",
    "IllegalLocationConstraintException": _REGION,
    "InvalidAccessKeyId": _KEYS,
    "InvalidBucketName": _BUCKET,
    "InvalidObjectState": "the object is in cold storage: have S3 bring it back first, then run it again",
    "InvalidRange": "the object is empty; check the name, or copy it there again",
    "InvalidToken": "get new keys: their session token is not valid",
    "NoSuchBucket": _BUCKET,
    "NoSuchKey": _MISSING,
    "NoSuchUpload": "the upload was removed from outside, perhaps by a clean-up rule of the bucket; try again",
    "PermanentRedirect": _REGION,
    "PreconditionFailed": "the object was replaced while it was read; try again",
    "QuotaExceeded": _SPACE,
    "RequestTimeTooSkewed": "set this machine's clock: it differs too much from the server's",
    "SignatureDoesNotMatch": _KEYS,
    "XMinioStorageFull": _SPACE,
}
_ONCE_MORE = frozenset({"BadDigest", "NoSuchUpload", "PreconditionFailed"})
_RETRYABLE_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_ABSENT = 404
_NOT_IMPLEMENTED = 501
_UNMET = frozenset({409, 412})  # ConditionalRequestConflict, PreconditionFailed (AWS, "conditional requests")
_FULL = 507  # Insufficient Storage (RFC 4918)

_REACH = "check the endpoint's name and port, and that this machine may connect to it"
_NO_ANSWERS = {
    "ConnectTimeoutError": _REACH,
    "EndpointConnectionError": _REACH,
    "NoCredentialsError": "give an access key and a secret key, or set up boto3's own sources of them",
    "PartialCredentialsError": "give both, an access key and a secret key",
    "ParamValidationError": "check the bucket and the name",
    "ProxyConnectionError": "check HTTPS_PROXY and NO_PROXY: the proxy does not answer",
    "SSLError": "give the certificate of the endpoint's authority",
}
_SETTINGS = frozenset({"NoCredentialsError", "ParamValidationError", "PartialCredentialsError"})


def make_client(
    *,
    endpoint: str | None,
    region: str | None,
    access_key: SecretStr | None,
    secret_key: SecretStr | None,
    ca_cert: Path | None,
    insecure: bool,
    connections: int,
) -> "S3Client":
    """A client for `endpoint` (AWS without one), with the keys given or what boto3 finds; nothing is asked yet.

    Up to `connections` threads may share it. Raises `ConfigurationError` for settings that cannot be used.
    """
    if ca_cert is not None and not ca_cert.is_file():
        raise ConfigurationError(f"{ca_cert} is not a file", hint="give the PEM file of the endpoint's authority")
    settings = Config(
        retries={"mode": "standard", "total_max_attempts": 6},
        connect_timeout=10,
        read_timeout=60,
        tcp_keepalive=True,
        max_pool_connections=connections,
        request_checksum_calculation="when_required",  # older servers refuse boto3's own default
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"} if endpoint else {},  # only AWS has a name in DNS for each bucket
    )
    try:
        client = _open_session().create_client(
            "s3",
            endpoint_url=endpoint,
            region_name=region or ("us-east-1" if endpoint else None),  # signatures need one
            aws_access_key_id=access_key.get_secret_value() if access_key else None,
            aws_secret_access_key=secret_key.get_secret_value() if secret_key else None,
            verify=False if insecure else str(ca_cert) if ca_cert else None,
            config=settings,
        )
        return cast("S3Client", client)
    except BotoCoreError as error:
        raise ConfigurationError(f"these S3 settings cannot be used: {error}") from None
    except ValueError:  # repeats the endpoint, which may have been given with keys in it
        raise ConfigurationError(
            "these S3 settings cannot be used: the endpoint is not a plain URL", hint="write it as https://host:port"
        ) from None


class _Models(Loader):
    """What botocore knows of services: of S3, and of those that hand out keys for it."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - who asks then looks for that
        """The names of all; botocore itself would look into the 400 folders of that name, too, for one answer."""
        folders = (Path(place) for place in self.search_paths)
        return [each.name for folder in folders if folder.is_dir() for each in folder.iterdir()]


def _open_session() -> Session:
    """A session that finds keys and settings where boto3 does."""
    session = Session()
    places = session.get_config_variable("data_path")  # AWS_DATA_PATH: what somebody has to say of further regions
    folders = [str(Path(place).expanduser()) for place in places.split(os.pathsep)] if places else None
    session.register_component("data_loader", _Models(folders))
    return session


def host_of(endpoint: str | None) -> str:
    """What messages call the server at `endpoint`; raises `ConfigurationError` where that is no plain URL."""
    if endpoint is None:
        return "AWS"
    with suppress(ValueError):  # of ports and brackets
        url = urlsplit(endpoint)
        if url.scheme in {"http", "https"} and url.hostname and "@" not in url.netloc and not url.query:
            return url.netloc
    raise ConfigurationError(
        "the S3 endpoint is not a plain URL", hint="write it as https://host:port; keys are given apart from it"
    )


@contextmanager
def s3_errors(attempt: str, place: str, rights: str = _RIGHTS) -> Iterator[None]:
    """Turn what boto3 raises into errors that say that `attempt` failed at the server `place`, and the next step.

    `rights` is that step where the server denies it.
    """
    try:
        yield
    except ClientError as error:
        message = error.response.get("Error", {}).get("Message", "")
        raise refusal(attempt, place, code_of(error), status_of(error), message, rights=rights) from None
    except BotoCoreError as error:
        raise no_answer(attempt, place, type(error).__name__, str(error)) from None


def get_if_there(client: "S3Client", **request: Any) -> "GetObjectOutputTypeDef | None":
    """What S3 answers to GetObject; None where there is no such object. Raises what boto3 does."""
    try:
        return client.get_object(**request)
    except ClientError as error:
        if status_of(error) == _ABSENT:
            return None
        raise


def head_if_there(client: "S3Client", **request: Any) -> "HeadObjectOutputTypeDef | None":
    """What S3 answers to HeadObject; None where there is no such object. Raises what boto3 does."""
    try:
        return client.head_object(**request)
    except ClientError as error:
        if status_of(error) == _ABSENT:
            return None
        raise


def abort_if_there(client: "S3Client", **request: Any) -> None:
    """Have S3 carry out AbortMultipartUpload; nothing where there is no such upload. Raises what boto3 does."""
    try:
        client.abort_multipart_upload(**request)
    except ClientError as error:
        if status_of(error) != _ABSENT:
            raise


def put_if(client: "S3Client", **request: Any) -> "PutObjectOutputTypeDef | None":
    """What S3 answers to PutObject; None where its condition (IfMatch, IfNoneMatch) does not hold.

    Raises what boto3 does.
    """
    try:
        return client.put_object(**request)
    except ClientError as error:
        is_gone = "IfMatch" in request and code_of(error) == "NoSuchKey"
        if status_of(error) in _UNMET or is_gone:
            return None
        raise


def keeps_conditions(client: "S3Client", bucket: str, key: str) -> bool:
    """Whether the server heeds the condition of a write; tried with the object `key`, which is there afterwards.

    Raises what boto3 does.
    """
    for _ in range(2):  # the second time it is there for certain
        try:
            if put_if(client, Bucket=bucket, Key=key, Body=b"", IfNoneMatch="*") is None:
                return True
        except ClientError as error:
            if status_of(error) != _NOT_IMPLEMENTED:
                raise
            return False
    return False


def code_of(error: ClientError) -> str:
    """S3's name for what it refused, such as `NoSuchBucket`; the status, where there was no body."""
    return str(error.response.get("Error", {}).get("Code", "no code"))


def status_of(error: ClientError) -> int:
    """The HTTP status of a refusal."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def refusal(attempt: str, place: str, code: str, status: int, message: str, *, rights: str = _RIGHTS) -> EdgeliftError:
    """The error for `attempt` that the server at `place` answered with S3's `code` and HTTP `status`."""
    hint = rights if code in _DENIED else _REFUSALS.get(code)
    named = code if code == str(status) else f"{code} ({status})"
    words = f": {_plain(message)}" if message and code != str(status) else ""
    return StoreError(
        f"cannot {attempt}: {place} answered {named}{words}",
        hint=hint or (_SPACE if status == _FULL else _LATER if status in _RETRYABLE_STATUS else None),
        retryable=code in _ONCE_MORE or status in _RETRYABLE_STATUS,
    )


def no_answer(attempt: str, place: str, kind: str, message: str) -> EdgeliftError:
    """The error for `attempt` that got no answer from `place`; `kind` is the name of boto3's exception."""
    error = ConfigurationError if kind in _SETTINGS else StoreError
    return error(
        f"cannot {attempt}: no answer from {place}: {_plain(message)}",
        hint=_NO_ANSWERS.get(kind, _LATER),
        retryable=kind not in _NO_ANSWERS or kind in {"ConnectTimeoutError", "EndpointConnectionError"},
    )


def _plain(message: str) -> str:
    """`message` on one line of bearable length, without the query strings of URLs."""
    return re.sub(r"\?[^\s\"']*", "", " ".join(message.split()))[:300].rstrip(". ")
