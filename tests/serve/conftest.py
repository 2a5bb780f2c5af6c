"""Registries to ask: one that is read-only, from a store, and one that takes pushes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from edgelift.demo.content import SampleImage, make_image
from edgelift.demo.servers import fill_registry
from edgelift.serve.directory import DirectoryContent
from edgelift.serve.pinned import StoreContent
from edgelift.serve.registry import create_registry
from edgelift.serve.server import RunningServer
from edgelift.store.local import LocalStore

HOST = "quay.example:5001"
MULTI = make_image("team/app", tag="1.0", architectures=("amd64", "arm64"), base="alpine", attested=True)
PLAIN = make_image("team/tool", tag="2.0", flavour="docker")


@dataclass(frozen=True)
class Served:
    """A running registry with `MULTI` and `PLAIN` in it; repositories begin with `prefix`."""

    client: httpx.Client
    prefix: str


def store_images(root: Path, *images: SampleImage) -> LocalStore:
    """A store with `images`, tagged as if they had come from `HOST`."""
    store = LocalStore(root)
    for image in images:
        for descriptor in (*image.blobs, *image.manifests):
            store.write(descriptor, image.contents[descriptor.digest])
        store.tag({f"{HOST}/{image.repository}:{image.tag}": image.root})
    return store


@pytest.fixture(scope="module")
def read_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A registry over a store."""
    content = StoreContent(store_images(tmp_path_factory.mktemp("store"), MULTI, PLAIN))
    with RunningServer(create_registry(content)) as server, client_of(server) as client:
        yield Served(client, "quay.example_5001/")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A registry over a directory."""
    content = DirectoryContent(tmp_path_factory.mktemp("registry"))
    fill_registry(content, [MULTI, PLAIN])
    with RunningServer(create_registry(content)) as server, client_of(server) as client:
        yield Served(client, "")


@pytest.fixture(scope="module", params=["read-only", "writable"])
def served(request: pytest.FixtureRequest) -> Served:
    """Each of the two in turn: reading is the same for both."""
    chosen: Served = request.getfixturevalue("read_only" if request.param == "read-only" else "filled")
    return chosen


class Changeable:
    """One server whose application each test brings anew: starting and stopping takes longer than most tests."""

    def __init__(self) -> None:
        self.app: ASGIApp = Starlette()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on to the application of the running test."""
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def _server() -> Iterator[tuple[Changeable, httpx.Client]]:
    changeable = Changeable()
    with RunningServer(changeable) as server, client_of(server) as client:
        yield changeable, client


@pytest.fixture
def empty(tmp_path: Path, _server: tuple[Changeable, httpx.Client]) -> httpx.Client:
    """A registry that takes pushes, with nothing in it."""
    changeable, client = _server
    changeable.app = create_registry(DirectoryContent(tmp_path / "registry"))
    return client


def client_of(server: RunningServer) -> httpx.Client:
    """A plain client for `server`."""
    return httpx.Client(base_url=server.url, trust_env=False, timeout=20)


def code_of(response: httpx.Response) -> str:
    """The error code in a response, whose body must have the specified form."""
    (error,) = response.json()["errors"]
    assert set(error) == {"code", "message", "detail"}
    return str(error["code"])
