"""The installation of deployments/compose.yaml without its containers: its commands and its variables, on loopback."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.prefect_server import PrefectServer, prefect_server_at, worker_of
from tests.integration.sites import NAME, Site, site_in
from tests.integration.test_compose import SERVICES, environment_of
from tests.interop.browser import browser_page
from tests.interop.installations import postgresql_server
from tests.real_parts import RunningS3

LOGIN = "operator:a made-up password"
PASSWORD = "p@ss/word:of the database"  # what an address cannot hold as it is


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrefectServer]:
    """The server with the variables of its service, and its database where the test has one."""
    with postgresql_server() as address:
        host, _, port = address.rpartition("@")[2].partition("/")[0].partition(":")
        place = {"HOST": host, "PORT": port, "NAME": "postgres", "PASSWORD": PASSWORD}
        settings = {f"PREFECT_SERVER_DATABASE_{name}": value for name, value in place.items()}
        settings["PREFECT_SERVER_API_AUTH_STRING"] = LOGIN
        with prefect_server_at(tmp_path / "prefect", **{**environment_of("server"), **settings}) as server:
            assert not (server.folder / "prefect" / "prefect.db").exists()
            yield server


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Four images to move."""
    with site_in(tmp_path, 4) as site:
        yield site


@pytest.mark.timeout(600)
def test_an_installation_is_set_up_and_works(
    server: PrefectServer, site: Site, s3_server: RunningS3, tmp_path: Path
) -> None:
    """All that `setup` does is done, twice; a worker brings a site its images by way of the common store."""
    common = {"PREFECT_API_URL": server.api, "PREFECT_API_AUTH_STRING": LOGIN}
    bucket = s3_server.make_bucket("edgelift")
    keys = {"STORE_ACCESS_KEY": s3_server.access_key, "STORE_SECRET_KEY": s3_server.secret_key}
    setup = {**environment_of("setup"), **common, **keys, "STORE_ENDPOINT": s3_server.endpoint}
    for _ in range(2):
        for command in SERVICES["setup"]["command"][-1].splitlines():
            run(server, command, setup)

    settings = {**environment_of("worker"), **common, "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(tmp_path / "results")}
    file = tmp_path / "site.yaml"
    file.write_text(site.settings().model_dump_json())
    with worker_of(server, **settings):
        run(server, f"python -m deployments.deploy_sites {file}", setup)
        run(server, f"prefect deployment run sync-site/{NAME} --watch", setup)

    assert [site.delivered(image) for image in site.images] == [image.root.digest for image in site.images]
    assert s3_server.client().list_objects_v2(Bucket=bucket, Prefix="blobs/")["KeyCount"] > 0
    assert list((tmp_path / "results").iterdir())


def test_the_ui_lets_in_who_has_the_login(server: PrefectServer) -> None:
    """Wherever the page comes from, it asks the API there."""
    address = server.api.removesuffix("/api").replace("127.0.0.1", "localhost")
    asked: list[str] = []
    with browser_page() as page:
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.get_by_placeholder("admin:pass").fill(LOGIN)
        page.get_by_role("button", name="Login").click()
        page.get_by_text("Run a task or flow to get started").wait_for()  # what an empty server says once it was asked

    api = [url for url in asked if "/api/" in url]
    assert {url.startswith(f"{address}/api/") for url in api} == {True}


def run(server: PrefectServer, command: str, environment: dict[str, str]) -> None:
    """Carry out a command of a container; the test fails, with what it says, where it does."""
    program, *arguments = shlex.split(command)
    arguments = arguments if program == "python" else ["-m", program, *arguments]
    done = server.python(*arguments, **environment)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
