"""A small chart repository over plain HTTP, with the faults that repositories have.

with ChartRepositorySimulator() as charts:
    charts.add(make_chart("web", "1.2.3"))              # edgelift.demo.charts; the index follows
    charts.url                                          # what a profile names
    charts.login = ("user", "password")                 # 401 without it
    charts.answers["/stable/web-1.2.3.tgz"] = Answer(302, (("Location", other.url),))
"""

import base64
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import yaml

from edgelift.charts.archive import read_metadata
from edgelift.oci.digest import Digest
from tests.simulators.http_faults import Answer, HttpFaults, Request


@dataclass
class ChartRepositorySimulator:
    """The repository, at `path` of a server on loopback; `files` and `answers` go by the path that is asked for.

    Of several answers each is given once, and then what there is.
    """

    path: str = "/stable"
    login: tuple[str, str] | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, Answer | list[Answer]] = field(default_factory=dict)
    entries: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._server = HttpFaults(self._respond).__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)

    @property
    def host(self) -> str:
        """Host and port."""
        return self._server.host

    @property
    def url(self) -> str:
        """The address of the repository."""
        return f"http://{self.host}{self.path}"

    @property
    def requests(self) -> list[Request]:
        """What was asked for so far."""
        return self._server.requests

    @property
    def asked(self) -> list[str]:
        """The paths that were asked for so far."""
        return [request.target for request in self.requests]

    def add(
        self, archive: bytes, *, url: str | None = None, digest: str | None = "right", provenance: bytes | None = None
    ) -> Digest:
        """Offer a chart: beside the index or at a `url`; the index gives its digest, another one or none."""
        about = read_metadata(archive, "a sample")
        file = f"{about.name}-{about.version}.tgz"
        self.files[f"{self.path}/{file}"] = archive
        if provenance is not None:
            self.files[f"{self.path}/{file}.prov"] = provenance
        entry: dict[str, Any] = {"name": about.name, "version": about.version, "urls": [url or file]}
        if digest is not None:
            entry["digest"] = Digest.of(archive).hex if digest == "right" else digest
        self.entries.setdefault(about.name, []).append(entry)
        return Digest.of(archive)

    def index(self) -> bytes:
        """The index of all that was added."""
        return yaml.safe_dump({"apiVersion": "v1", "entries": self.entries}).encode()

    def _respond(self, request: Request) -> Answer:
        path = request.target.partition("?")[0]
        if self.login is not None and request.headers.get("authorization") != self._authorization():
            return Answer(401, (("WWW-Authenticate", 'Basic realm="charts"'),))
        answer = self.answers.get(path)
        if isinstance(answer, Answer):
            return answer
        if answer:
            return answer.pop(0)
        content = self.index() if path == f"{self.path}/index.yaml" and path not in self.files else self.files.get(path)
        return Answer(404, body=b"not found") if content is None else Answer(body=content)

    def _authorization(self) -> str:
        return "Basic " + base64.b64encode(":".join(self.login or ()).encode()).decode()
