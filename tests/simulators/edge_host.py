"""An edge host's Local UI with a fault switch: it really listens, takes uploads, and misbehaves on order.

with EdgeHostSimulator(password="secret") as host:
    host.answers_with(413, path="upload-content")
    EdgeHost(Address.parse(host.url), TransportSettings())
"""

import hashlib
import hmac
import mmap
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edgelift.serve.server import RunningServer
from tests.certificates import ServerCertificate
from tests.simulators.fault_layer import Exchange, Fault, FaultLayer, Rule
from tests.simulators.faults import answer, cut

TOKEN = "eyJhbGciOiJIUzI1NiJ9.local-ui.c2lnbmF0dXJl"
ACTIONS = "/v1/edge-mgmt/edgehosts/current/actions"
UPLOADED = "/v1/edge-mgmt/edgehosts/current/uploaded-content/details"
SYNC = "/v1/edge-mgmt/cluster/registry/content/sync-status/details"


@dataclass(frozen=True)
class ReceivedFile:
    """One file of a form."""

    file_name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class ReceivedUpload:
    """What one upload brought: the action that it was for, and its files by field."""

    action: str
    files: Mapping[str, ReceivedFile]

    @property
    def file(self) -> ReceivedFile:
        """The file itself."""
        return self.files["uploadFile"]


class EdgeHostSimulator:
    """Serves on loopback while the `with` block runs, over TLS if it has a certificate.

    `told` replaces members of what it says of the last upload; each question about the sync takes the next of `syncs`,
    the last of which stays. Only content counts as an upload that it tells of, as its documentation says.
    """

    def __init__(
        self,
        password: str,
        *,
        user: str = "admin",
        certificate: ServerCertificate | None = None,
        told: Mapping[str, Any] | None = None,
        syncs: Sequence[Mapping[str, Any]] = ({"pendingItems": []},),
    ) -> None:
        self.uploads: list[ReceivedUpload] = []
        self.is_logged_in = False
        self._login = {"username": user, "password": password}
        self._told = dict(told or {})
        self._syncs = list(syncs)
        routes = [
            Route("/v1/users/default/login", self._log_in, methods=["POST"]),
            Route("/v1/users/default/logout", self._log_out, methods=["POST"]),
            Route(f"{ACTIONS}/{{action}}", self._upload, methods=["POST"]),
            Route(UPLOADED, self._tell_upload),
            Route(SYNC, self._tell_sync),
        ]
        self._layer = FaultLayer(Starlette(routes=routes))
        cert, key = (certificate.cert, certificate.key) if certificate else (None, None)
        self._server = RunningServer(self._layer, certfile=cert, keyfile=key)

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)

    @property
    def url(self) -> str:
        """Scheme and host."""
        return self._server.url

    @property
    def host(self) -> str:
        """Host and port."""
        return self._server.host

    @property
    def exchanges(self) -> list[Exchange]:
        """Every request so far, those that a fault struck included."""
        return self._layer.exchanges

    def answers_with(self, status: int, body: bytes = b"", *, path: str = "", times: int | None = 1) -> None:
        """Answer like that instead, on paths that match `path`."""
        self._add(answer(status, {}, body), path, times)

    def resets(self, after: int, *, path: str = "", times: int | None = 1) -> None:
        """Reset the connection after so many bytes of the body of a request."""
        self._add(cut(after, reset=True), path, times)

    def _add(self, fault: Fault, path: str, times: int | None) -> None:
        self._layer.rules.append(Rule(fault, None, re.compile(path), times))

    async def _log_in(self, request: Request) -> Response:
        given = await request.json()
        if not all(
            hmac.compare_digest(str(given.get(key)).encode(), each.encode()) for key, each in self._login.items()
        ):
            message = f"invalid credentials: {given.get('password')}"  # a host that repeats what it was told
            return JSONResponse({"code": "InvalidCredentials", "message": message}, 400)
        self.is_logged_in = True
        return JSONResponse({"Token": {"Authorization": TOKEN}, "IsFirstLogin": False})

    async def _log_out(self, request: Request) -> Response:
        self.is_logged_in = False
        return Response(status_code=200)

    async def _upload(self, request: Request) -> Response:
        if (refusal := self._refuse(request)) is not None:
            return refusal
        with tempfile.TemporaryFile() as body:
            try:
                async for chunk in request.stream():
                    body.write(chunk)
            except ClientDisconnect:
                return Response(status_code=400)
            body.flush()
            files = _parse_form(request.headers["content-type"], body.fileno())
        action = request.path_params["action"]
        self.uploads.append(ReceivedUpload(action, files))
        path = f"/usr/local/spectrocloud/uploads/{files['uploadFile'].file_name}"
        return JSONResponse({"message": "uploaded", "uploadPath": path}, 201)

    async def _tell_upload(self, request: Request) -> Response:
        if (refusal := self._refuse(request)) is not None:
            return refusal
        contents = [upload.file for upload in self.uploads if upload.action == "upload-content"]
        if not contents:
            return JSONResponse({"code": "NotFound", "message": "nothing was uploaded"}, 404)
        last = contents[-1]
        document = {"fileName": last.file_name, "sha256Hash": last.sha256, "sizeInBytes": last.size}
        return JSONResponse({**document, "uploadDateTime": "2026-01-01T00:00:00Z", **self._told})

    async def _tell_sync(self, request: Request) -> Response:
        if (refusal := self._refuse(request)) is not None:
            return refusal
        return JSONResponse(self._syncs.pop(0) if len(self._syncs) > 1 else self._syncs[0])

    def _refuse(self, request: Request) -> Response | None:
        given = request.headers.get("authorization", "")
        if self.is_logged_in and hmac.compare_digest(given, TOKEN):
            return None
        return JSONResponse({"code": "Unauthorized", "message": f"no session for {given}"}, 401)


def _parse_form(content_type: str, file: int) -> dict[str, ReceivedFile]:
    """The files in a form, by field (RFC 7578, RFC 2046 §5.1); none is ever in memory as a whole."""
    boundary = content_type.partition("boundary=")[2].encode()
    assert content_type.startswith("multipart/form-data; ")
    assert boundary
    with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as form:
        assert form[: len(boundary) + 4] == b"--" + boundary + b"\r\n"
        found, position = {}, len(boundary) + 4
        while True:
            begin = form.find(b"\r\n\r\n", position) + 4
            end = form.find(b"\r\n--" + boundary, begin)
            assert -1 not in (begin - 4, end)
            heading = form[position:begin].decode()
            (field,) = re.findall(r'; name="([^"]*)"', heading)
            (name,) = re.findall(r'; filename="([^"]*)"', heading)
            hasher = hashlib.sha256()
            for start in range(begin, end, 2**20):
                hasher.update(form[start : min(start + 2**20, end)])
            found[field] = ReceivedFile(name, end - begin, hasher.hexdigest())
            position = end + len(boundary) + 6
            if form[position - 2 : position] == b"--":
                assert form[position:] == b"\r\n"
                return found


def sync_document(**statuses: str) -> dict[str, Any]:
    """What a host says of its sync: an item for each name, with that status."""
    items = [
        {"name": name, "version": "1.0", "contentType": "image", "status": status, "msg": f"{name} is {status}"}
        for name, status in statuses.items()
    ]
    return {"pendingItems": items, "errors": {}, "statusMessage": "at work"}
