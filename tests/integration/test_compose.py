"""The installation in deployments/compose.yaml: what its services say to each other, without starting any."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from blocks import BlobStore
from deployments.register_blocks import blocks_from
from edgelift.store.opening import BLOCK

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deployments" / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def environment_of(service: str) -> dict[str, str]:
    """The variables of a service, with something in place of what the operator has to give, and else the defaults."""
    found: dict[str, str] = SERVICES[service]["environment"]
    given = {name: re.sub(r"\$\{\w+:\?[^}]*\}", "given", value) for name, value in found.items()}
    return {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for name, value in given.items()}


def test_it_is_a_whole_installation() -> None:
    """A server with a database, workers, a store in S3 and a registry, and what sets them up."""
    assert SERVICES.keys() == {"database", "server", "s3", "bucket", "setup", "worker", "registry"}
    assert SERVICES["worker"]["deploy"]["replicas"] > 1


def test_the_server_is_on_postgresql() -> None:
    """SQLite takes no more than a handful of runs at a time."""
    server, database = environment_of("server"), environment_of("database")

    assert server["PREFECT_SERVER_DATABASE_DRIVER"] == "postgresql+asyncpg"
    assert server["PREFECT_SERVER_DATABASE_HOST"] in SERVICES
    names = ("USER", "PASSWORD")
    assert [server[f"PREFECT_SERVER_DATABASE_{name}"] for name in names] == [
        database[f"POSTGRES_{name}"] for name in names
    ]
    assert server["PREFECT_SERVER_DATABASE_NAME"] == database["POSTGRES_DB"]


def test_no_password_has_a_default() -> None:
    """What is secret has to be given: compose itself refuses to start without it."""
    secrets = [
        value
        for service in SERVICES.values()
        for name, value in service.get("environment", {}).items()
        if re.search("PASSWORD|SECRET|AUTH|ACCESS_KEY", name)
    ]

    assert [each for each in secrets if not re.fullmatch(r"\$\{\w+:\?[^}]+\}", each)] == []
    assert secrets


def test_all_workers_use_the_one_store() -> None:
    """The block that they name is the one that is set up, for the bucket that is made, at the server that is there."""
    block = blocks_from(environment_of("setup"))[environment_of("worker")["EDGELIFT_STORE"].removeprefix(BLOCK)]

    assert isinstance(block, BlobStore)
    assert f"s3.bucket.create -name {block.bucket}" in SERVICES["bucket"]["entrypoint"][-1]
    assert str(block.endpoint).partition("://")[2].partition(":")[0] in SERVICES
    assert "/results" in {each.partition(":")[2] for each in SERVICES["worker"]["volumes"]}
    assert environment_of("worker")["PREFECT_RESULTS_LOCAL_STORAGE_PATH"] == "/results"


def test_nothing_is_reached_from_outside() -> None:
    """What shall be goes behind a proxy with TLS."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_the_ui_is_found() -> None:
    """Its page asks whoever it came from, and not the address that the server listens on; notices lead to it."""
    server = SERVICES["server"]["environment"]

    assert server["PREFECT_SERVER_UI_API_URL"].startswith("/")
    assert server["PREFECT_UI_URL"].startswith("${PREFECT_UI_URL:-http://127.0.0.1:")


def test_passwords_are_in_no_image() -> None:
    """The file that they may be written to is beside this one, and the whole project is copied into the image."""
    assert "COPY . ." in (ROOT / "deployments" / "Dockerfile").read_text()
    assert "**/.env" in (ROOT / ".dockerignore").read_text().splitlines()
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_names_is_there(service: str) -> None:
    """The services that it waits for, which tell when they are ready, its volumes; its image has a version."""
    described = SERVICES[service]
    named = [volume.partition(":")[0] for volume in described.get("volumes", [])]

    for other, how in described.get("depends_on", {}).items():
        assert ("healthcheck" in SERVICES[other]) == (how["condition"] == "service_healthy")
    assert set(named) <= COMPOSE["volumes"].keys()
    assert "build" in described or re.search(r":[\d.]+", described["image"])
