"""The Local UI API of one edge host, request by request: login, upload, and what the host says of its content.

It knows HTTP and the documents; what follows from them is decided in `upload`.
"""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from edgelift.addresses import is_loopback, split_host
from edgelift.edge.form import UploadForm
from edgelift.errors import ConfigurationError, EdgeHostError, EdgeliftError
from edgelift.explain import explain
from edgelift.oci.failures import RETRYABLE, clean_text, unreachable
from edgelift.oci.reference import is_registry
from edgelift.transport import TransportSettings, open_client

UploadKind = Literal["content", "cluster-definition"]

PORT = 5080  # of the Local UI
_ANSWER_LIMIT = 4 * 2**20  # bytes; the documents have hundreds
_UNPACKING = 3600.0  # seconds that a host may stay silent once it has a file: it unpacks it before it answers
_FAREWELL = 5.0  # seconds that it may take to answer a logout
_HOST = "/v1/edge-mgmt/edgehosts/current"
_LOGIN = "/v1/users/default/login"
_LOGOUT = "/v1/users/default/logout"
_UPLOADED = f"{_HOST}/uploaded-content/details"
_SYNC = "/v1/edge-mgmt/cluster/registry/content/sync-status/details"
_ACTIONS: dict[UploadKind, str] = {
    "content": f"{_HOST}/actions/upload-content",
    "cluster-definition": f"{_HOST}/actions/upload-clusterconfig",
}


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class _Token(_Answer):
    authorization: str = Field(alias="Authorization", repr=False, pattern=r"^[!-~][ -~]{0,16383}$")  # fit for a header


class _Login(_Answer):
    token: _Token = Field(alias="Token")


class _Uploaded(_Answer):
    upload_path: str = Field("", alias="uploadPath")


class UploadedContent(_Answer):
    """What a host says of the content that was uploaded last; empty where it does not say."""

    file_name: str = Field("", alias="fileName")
    sha256: str = Field("", alias="sha256Hash")
    size: int | None = Field(None, alias="sizeInBytes")


class SyncItem(_Answer):
    """One image, chart or pack on its way from the host that got it to its cluster's registry, or to other hosts."""

    name: str = ""
    version: str = ""
    status: str = ""
    reason: str = Field("", alias="msg")


class SyncStatus(_Answer):
    """How far a host is with all content that was uploaded to it."""

    items: tuple[SyncItem, ...] | None = Field(None, alias="pendingItems")
    errors: dict[str, Any] | None = None
    message: str = Field("", alias="statusMessage")


_Model = TypeVar("_Model", bound=_Answer)


@dataclass(frozen=True)
class Address:
    """Where a Local UI is."""

    scheme: str
    host: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """`HOST[:PORT]`, with https:// or without; the port of the Local UI is 5080.

        Raises `ConfigurationError` where it is none, and for plain HTTP to another machine.
        """
        try:
            parts = urlsplit(text.strip() if "://" in text else f"https://{text.strip()}")
        except ValueError:
            parts = urlsplit("")
        host = parts.netloc if split_host(parts.netloc)[1] is not None else f"{parts.netloc}:{PORT}"
        is_bare = parts.scheme in {"http", "https"} and parts.path in {"", "/"} and not parts.query
        if not parts.netloc or not is_bare or not is_registry(host):
            raise ConfigurationError(
                "that is not the address of an edge host", hint="write it as HOST or HOST:PORT, without a path or login"
            )
        if parts.scheme == "http" and not is_loopback(split_host(host)[0]):
            raise ConfigurationError(
                f"http://{host} would carry the password in the open", hint="leave out http://: the Local UI has TLS"
            )
        return cls(parts.scheme, host)


class EdgeHost:
    """The Local UI API at `address`, reached as `settings` say; at the end of a `with` block we log out.

    Each failure is an `EdgeHostError`, in which there is neither password nor token.
    """

    def __init__(self, address: Address, settings: TransportSettings) -> None:
        self.name = address.host
        self._root = f"{address.scheme}://{address.host}"
        self._http = open_client(settings, address.host)
        self._token: SecretStr | None = None
        self._secrets: list[str] = []

    def log_in(self, user: str, password: SecretStr) -> None:
        """Log in for as long as a large upload may take (24 hours)."""
        self._secrets.append(password.get_secret_value())
        body = json.dumps({"username": user, "password": password.get_secret_value()}).encode()
        headers = {"content-type": "application/json"}
        url = f"{_LOGIN}?setCookie=false&extendedSession=true"
        login = self._ask(_Login, "POST", url, f"log in as {user}", content=body, headers=headers)
        self._token = SecretStr(login.token.authorization)
        self._secrets.append(login.token.authorization)

    def log_out(self) -> None:
        """End the session; a host that does not hear us ends it by itself."""
        with suppress(EdgeHostError):
            self._send("POST", _LOGOUT, "log out", silence=_FAREWELL)
        self._token = None

    def upload(self, kind: UploadKind, form: UploadForm, on_progress: Callable[[int], None]) -> str:
        """Send the file of `form`; gives the path that it got on the host, empty where the host does not say."""
        headers = {"content-type": form.content_type, "content-length": str(form.size)}
        content, doing = form.body(on_progress), f"upload {form.name}"
        body = self._send("POST", _ACTIONS[kind], doing, content=content, headers=headers, silence=_UNPACKING)
        try:
            return _Uploaded.model_validate_json(body).upload_path
        except ValidationError:  # it has the file all the same
            return ""

    def last_upload(self) -> UploadedContent:
        """What it says of the content that was uploaded last."""
        return self._ask(UploadedContent, "GET", _UPLOADED, "read what was uploaded")

    def sync_status(self) -> SyncStatus:
        """How far it is with what was uploaded."""
        return self._ask(SyncStatus, "GET", _SYNC, "read how far the content is synced")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None and (error is None or isinstance(error, EdgeliftError)):
            self.log_out()
        self._http.close()

    def _ask(self, model: type[_Model], method: str, path: str, doing: str, **options: Any) -> _Model:
        """The document that answers; raises `EdgeHostError` where it is another one."""
        body = self._send(method, path, doing, **options)
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            raise EdgeHostError(
                f"{self.name}: cannot {doing}: its answer makes no sense: {explain(error)}",
                hint=f"check that this is the Local UI of an edge host (port {PORT})",
            ) from None

    def _send(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        content: bytes | Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
        silence: float | None = None,
    ) -> bytes:
        """The body of a successful answer, which may let us wait for `silence` seconds."""
        own = {"authorization": self._token.get_secret_value()} if self._token is not None else {}
        usual = self._http.timeout
        options: dict[str, Any] = {
            "content": content,
            "headers": {**(headers or {}), **own},
            "timeout": usual if silence is None else httpx.Timeout(usual.connect, read=silence),
        }
        try:
            with self._http.stream(method, f"{self._root}{path}", **options) as response:
                body = self._read(response, doing)
        except httpx.HTTPError as error:
            raise self._no_answer(doing, error) from None
        if not response.is_success:
            raise self._refusal(doing, response.status_code, body)
        return body

    def _read(self, response: httpx.Response, doing: str) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > _ANSWER_LIMIT:
                raise EdgeHostError(
                    f"{self.name}: cannot {doing}: it answers with more than {_ANSWER_LIMIT >> 20} MiB",
                    hint=f"check that this is the Local UI of an edge host (port {PORT})",
                    status=response.status_code,
                )
        return bytes(body)

    def _no_answer(self, doing: str, error: httpx.HTTPError) -> EdgeHostError:
        found = unreachable(self.name, doing, error)
        hint = f"check the address, the port (the Local UI's is {PORT}) and the network in between"
        if "its TLS certificate" in found.message:
            hint = f"{found.hint}; where the host has signed its own, there is --insecure"
        return EdgeHostError(found.message, hint=hint, retryable=found.retryable)

    def _refusal(self, doing: str, status: int, body: bytes) -> EdgeHostError:
        said = self._words(body)
        return EdgeHostError(
            f"{self.name}: cannot {doing}: {status}{f' ({said})' if said else ''}",
            hint=_next_step(status, is_login=self._token is None),
            retryable=status in RETRYABLE,
            status=status,
        )

    def _words(self, body: bytes) -> str:
        """Its own words about an error (code and message), fit to be shown."""
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return ""
        fields = document if isinstance(document, dict) else {}
        words = [text for name in ("code", "message") if isinstance(text := fields.get(name), str) and text]
        return clean_text(": ".join(words), self._secrets)


def _next_step(status: int, *, is_login: bool) -> str | None:
    if is_login and status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return "check user name and password: they are those of the host's Local UI"
    return {
        401: "the session may have ended: run it again",
        403: "the user may lack the right to do that",
        404: "check that this is the Local UI of an edge host, and not an old one",
        413: "a proxy in front of the host may limit the size of requests: raise its limit, or go past it",
        500: "the host's own log may say more, for example that its disk is full",
    }.get(status)
