"""Amazon for tests: the API that gives logins and makes repositories, and the registry behind it, on loopback.

    with Amazon() as amazon:                        # speaks the JSON protocol that boto3 speaks; real HTTP
        monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", amazon.url)
        registry = amazon.open_registry(credentials)   # a client for HOST, which `amazon` answers for as its proxy

Only the login that was given last gets in, and `revoke` ends that, too.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import TracebackType
from typing import Self

from edgelift.oci.credentials import Credentials
from edgelift.oci.pacing import Clock
from edgelift.oci.registry import Registry
from edgelift.transport import TransportSettings
from tests.simulators.http_faults import Answer, HttpFaults, Request

ACCOUNT = "123456789012"
HOST = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"
PUBLIC = "public.ecr.aws"


@dataclass
class Amazon:
    """The API and the registry. `life` is that of a login, `ahead` how far Amazon's clock is before ours.

    `refuse` answers calls of the API by name in its place, once each.
    """

    life: timedelta = timedelta(hours=12)
    ahead: timedelta = timedelta()
    repositories: set[str] = field(default_factory=set)
    refuse: dict[str, Answer] = field(default_factory=dict)
    calls: list[Request] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    tokens: int = 0
    before_answer: Callable[[str], None] = lambda _: None

    def __enter__(self) -> Self:
        self._valid = ""
        self._server = HttpFaults(self._respond).__enter__()
        self.url = self._server.url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)

    def revoke(self) -> None:
        """Let in nobody with the logins given so far."""
        self._valid = ""

    def open_registry(self, credentials: Credentials, clock: Clock, host: str = HOST) -> Registry:
        """A client for `host`, which thinks that it goes through a proxy."""
        settings = TransportSettings(plain_http=frozenset({host}), proxy=self.url)
        return Registry(host, settings, credentials, clock=clock)

    def names(self) -> list[str]:
        """The calls of the API so far."""
        return [call.headers["x-amz-target"].rpartition(".")[2] for call in self.calls]

    def _respond(self, request: Request) -> Answer:
        if "x-amz-target" in request.headers:
            self.calls.append(request)
            name = request.headers["x-amz-target"].rpartition(".")[2]
            self.before_answer(name)
            return self.refuse.pop(name, None) or self._call(name, request)
        self.asked.append(request)
        path = request.target.partition("://")[2].partition("/")[2]
        return self._serve(request, path) if path.startswith("v2/") else self._give_bearer_token(request)

    def _call(self, name: str, request: Request) -> Answer:
        if name == "CreateRepository":
            repository = json.loads(request.body)["repositoryName"]
            if repository in self.repositories:
                return problem("RepositoryAlreadyExistsException")
            self.repositories.add(repository)
            return Answer(body=json.dumps({"repository": {"repositoryName": repository}}).encode())
        self.tokens += 1
        self._valid = f"token-{self.tokens}"
        now = datetime.now(UTC) + self.ahead
        token = base64.b64encode(f"AWS:{self._valid}".encode()).decode()
        data = {"authorizationToken": token, "expiresAt": (now + self.life).timestamp()}
        is_public = "Spencer" in request.headers["x-amz-target"]
        body = json.dumps({"authorizationData": data if is_public else [data]}).encode()
        return Answer(headers=(("Date", format_datetime(now, usegmt=True)),), body=body)

    def _serve(self, request: Request, path: str) -> Answer:
        """The registry: private ones want the login itself, the public one a bearer token."""
        host = request.headers["host"]
        bearer = f'Bearer realm="http://{PUBLIC}/token/",service="{PUBLIC}"'
        challenge = bearer if host == PUBLIC else f'Basic realm="https://{host}/",service="ecr.amazonaws.com"'
        wanted = f"Bearer {self._valid}" if host == PUBLIC else self._basic()
        if not self._valid or request.headers.get("authorization") != wanted:
            return Answer(401, (("WWW-Authenticate", challenge),))
        repository = path.removeprefix("v2/").partition("/blobs/")[0]
        if request.method == "POST" and repository not in self.repositories:
            return Answer(404, body=b'{"errors":[{"code":"NAME_UNKNOWN","message":"no such repository"}]}')
        if request.method == "POST":
            return Answer(202, (("Location", f"/v2/{repository}/blobs/uploads/1"),))
        return Answer({"PUT": 201, "DELETE": 204, "HEAD": 404}.get(request.method, 200))

    def _give_bearer_token(self, request: Request) -> Answer:
        if not self._valid or request.headers.get("authorization") != self._basic():
            return Answer(401)
        return Answer(body=json.dumps({"token": self._valid, "expires_in": 300}).encode())

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(f"AWS:{self._valid}".encode()).decode()


def problem(code: str, message: str = "as the test asked", status: int = 400) -> Answer:
    """An error as the API writes it."""
    return Answer(status, body=json.dumps({"__type": code, "message": message}).encode())
