"""Naming a working store: a folder, a bucket, or the block that has its keys."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.demo.content import make_image
from tests.cli.commands import CommandLine
from tests.real_parts import RunningS3
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app")


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry with an image."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        simulator.put_image(APP)
        yield simulator


ELSEWHERE = {
    "a bucket": ("s3://bucket/prefix", {}),
    "a block": ("block:shared", {}),
    "in the environment": (None, {"EDGELIFT_STORE": "s3://bucket/prefix"}),
}


@pytest.mark.parametrize(("store", "environment"), ELSEWHERE.values(), ids=ELSEWHERE)
@pytest.mark.parametrize("command", ["stat", "fsck", "gc"])
def test_a_store_in_s3_is_not_looked_after_here(
    tmp_path: Path, command: str, store: str | None, environment: dict[str, str]
) -> None:
    """What is for folders alone says so, and asks nobody."""
    options = ("--store", store) if store is not None else ()
    outcome = CommandLine(tmp_path, environment).run("store", command, *options)

    assert (outcome.code, "this command is for one in a folder" in outcome.error) == (2, True)


def test_a_block_takes_prefect(command_line: CommandLine) -> None:
    """What runs without Prefect cannot load a block, and names the other way."""
    outcome = command_line.run("plan", "--image", "quay.io/team/app:1", "--store", "block:shared")

    assert (outcome.code, "only build and sync load" in outcome.error) == (2, True)


def test_a_plan_keeps_manifests_in_a_bucket(tmp_path: Path, sim: RegistrySimulator, s3_server: RunningS3) -> None:
    """With the keys that boto3 finds; a second plan need not read them again."""
    bucket = s3_server.make_bucket(f"plan-{uuid.uuid4().hex[:12]}")
    keys = {
        "AWS_ENDPOINT_URL": s3_server.endpoint,
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
        "EDGELIFT_STORE": f"s3://{bucket}/edge",
    }
    line = CommandLine(tmp_path, keys)
    asked = ("plan", "--image", f"{sim.host}/team/app:1.0", "--json")
    first = line.run(*asked)
    sim.forget_requests()
    second = line.run(*asked)

    assert (first.code, second.code, first.document) == (0, 0, second.document)
    assert sim.count("GET", "/manifests/sha256") == 0
    found = s3_server.client().list_objects_v2(Bucket=bucket)["Contents"]
    assert f"edge/blobs/sha256/{APP.root.digest.hex}" in [each["Key"] for each in found]
