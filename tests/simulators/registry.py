"""A registry for tests: edgelift's own registry on loopback, with a script of faults and quirks.

    with RegistrySimulator(tmp_path) as sim:                     # sim.host, sim.url; an empty, writable registry
        sim.put_image(make_image("team/app"))                    # straight into it: no request, no fault
        sim.fail("GET", "/blobs/", status=503)                   # the next blob GET gets 503, the one after works
        sim.fail("GET", "/manifests/", status=429, retry_after=2, times=3)
        sim.cut("GET", "/blobs/", after_bytes=500_000)           # RST in the middle of a body; uploads count what came
        sim.lose_response("PUT", "/manifests/")                  # done, but the client never hears of it
        ...
        assert sim.count("GET", "/blobs/") == 2                  # or look at sim.requests

`path` is a regular expression searched in path and query of the URL (`mount=` finds mounts), `method` is exact or None
for all. `times` is how often a fault strikes (1 unless told; None: for ever), `skip` how many matching requests pass
before. Rules apply in the order in which they are added; `heal` removes them all. HEAD has no body, so the body faults
leave it alone. A lost upload session is `fail("PATCH", "/uploads/", status=404, code="BLOB_UPLOAD_UNKNOWN")`.

Who may come in: `login=Login(…)` asks for basic authentication, `tokens=TokenServer(…)` for bearer tokens;
`certificate=` serves over TLS, `profile=` makes it one of the registries there are (`tests/simulators/profiles`), with
its ways of letting people in. Everything is deterministic: no chance, no sleeping but in `stall`.
"""

import json
import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Scope

from edgelift.demo.content import SampleImage
from edgelift.demo.servers import fill_registry
from edgelift.oci.digest import Digest
from edgelift.serve.access import Login
from edgelift.serve.registry import create_registry
from edgelift.serve.server import RunningServer
from tests.certificates import ServerCertificate
from tests.simulators import faults
from tests.simulators.blob_storage import BlobStorage
from tests.simulators.fault_layer import Exchange, Fault, FaultLayer, Rule
from tests.simulators.profiles.profile import Profile
from tests.simulators.token_server import RequireToken, TokenServer

_CODES = {401: "UNAUTHORIZED", 403: "DENIED", 404: "NAME_UNKNOWN", 413: "SIZE_INVALID", 429: "TOOMANYREQUESTS"}


class RegistrySimulator:
    """A registry in `root` that does as its script says; see the module's text for how to use it."""

    def __init__(
        self,
        root: Path,
        *,
        login: Login | None = None,
        tokens: TokenServer | None = None,
        certificate: ServerCertificate | None = None,
        profile: Profile | None = None,
        port: int = 0,
    ) -> None:
        self._profile = profile or Profile()
        self.content = self._profile.content(root)
        registry: ASGIApp = self._profile.wrap(create_registry(self.content, login=login), self.content)
        if tokens is not None:
            registry = RequireToken(registry, tokens)
        self._layer = FaultLayer(registry)
        cert, key = (certificate.cert, certificate.key) if certificate else (None, None)
        self._server = RunningServer(self._layer, port, certfile=cert, keyfile=key)
        self._servers = ExitStack()
        self._released = False
        self.host = self._server.host
        self.url = self._server.url

    def __enter__(self) -> Self:
        self._servers.enter_context(self._server)
        if self._profile.redirects_blobs:
            self.redirect_blobs()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        self._servers.close()

    # What is in it, and what happened

    def put_image(self, *images: SampleImage) -> None:
        """Put images into the registry without a request, each under its own repository and tag."""
        fill_registry(self.content, images)

    @property
    def requests(self) -> list[Exchange]:
        """Every request so far, in the order of arrival; those to the blob storage are among them."""
        return list(self._layer.exchanges)

    def count(self, method: str | None = None, path: str = "", status: int | None = None) -> int:
        """How many requests had this method, a path that matches, and this status."""
        return len([each for each in self.requests if _is_like(each, method, path, status)])

    def forget_requests(self) -> None:
        """Begin the log anew."""
        self._layer.exchanges.clear()

    def heal(self) -> None:
        """Remove every rule, and let go of what is stalled."""
        self._layer.rules.clear()
        self.release()

    def release(self) -> None:
        """Let all that is stalled go on."""
        self._released = True

    # Faults: answers

    def fail(
        self,
        method: str | None = None,
        path: str = "",
        *,
        status: int = 503,
        code: str = "",
        retry_after: str | float | None = None,
        times: int | None = 1,
        skip: int = 0,
    ) -> None:
        """Answer with `status` and an error body, before the request's body is read."""
        error = {"code": code or _CODES.get(status, "UNAVAILABLE"), "message": "as the test asked", "detail": ""}
        headers = {"Content-Type": "application/json"}
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        body = json.dumps({"errors": [error]}).encode()
        self._add(faults.answer(status, headers, body), method, path, times, skip)

    def deny(self, path: str, method: str | None = None, *, status: int = 403) -> None:
        """Refuse for ever, as a registry that knows the client but not this right."""
        self.fail(method, path, status=status, code="DENIED", times=None)

    def reply(
        self,
        method: str | None,
        path: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        times: int | None = 1,
        skip: int = 0,
    ) -> None:
        """Answer with exactly this: a proxy's page, a wrong 206, a hostile manifest."""
        self._add(faults.answer(status, headers or {}, body), method, path, times, skip)

    def limit_requests(self, largest: int) -> None:
        """Answer 413 to what is larger than `largest` bytes, as a proxy in front of a registry does."""
        self._add(faults.refuse_larger(largest), None, "", None, 0)

    # Faults: connections and bodies

    def cut(
        self,
        method: str | None = "GET",
        path: str = "/blobs/",
        *,
        after_bytes: int,
        times: int | None = 1,
        skip: int = 0,
    ) -> None:
        """Reset the connection after so many bytes of the body have arrived: here for uploads, there for downloads."""
        self._add(faults.cut(after_bytes, reset=True), method, path, times, skip)

    def truncate(
        self, method: str = "GET", path: str = "/blobs/", *, after_bytes: int, times: int | None = 1, skip: int = 0
    ) -> None:
        """End the connection in good order after so many bytes of the body: shorter than its Content-Length."""
        self._add(faults.cut(after_bytes, reset=False), method, path, times, skip)

    def flip(self, path: str = "/blobs/", *, at_byte: int = 0, times: int | None = 1, skip: int = 0) -> None:
        """Turn over one bit of a body: right length, wrong content."""
        self._add(faults.flip(at_byte), "GET", path, times, skip)

    def stall(
        self,
        method: str | None = "GET",
        path: str = "/blobs/",
        *,
        after_bytes: int | None = 0,
        seconds: float | None = None,
        times: int | None = 1,
        skip: int = 0,
    ) -> None:
        """Send nothing more after so many bytes of the body (None: no headers), for `seconds` or until `release`."""
        self._released = False
        self._add(faults.stall(after_bytes, seconds, lambda: self._released), method, path, times, skip)

    def drip(
        self,
        path: str = "/blobs/",
        *,
        piece: int,
        pause: float,
        after_bytes: int = 0,
        times: int | None = 1,
        skip: int = 0,
    ) -> None:
        """Send a body in pieces of so many bytes with `pause` seconds between them, from `after_bytes` on."""
        self._released = False
        self._add(faults.drip(after_bytes, piece, pause, lambda: self._released), "GET", path, times, skip)

    def hold_answer(self, method: str, path: str, *, times: int | None = 1, skip: int = 0) -> None:
        """Do what is asked, and keep the answer back until `release`, or until the client has gone."""
        self._released = False
        self._add(faults.hold_answer(lambda: self._released), method, path, times, skip)

    def lose_response(self, method: str, path: str, *, times: int | None = 1, skip: int = 0) -> None:
        """Do what is asked, then reset the connection instead of answering."""
        self._add(faults.lose_response(), method, path, times, skip)

    # Quirks

    def redirect_blobs(self, *, single_use: bool = False) -> BlobStorage:
        """Answer blob GETs with 307 to a storage on another port that, like S3, refuses requests with credentials.

        `single_use` makes each signed address good for one request. The storage's requests are in `requests`, with its
        own `host`, and rules whose path matches (`/storage/…`) strike there too.
        """
        storage = BlobStorage(create_registry(self.content), single_use=single_use)
        layer = FaultLayer(storage, self._layer.rules, self._layer.exchanges)
        server = self._servers.enter_context(RunningServer(layer))
        storage.host = server.host

        def redirect(request: Request) -> Response:
            return RedirectResponse(f"{server.url}{storage.sign(request.url.path)}", 307)

        self._add(faults.answer_by(redirect), "GET", "^/v2/.+/blobs/sha", None, 0)
        return storage

    def ignore_ranges(self, path: str = "/blobs/", *, times: int | None = None, skip: int = 0) -> None:
        """Answer 200 with the whole body where a range is asked for."""
        self._add(faults.change_request(_without_range), "GET", path, times, skip)

    def set_headers(
        self,
        headers: Mapping[str, str],
        method: str | None = None,
        path: str = "",
        *,
        times: int | None = None,
        skip: int = 0,
    ) -> None:
        """Put these headers into the answers, in place of the registry's own; an empty value removes one."""
        lowered = {name.lower(): value for name, value in headers.items()}

        def change(status: int, given: dict[str, str]) -> tuple[int, dict[str, str]]:
            return status, {name: value for name, value in {**given, **lowered}.items() if value}

        self._add(faults.change_answer(change), method, path, times, skip)

    def head_lies(self, digest: Digest, size: int, *, times: int | None = None) -> None:
        """Answer HEAD of a blob that is not there with 200, as a registry with a stale cache does."""

        def change(status: int, headers: dict[str, str]) -> tuple[int, dict[str, str]]:
            lie = {"content-type": "application/octet-stream", "docker-content-digest": digest}
            return 200, {**headers, **lie, "content-length": str(size)}

        self._add(faults.change_answer(change), "HEAD", f"/blobs/{re.escape(digest)}$", times, 0)

    def move_tag(self, repository: str, tag: str, to: Digest, *, after_requests: int = 0) -> None:
        """Point `tag` at another manifest of the repository: now, or once so many GETs of the tag are answered."""
        if after_requests == 0:
            self.content.point_tag(repository, tag, to)
            return
        path = f"^/v2/{re.escape(repository)}/manifests/{re.escape(tag)}$"
        act = faults.afterwards(lambda: self.content.point_tag(repository, tag, to))
        self._add(act, "GET", path, 1, after_requests - 1)

    def _add(self, fault: Fault, method: str | None, path: str, times: int | None, skip: int) -> None:
        self._layer.rules.append(Rule(fault, method, re.compile(path), times, skip))


def _is_like(exchange: Exchange, method: str | None, path: str, status: int | None) -> bool:
    is_method, is_status = method in (None, exchange.method), status in (None, exchange.status)
    return is_method and is_status and re.search(path, exchange.target) is not None


def _without_range(scope: Scope) -> Scope:
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"range"]}
